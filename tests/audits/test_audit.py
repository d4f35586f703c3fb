"""Audits of stored runs: the world, whose difficulty is known, checkpoints, recipes, results of another tool."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import pytest

import evalkit
from evalkit.audits import findings
from evalkit.audits.boards import boards
from evalkit.cli import main
from evalkit.errors import DataError, UsageError
from evalkit.report.measurements import Measurement
from evalkit.report.models import ModelFacts
from evalkit.runs.store import RunStore, open_run


def score(value, *, family="f", parameters=100, seed=0, step=1, reach=1.0, **more):
    model = ModelFacts(
        name=f"{family}-{parameters}", family=family, parameters=parameters, seed=seed, step=step,
        pool=f"{family}-{parameters}",
    )  # fmt: skip
    about = {"task": "t", "family": "qa", "metric": "acc", "scale": 100.0, "ceiling": 100.0, "chance": 25.0, **more}
    return Measurement(model=model, value=value, low=value - reach, high=value + reach, **about)


def found(measurements, **options):
    [board] = boards(measurements)
    return findings.find(board, last=5, **options)


def test_signal_and_noise_of_a_ladder_with_checkpoints():
    small = [score(v, parameters=100, step=s) for s, v in enumerate([20, 38, 42, 40, 39, 41])]
    large = [score(v, parameters=900, step=s) for s, v in enumerate([20, 58, 62, 60, 59, 61])]
    finding = found(small + large)
    assert (finding.models, finding.trainings, finding.checkpoints) == (2, 2, 6)
    assert finding.signal == pytest.approx(20 / 50)  # of the means of the last five
    assert finding.noise == pytest.approx((math.sqrt(2) / 40 + math.sqrt(2) / 60) / 2)
    assert finding.snr == pytest.approx(finding.signal / finding.noise)
    assert finding.averaged == pytest.approx(finding.noise / math.sqrt(5))
    assert finding.one_checkpoint.share == finding.half_the_checkpoints.share == 1.0
    assert finding.alternatives == "checkpoints"
    assert finding.between_sizes.share == 1.0  # both rank the six steps alike
    assert (finding.trusted_from, finding.trusted_to, finding.largest) == (100, 900, 900)


def test_recipes_are_ranked_by_small_models_as_by_large_ones_or_not():
    scores = {100: {"a": 30, "b": 32, "c": 31}, 900: {"a": 50, "b": 55, "c": 60}}
    made = [score(v, family=f, parameters=n) for n, row in scores.items() for f, v in row.items()]
    finding = found(made)
    assert finding.alternatives == "recipes"
    assert finding.by_size["100"].share == pytest.approx(2 / 3)  # b and c change places
    assert math.isnan(finding.noise) and math.isnan(finding.snr)


def test_seeds_stand_in_for_checkpoints():
    made = [score(v, parameters=n, seed=s) for n, row in ((100, (30, 34)), (900, (60, 64))) for s, v in enumerate(row)]
    finding = found(made)
    assert finding.models == 2 and finding.trainings == 4
    assert finding.seed_noise == pytest.approx(math.sqrt(8) * (1 / 32 + 1 / 62) / 2)
    assert finding.snr == pytest.approx(finding.signal / finding.seed_noise)
    assert finding.between_seeds.share == 1.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((26, 40, 60), (900, 8100)),  # 26 lies above chance by less than a twentieth of the range
        ((40, 26, 60), (8100, 8100)),  # from a size on: the smallest may be luck
        ((40, 60, 99), (100, 900)),  # full at the end
        ((25, 24, 26), (None, None)),
        ((99, 99, 99), (None, None)),
    ],
)
def test_a_task_is_trusted_from_the_size_that_leaves_the_floor_to_the_one_before_it_is_full(values, expected):
    finding = found([score(v, parameters=n) for n, v in zip((100, 900, 8100), values, strict=True)])
    assert (finding.trusted_from, finding.trusted_to) == expected
    assert finding.full == (values[-1] == 99)


def test_a_wide_interval_is_not_above_the_floor():
    assert found([score(40, reach=20.0)]).trusted_from is None
    assert found([score(40, chance=None), score(35, source="baseline:copy", chance=None)]).floor == 35
    assert found([score(20.0, metric="ppl", ceiling=None, chance=None, higher_is_better=False)]).trusted_from == 100


@pytest.fixture(scope="module")
def ladder(tmp_path_factory):
    """Runs of the three smallest bundled rungs on tasks with levels of known difficulty."""
    folder = tmp_path_factory.mktemp("ladder")
    for name in ("pico", "nano", "micro"):
        evalkit.evaluate(name, ["world_lastword", "world_cloze"], out=folder / name, cache=False)
    return folder


def test_the_worlds_levels_come_out_in_the_order_of_their_difficulty(ladder):
    result = evalkit.audit(ladder, levels=True)
    by_level = {(f.key.task, f.key.level): f for f in result.findings if f.key.metric == "acc"}
    hops = [by_level["world_lastword", level].highest for level in ("sole", "hop1", "hop2", "hop3")]
    assert hops[0] > hops[1] > 2 * max(hops[2:])
    assert by_level["world_lastword", "sole"].full  # the answer stands in the text once
    assert by_level["world_cloze", "thing"].trusted_from == 308_480
    assert (by_level["world_cloze", "friend"].trusted_from or math.inf) > 308_480  # near chance on every rung
    assert by_level["world_cloze", "sense"].lowest > 95  # easy for all
    [cloze] = [i for i in result.items if i.task == "world_cloze"]
    every = {level: answered.every for level, answered in cloze.answered.items()}
    assert every["sense"] > 80 > 20 > max(every["thing"], every["friend"])
    assert cloze.doubtful == []  # the world's golds are right
    assert cloze.tells[0].metric != "acc"
    assert "world_cloze" in repr(result) and set(result.to_pandas()["task"]) == {"world_lastword", "world_cloze"}


def test_a_gold_that_was_made_wrong_is_found(ladder, tmp_path):
    for name in ("nano", "micro"):
        spoil(ladder / name, tmp_path / name)
    result = evalkit.audit(tmp_path, tasks=["world_cloze"])
    [cloze] = result.items
    assert {d.gold for d in cloze.doubtful} == {"wrong"}
    assert len(cloze.doubtful) >= 10 and {d.level for d in cloze.doubtful} == {"sense"}


def spoil(source, target):
    """Copy a run with the gold of a quarter of a level's documents replaced, so that right answers count as wrong."""
    stored = open_run(source)
    with RunStore(target, stored.settings, training=stored.training) as store:
        for record in stored.records():
            if record.level == "sense" and not record.cell.variant and record.doc_id[-1] in "0123":
                record = replace(record, gold="wrong", scores=dict.fromkeys(record.scores, (0.0,)))
            store.append([record])
        store.finish(stored.results, {})


def as_checkpoint(source, target, step):
    """Copy a run as that of a step of one training."""
    stored = open_run(source)
    about = {**stored.settings["model"], "model": "one", "parameters": 5000, "block_parameters": 4000}
    with RunStore(target, {**stored.settings, "model": about}, training={"step": step, "corpus": "world"}) as store:
        store.append(stored.records())
        store.finish(stored.results, {})


def test_the_curve_of_one_training(ladder, tmp_path):
    for step, name in enumerate(("pico", "nano", "micro")):
        as_checkpoint(ladder / name, tmp_path / f"step-{step}", step)
    result = evalkit.audit(tmp_path, tasks=["world_cloze"])
    [finding] = [f for f in result.findings if f.key.metric == "acc"]
    assert (finding.models, finding.checkpoints) == (1, 3)
    assert math.isnan(finding.signal) and finding.noise > 0.05  # these "checkpoints" are three models
    [cloze] = result.items
    assert (cloze.models, cloze.tells[0].pairs) == (1, 2)  # neighbouring checkpoints are told apart
    assert cloze.large == []


def test_the_page_the_table_and_the_figure(ladder, tmp_path, capsys):
    command = ["audit", str(ladder), "--levels", "--out", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    tables = [line for line in printed.splitlines() if line.startswith(("world_", "task"))]
    assert len(tables) == 6 and max(map(len, tables)) <= 80
    page = (tmp_path / "audit.md").read_text()
    assert "evalkit audit" in page and "### Levels" in page and "### Which metric tells soonest" in page
    rows = list(csv.DictReader((tmp_path / "audit.csv").read_text().splitlines()))
    assert {"task", "signal", "noise", "snr", "trusted_from", "between_sizes_low"} <= rows[0].keys()
    assert main(command) == 0 and (tmp_path / "audit.md").read_text() == page
    assert not (tmp_path / "signal.png").exists()  # without checkpoints or seeds there is no noise


def test_published_results_of_another_tool(data_dir, tmp_path, capsys):
    folder = data_dir / "pythia-evals"
    assert main(["audit", str(folder), "--shots", "0", "--tasks", "lambada_openai,wsc", "--out", str(tmp_path)]) == 0
    lines = (tmp_path / "audit.csv").read_text().splitlines()
    rows = {(r["task"], r["metric"]): r for r in csv.DictReader(lines)}
    assert float(rows["lambada_openai", "ppl"]["snr"]) > 5 * float(rows["wsc", "acc"]["snr"])
    assert (rows["wsc", "acc"]["trusted_from"], rows["lambada_openai", "acc"]["trusted_from"]) == ("", "70426624")
    assert (tmp_path / "signal.png").exists()


def test_wrong_requests_are_refused(ladder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="none of the given runs holds a result"):
        evalkit.audit(tmp_path / "empty")
    with pytest.raises(UsageError, match="no such run folder"):
        evalkit.audit(tmp_path / "absent")
    with pytest.raises(UsageError, match="--last must be at least 1"):
        evalkit.audit(ladder, last=0)
    with pytest.raises(UsageError, match=r"unknown task 'world_clo' in the runs.*world_cloze"):
        evalkit.audit(ladder, tasks=["world_clo"])
    with pytest.raises(UsageError, match="--shots 4: the runs have 0"):
        evalkit.audit(ladder, shots=[4])
    with pytest.raises(UsageError, match="no model has between a third and three times"):
        evalkit.audit(ladder, near=10**9)
    assert {f.models for f in evalkit.audit(ladder, near=300_000).findings} == {3}
    assert {f.models for f in evalkit.audit(ladder, near=1_500_000).findings} == {1}
