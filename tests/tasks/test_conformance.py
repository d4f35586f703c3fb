"""Every bundled task passes check_task: the generated ones always, the published ones on small made files or where
their data is at hand.
"""

from __future__ import annotations

import pytest

from evalkit.data.sources import DataPaths, WorldSource
from evalkit.harness import catalog
from evalkit.harness.check import check_task


@pytest.mark.parametrize("name", sorted(catalog.bundled()))
def test_conformance(name: str, made_data: DataPaths, request: pytest.FixtureRequest) -> None:
    task = catalog.bundled()[name]
    if isinstance(task.source, WorldSource):
        check_task(task, DataPaths(), limit=200)
        return
    data = made_data
    if not task.source.at_hand(data):
        data = DataPaths(root=request.getfixturevalue("data_dir"))
    if not task.source.at_hand(data):
        pytest.skip(f"the data folder has no files of {name}")
    check_task(task, data, limit=80)
