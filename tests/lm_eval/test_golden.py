"""Prompts, draws, values and standard errors are those that lm-eval 0.4.13 gave on the same made-up files and data."""

from __future__ import annotations

import json

import pytest

from tests.lm_eval_parity.compare import compare
from tests.lm_eval_parity.golden import FOLDER, LIMIT, NAMES, SHOTS


@pytest.mark.parametrize("shots", SHOTS)
def test_everything_is_as_in_lm_eval(monkeypatch, shots):
    monkeypatch.setenv("EVALKIT_LM_EVAL_TASKS", str(FOLDER))
    theirs = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))[str(shots)]
    found = list(compare(theirs, NAMES, shots=shots, root=None, limit=LIMIT))
    assert [(one.task, one.differences) for one in found if one.differences] == []
    assert {"made_choice", "made_inputs", "made_own", "group made_group"} <= {one.task for one in found}
    assert sum(one.metrics for one in found) > 20
