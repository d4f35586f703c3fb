"""The bundled ladder's results, pinned: a change of the house must not change a number.

On one machine results.json is the same byte for byte. Between processors the last bits of a log-likelihood differ, so
values are compared to four digits and everything else exactly. After a change that is meant to change numbers:
`python -m tests.test_ladder_pinned` writes the file again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import evalkit

GOLDEN = Path(__file__).parent / "golden" / "ladder.json"
MODELS = ("pico", "nano")
_FIGURES = ("value", "low", "high", "chance")


def results_of(folder: Path) -> list[dict[str, object]]:
    """Evaluate the pinned models on all that the world has, and return their stored rows."""
    tasks = evalkit.load_tasks("world", shots=[2], limit=20)
    rows = []
    for model in MODELS:
        run = evalkit.evaluate(evalkit.open_model(model, dtype="fp32"), tasks, out=folder / model, cache=False)
        rows += json.loads((run.folder / "results.json").read_text())["results"]
    return rows


def rounded(row: dict[str, object]) -> dict[str, object]:
    figures = {name: None if row[name] is None else float(f"{row[name]:.6g}") for name in _FIGURES}
    return {**row, **figures}


def described(row: dict[str, object]) -> dict[str, object]:
    """All but the figures, and the version of evalkit that a signature names."""
    others = {name: value for name, value in row.items() if name not in _FIGURES}
    return {**others, "signature": re.sub(r"\|evalkit:[^|]+", "", str(row["signature"]))}


def test_every_result_is_as_it_was(tmp_path):
    pinned, rows = json.loads(GOLDEN.read_text(encoding="utf-8")), results_of(tmp_path)
    assert len(rows) == len(pinned)
    for row, before in zip(rows, pinned, strict=True):
        where = (row["model"], row["task"], row["metric"], row["source"], row["level"])
        assert described(row) == described(before), where
        for name in _FIGURES:
            assert row[name] == pytest.approx(before[name], rel=1e-4) if before[name] is not None else row[name] is None


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        rows = [json.dumps(rounded(row), sort_keys=True) for row in results_of(Path(folder))]
    GOLDEN.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")
