"""Fixtures shared by the tests of the bundled tasks."""

from __future__ import annotations

import pytest

from evalkit.data.sources import DataPaths
from tests.tasks import made, made_texts


@pytest.fixture(scope="session")
def made_data(tmp_path_factory: pytest.TempPathFactory) -> DataPaths:
    """Small files in the releases' form, of the benchmarks in tests/tasks/made.py and made_texts.py."""
    folder = tmp_path_factory.mktemp("made")
    made.write(folder)
    made_texts.write(folder)
    return DataPaths(root=folder)
