"""A training that is killed at any moment goes on, and ends with the bits of one that was not.

Three kills here; `EVALKIT_KILLS=20 python -m pytest tests/train/test_kill.py` for more.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import signal
import time

import pytest
from processes import CONFIG, SHAPE, corpus_in, ended, start

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("EVALKIT_KILLS", "3"))

# Checkpoints so often that about every second kill meets a write.
OFTEN = dataclasses.replace(
    CONFIG, model=dataclasses.replace(SHAPE, dropout=0.1), accumulate=2, checkpoint_every=2, checkpoint_keep=6,
    keep_last=2,
)  # fmt: skip


def test_a_killed_training_ends_with_the_same_bits(tmp_path):
    folder, whole = corpus_in(tmp_path / "corpus"), tmp_path / "whole"
    assert ended(start(folder, tmp_path / "warm", CONFIG)) == [0]
    began = time.monotonic()
    assert ended(start(folder, whole, OFTEN)) == [0]
    duration = time.monotonic() - began
    chance, killed = random.Random(), 0
    for attempt in itertools.count():
        if killed == KILLS:
            break
        out = tmp_path / f"killed-{attempt}"
        processes = start(folder, out, OFTEN)
        time.sleep(chance.uniform(0.1, 0.9) * duration)
        processes[0].kill()
        killed += ended(processes) == [-signal.SIGKILL]
        assert ended(start(folder, out, OFTEN)) == [0]
        for file in ("model.safetensors", "step-18/model.safetensors", "step-12/model.safetensors"):
            assert (out / file).read_bytes() == (whole / file).read_bytes()
        assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole.iterdir())
