"""CORE's errors: bootstrap and formulas against each other and closed forms, each cause apart, and the ranking."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import evalkit
from evalkit.cli import main
from evalkit.dclm import leaderboard, spread
from evalkit.dclm.scores import RunScores, TaskScores, check_alike
from evalkit.errors import CompareError
from evalkit.stats.intervals import student
from tests.dclm.made_bundle import make


def task(label, right, *, baseline=0.25, data="", total=None, limit="all"):
    right = np.asarray(right, dtype=np.float64)
    right = right[:, None] if right.ndim == 1 else right
    return TaskScores(
        label=label, data=data or label, ids=np.arange(len(right), dtype=np.uint64), right=right,
        seeds=tuple(range(1, right.shape[1] + 1)), baseline=baseline, total=total or len(right),
        settings={"protocol": "core", "shots": "0", "limit": limit},
    )  # fmt: skip


def run(*tasks, model="m"):
    return RunScores(path=Path(model), model=model, tasks={each.label: each for each in tasks})


def drawn(rng, n, p):
    return (rng.random(n) < p).astype(float)


def test_the_bootstrap_agrees_with_the_closed_form():
    rng = np.random.default_rng(1)
    scores = run(task("a", drawn(rng, 300, 0.4)), task("b", drawn(rng, 900, 0.7), baseline=0.5))
    samples = spread.strata([(scores, 1.0)])
    rights = [each.accuracy for each in scores.tasks.values()]
    variance = sum(p * (1 - p) / n / (1 - b) ** 2 / 4 for p, n, b in zip(rights, (300, 900), (0.25, 0.5), strict=True))
    values = spread.replicates(samples, resamples=20_000, seed=0)
    assert values.mean() == pytest.approx(scores.core, abs=5e-4)
    assert values.std() == pytest.approx(math.sqrt(variance), rel=0.02)
    # the jackknife divides by n - 1
    assert spread.of_documents(samples).variance == pytest.approx(variance, rel=0.01)


def test_two_tasks_on_one_file_share_their_documents():
    rng = np.random.default_rng(2)
    right = drawn(rng, 500, 0.5)
    apart = run(task("a", right), task("b", right))
    same = run(task("a", right, data="file"), task("b", right, data="file"))
    once = spread.of_documents(spread.strata([(apart, 1.0)])).variance
    assert spread.of_documents(spread.strata([(same, 1.0)])).variance == pytest.approx(2 * once)
    assert len(spread.strata([(same, 1.0)])) == 1


def test_the_interval_covers_at_its_level():
    rng = np.random.default_rng(3)
    truth = np.mean([(p - 0.25) / 0.75 for p in (0.3, 0.5, 0.8)])
    covered = 0
    for seed in range(400):
        scores = run(*(task(name, drawn(rng, 120, p)) for name, p in (("a", 0.3), ("b", 0.5), ("c", 0.8))))
        low, high = spread.recipe([scores], resamples=400, seed=seed).documents
        covered += low <= truth <= high
    assert 0.91 <= covered / 400 <= 0.98


def test_a_paired_difference_is_students_t_over_documents():
    rng = np.random.default_rng(4)
    base = drawn(rng, 400, 0.5)
    new = np.where(rng.random(400) < 0.1, 1 - base, base)
    apart = spread.difference(spread.recipe([run(task("a", base))]), spread.recipe([run(task("a", new))]))
    gains = (new - base) / 0.75
    assert apart.value == pytest.approx(gains.mean())
    reach = apart.high - apart.value
    assert reach == pytest.approx(1.96 * gains.std(ddof=1) / 20, rel=0.03)
    equal = spread.difference(spread.recipe([run(task("a", base))]), spread.recipe([run(task("a", base))]))
    assert (equal.value, equal.p) == (0.0, 1.0)


def test_a_part_of_the_documents_has_the_error_of_a_draw_without_replacement():
    right = [1.0, 0.0] * 50
    samples = spread.strata([(run(task("a", right, total=400)), 1.0)])
    error = math.sqrt(0.25 * 100 / 99 / 100 * (1 - 100 / 400)) / 0.75
    assert spread.of_the_rest(samples) == pytest.approx(error)
    assert spread.of_the_rest(spread.strata([(run(task("a", right)), 1.0)])) == 0.0


def test_seeds_and_trainings_are_apart_and_widen_the_interval():
    rng = np.random.default_rng(5)
    shots = np.column_stack([drawn(rng, 200, 0.5) for _ in range(3)])
    runs = [run(task("a", shots), task("b", drawn(rng, 200, p)), model=f"m{p}") for p in (0.3, 0.6)]
    made = spread.recipe(runs)
    assert list(made.by_seed) == [1, 2, 3]
    assert made.by_seed[2] == pytest.approx(np.mean([one.under(2) for one in runs]))
    assert made.by_training == [one.core for one in runs]
    trainings = spread.of_seeds(made.by_training)
    assert trainings is not None and trainings.variance == pytest.approx(np.var(made.by_training, ddof=1) / 2)
    assert made.high - made.low > made.documents[1] - made.documents[0]
    alone = spread.recipe([run(task("b", drawn(rng, 200, 0.5)))])
    assert (alone.low, alone.high) == alone.documents
    assert spread.of_seeds([0.3]) is None
    assert student(1) > 12  # of two trainings


def test_a_failed_document_is_left_out():
    scores = run(task("a", [1.0, math.nan, 0.0, 1.0]))
    assert scores.core == pytest.approx((2 / 3 - 0.25) / 0.75)
    [sample] = spread.strata([(scores, 1.0)])
    assert (len(sample.parts), sample.parts.sum()) == (3, pytest.approx(scores.core))


def test_the_ranking_tells_apart_what_differs_and_nothing_else():
    rng = np.random.default_rng(6)
    base = drawn(rng, 2000, 0.5)
    almost = np.where(np.arange(2000) < 3, 1 - base, base)
    worse = np.where(rng.random(2000) < 0.3, 0.0, base)
    board = leaderboard.rank(
        [[run(task("a", right), model=name)] for right, name in ((worse, "w"), (base, "b"), (almost, "c"))],
        alpha=0.05, resamples=500, seed=0,
    )  # fmt: skip
    assert board.recipes[2].runs[0].model == "w"
    assert [board.alike(place) for place in range(3)] == [[1], [0], []]
    raw = json.loads(leaderboard.as_json(board))
    assert [row["not_told_apart_from"] for row in raw["recipes"]] == [[1], [0], []]
    assert {pair["adjusted"] >= pair["p"] for pair in raw["differences"]} == {True}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (task("b", [1.0, 0.0]), "only one of them has a, b"),
        (task("a", [1.0, 0.0], limit="first-2"), "a differs in limit"),
        (task("a", [1.0, 0.0, 1.0]), "a has other documents"),
        (task("a", [[1.0, 0.0], [1.0, 1.0]]), "a has other seeds of shots"),
    ],
)
def test_runs_that_cannot_be_compared_are_named(other, message):
    with pytest.raises(CompareError, match=f"x and y.*{message}"):
        check_alike([run(task("a", [1.0, 0.0]), model="x"), run(other, model="y")])


def test_the_command_shows_tasks_and_a_ranking(tmp_path, capsys):
    bundle = make(tmp_path / "bundle")
    places = [str(tmp_path / name) for name in ("nano", "pico")]
    for name, place in zip(("nano", "pico"), places, strict=True):
        words = ["run", "--model", name, "--tasks", "core", "--data", f"core={bundle}", "--out", place, "--no-cache"]
        assert main(words) == 0
    capsys.readouterr()
    assert main(["core", places[0]]) == 0
    shown = capsys.readouterr().out
    assert "mean of 3 of CORE's 22" in shown and "No CORE: the runs lack hellaswag_zeroshot" in shown
    assert main(["core", *places, "--json", str(tmp_path / "core.json")]) == 0
    assert "not told apart from" in capsys.readouterr().out
    [first, second] = json.loads((tmp_path / "core.json").read_text())["recipes"]
    assert {first["model"], second["model"]} == {"nano", "pico"}
    assert main(["core", places[0], "--corrected"]) != 0
    assert "had no eval_meta_data_corrected.csv" in capsys.readouterr().err
    assert main(["core", places[0], "--alpha", "2"]) != 0
    assert "--alpha must be between 0 and 1" in capsys.readouterr().err


def test_compare_adds_a_verdict_on_core_that_does_not_gate(tmp_path, capsys):
    bundle = make(tmp_path / "bundle")
    words = ["run", "--model", "nano", "--tasks", "core", "--data", f"core={bundle}", "--no-cache", "--out"]
    assert main([*words, str(tmp_path / "a")]) == main([*words, str(tmp_path / "b"), "--seeds", "1,2"]) == 0
    capsys.readouterr()
    files = {name: tmp_path / f"out.{name}" for name in ("json", "markdown", "junit")}
    written = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "a"), *written]) == 0
    line = "+0.0000 [+0.0000, +0.0000], p 1: undecided; it does not gate"
    assert line in capsys.readouterr().out and "undecided; it does not gate" in files["markdown"].read_text()
    suite = ET.parse(files["junit"]).getroot().find("testsuite")
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties["mean of 3 of CORE's 22"].endswith(line) and suite.get("name") == "evalkit compare"
    mean = json.loads(files["json"].read_text())["mean"]
    assert mean["verdict"] == "undecided" and mean["p"] == 1 and mean["base"] == mean["new"] and not mean["reason"]
    assert str(evalkit.compare(tmp_path / "a", tmp_path / "a").mean).endswith(line)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--allow", "seeds", *written]) == 0
    assert "No verdict on CORE: " in capsys.readouterr().out
    mean = json.loads(files["json"].read_text())["mean"]
    assert mean["reason"] and mean["p"] is mean["verdict"] is None
