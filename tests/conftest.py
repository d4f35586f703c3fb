"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: a thread for each, before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["EVALKIT_CACHE"] = "off"  # a test that wants a cache names its own

# No test asserts a time, and the same inputs are tried everywhere.
settings.register_profile("evalkit", deadline=None, derandomize=True)
settings.load_profile("evalkit")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real benchmark files, or a skip that says how to provide it."""
    found = Path(os.environ.get("EVALKIT_DATA") or REPOSITORY.parent / "shared" / "data")
    if not found.is_dir() or not any(found.iterdir()):
        pytest.skip(f"no real benchmark files: {found} is absent or empty (set EVALKIT_DATA)")
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was skipped: a line per reason, with the number of its tests."""
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section(f"{reasons.total()} tests were skipped")
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number:5} {reason}")
