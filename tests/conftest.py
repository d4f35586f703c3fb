"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
