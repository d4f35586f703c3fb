"""No test leaves anything in the cache of `datasets`, nor sees task files that are installed."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _apart(monkeypatch, tmp_path_factory):
    import datasets

    monkeypatch.setenv("EVALKIT_LM_EVAL_TASKS", str(tmp_path_factory.mktemp("tasks")))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
