"""The site, built once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.docs.blocks import REPOSITORY


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built as `make docs` does, once for all processes of a test run.

    Building takes seven seconds of a core.
    """
    for module in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(module, reason="the documentation's site needs evalkit[docs]")
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder, report = shared / "site", shared / "site.json"
    with FileLock(shared / "site.lock"):
        if not report.exists():
            report.write_text(json.dumps(_build(folder)))
    code, messages = json.loads(report.read_text())
    assert code == 0 and "WARNING" not in messages, messages
    return folder


def _build(folder: Path) -> tuple[int, str]:
    """Build the site; return the exit code and the messages."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stderr
