"""The wheel, built from the sdist, carries the tasks and the bundled models, and works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from evalkit.harness import catalog
from evalkit.model import resolve

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), "-t"]
    subprocess.run([*build, "sdist"], cwd=REPOSITORY, check=True, capture_output=True)
    [sources] = folder.glob("evalkit-*.tar.gz")
    with tarfile.open(sources) as archive:
        archive.extractall(folder, filter="data")
    subprocess.run(
        [*build, "wheel"], cwd=folder / sources.name.removesuffix(".tar.gz"), check=True, capture_output=True
    )
    [wheel] = folder.glob("evalkit-*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_it_carries_tasks_and_zoo(unpacked):
    tasks = {path.name for path in (unpacked / "evalkit" / "tasks").rglob("*.py")}
    assert tasks == {path.name for path in catalog.tasks_folder().rglob("*.py")}
    for name in resolve.bundled():
        assert (unpacked / "evalkit" / "zoo" / name / "model.safetensors").is_file()
    assert not (unpacked / "tests").exists()


def test_it_works_from_any_folder(unpacked, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    command = "import evalkit; from evalkit.cli import main; print(evalkit.__file__); main(['tasks', 'world_qa'])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", command] if sys.version_info >= (3, 11) else [sys.executable, "-c", command],
        cwd=tmp_path, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert str(unpacked) in done.stdout
    assert "world_qa: " in done.stdout
