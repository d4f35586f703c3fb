"""The scores of a ladder and their page, from made runs of known truth."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from evalkit import metrics
from evalkit.cli import main
from evalkit.errors import StoreError
from evalkit.report.ladder import page as ladder_page
from evalkit.report.ladder import scores as ladder
from evalkit.runs.store import RunStore
from evalkit.stats import seeds
from evalkit.types import Cell, Prompt, Record

SIZES = {"small": 100, "middle": 1000, "large": 10_000, "largest": 100_000}


def records(rates, *, task="world_reading", shots=0, n=200):
    """Yield n records a level, `rates` of them right; every fifth word of a baseline is right."""
    for level, rate in rates.items():
        for i in range(n):
            yield Record(
                cell=Cell(task=task, protocol="plain", shots=shots, seed=1), doc_id=f"{level}-{i}", cluster="",
                level=level, prompt=Prompt(contexts=("",)), continuations=(), responses=(), gold="", prediction="",
                scores={"acc": (float(i < rate * n),)}, baselines={"copy": {"acc": (float(i % 5 == 0),)}},
                chance={"acc": 0.25},
            )  # fmt: skip


def write(folder, model, rates, *, tasks=("world_reading",), loss=1.0):
    name = model.partition("-seed")[0]
    about = {
        "model": {"model": model, "parameters": str(SIZES[name]), "block_parameters": str(SIZES[name] // 2)},
        "tasks": {task: {"metrics": ["acc"]} for task in tasks},
    }
    with RunStore(folder / model, about, training={"loss": loss, "tokens": 5}) as store:
        for task in tasks:
            store.append(records(rates, task=task))
    return folder / model


@pytest.fixture
def runs(tmp_path):
    truth = {"small": 0.26, "middle": 0.5, "large": 0.45, "largest": 0.95}
    found = [
        write(tmp_path, name, {"easy": rate, "hard": 0.25}, tasks=("world_reading", "world_patterns"), loss=3 - i / 2)
        for i, (name, rate) in enumerate(truth.items())
    ]
    return [
        *found,
        write(tmp_path, "small-seed1", {"easy": 0.3, "hard": 0.25}, tasks=("world_reading", "world_patterns")),
    ]


def test_rungs_levels_and_seeds(runs):
    rungs, lines, facts = ladder.read(runs)
    assert [rung.name for rung in rungs] == list(SIZES) and len(facts) == 5
    easy, hard = (next(x for x in lines if (x.level, x.task) == (level, "world_reading")) for level in ("easy", "hard"))
    assert easy.scores[0].per_seed == (26.0, 30.0) and easy.scores[0].value == 28.0
    assert [score.floor for score in easy.scores] == [25.0] * 4  # chance is above what copying gets
    assert easy.scores[0].n == easy.scores[1].n == 200
    assert easy.leaves_room and not easy.stuck and easy.spearman == pytest.approx(0.8)
    assert easy.falls == [(2, True)]
    assert hard.stuck == "at the floor on every rung" and not hard.leaves_room and hard.spearman == 0


def test_seeds_widen_an_interval(runs):
    _, lines, _ = ladder.read(runs)
    easy = next(line for line in lines if line.level == "easy")
    documents_only = easy.scores[1].high - easy.scores[1].low
    assert easy.scores[0].high - easy.scores[0].low > 2 * documents_only  # t with one degree of freedom


def test_the_page_says_what_was_found(runs):
    body = ladder_page.page(*ladder.read(runs), command="make report")
    row = next(line for line in body.splitlines() if line.startswith("| world_reading | easy"))
    assert "large falls (noise), room" in row and "0.80" in row
    assert "| small | 100 | 50 | 5 | 2 | 3.000, 1.000 |" in body
    assert "Without the largest rung it predicts" in body and "measured 1.500" in body


def test_a_loss_stands_with_its_standard_error(runs):
    rungs, lines, facts = ladder.read(runs)
    known = [replace(f, loss_stderr=0.004) if f.name == "small" else f for f in facts]
    assert "| 3.000 ± 0.004, 1.000 |" in ladder_page.page(rungs, lines, known, command="make report")


def test_rungs_that_were_asked_something_else_are_refused(runs, tmp_path):
    other = write(tmp_path / "other", "largest", {"easy": 0.9, "hard": 0.2})
    with pytest.raises(StoreError, match="world_patterns at 0 shots was not run on largest"):
        ladder.read([*runs[:3], other])


def test_two_models_of_one_name_are_no_rung(runs, tmp_path):
    again = write(tmp_path / "again", "small", {"easy": 0.9, "hard": 0.9}, tasks=("world_reading", "world_patterns"))
    manifest = json.loads((again / "manifest.json").read_text())
    manifest["settings"]["model"]["hash"] = "another"
    (again / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="not the small of the other runs"):
        ladder.read([*runs, again])


def test_the_command_writes_the_page_and_refuses_what_it_cannot(runs, tmp_path, capsys):
    out = tmp_path / "page.md"
    assert main(["report-ladder", *map(str, runs), "--documents", "20", "--out", str(out)]) == 0
    assert out.read_text().startswith("#") and "make report" in out.read_text()
    assert main(["report-ladder", *map(str, runs), "--documents", "0", "--out", str(out)]) == 2
    assert "--documents must be at least 1" in capsys.readouterr().err


def test_one_passage_has_a_value_and_no_interval():
    rows = [seeds.Scored(statistics=(float(i % 2),), cluster="story") for i in range(4)]
    found = seeds.over_seeds(metrics.get("acc"), {0: rows, 1: rows})
    assert math.isnan(found.low) and math.isnan(found.high)
    assert f"{found.value:.1f}{seeds.bracketed(found.low, found.high)}" == "50.0"
    assert seeds.bracketed(1, 2.25, form="+.1f", note=", not told apart") == " [+1.0, +2.2, not told apart]"
