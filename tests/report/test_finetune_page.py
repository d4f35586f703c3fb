"""The page of fine-tunings, from made runs of known truth; and values over seeds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evalkit import metrics
from evalkit.cli import main
from evalkit.errors import StoreError
from evalkit.harness.aggregate import aggregate
from evalkit.report import measurements
from evalkit.report.figures import canvas
from evalkit.report.figures import shots as figures_of_shots
from evalkit.report.finetuned import page as finetune_page
from evalkit.report.finetuned import stored as finetune
from evalkit.report.pages import paper_tables
from evalkit.report.selection import select
from evalkit.runs.store import RunStore
from evalkit.stats.seeds import Scored, difference, over_seeds
from evalkit.types import Cell, Prompt, Record

CONFIG = {
    "learning_rate": 1e-3, "batch": 32, "epochs": 3, "least_updates": 100, "warmup": 0.002, "dropout": 0.1,
    "head_dropout": 0.1, "weight_decay": 0.01, "auxiliary": 0.5, "dtype": "bf16", "pretrained": True,
}  # fmt: skip
FULL, N = 60, 200


def records(*, shots, seed, rate, protocol="finetuned", task="sst2"):
    """Yield N records, `rate` of them right; the majority class is right on half of them."""
    for i in range(N):
        baseline = {"majority": {"acc": (float(i % 2),)}} if protocol == "finetuned" else {}
        yield Record(
            cell=Cell(task=task, protocol=protocol, shots=shots, seed=seed), doc_id=f"{i:03}", cluster="", level="",
            prompt=Prompt(contexts=("",)), continuations=(), responses=(), gold="", prediction="",
            scores={"acc": (float(i < round(rate * N)),)}, baselines=baseline, chance={"acc": 0.5},
        )  # fmt: skip


def write(folder, rates, *, name="mini fine-tuned", task="sst2", base="mini", content="h", **config):
    """Store a run; rates: (shots, seed) -> share of right answers."""
    about = {"family": "classification", "version": 1, "data": "d", "protocol": "finetuned", "metrics": ["acc"]}
    settings = {
        "model": {"model": name, "base": base, "hash": content, "dtype": "bf16", "parameters": "5"},
        "tasks": {task: {**about, "documents": N, "training": FULL, "training_cut": 2, "pool": f"{FULL} of 90"}},
        "finetune": {**CONFIG, "pretrained": "without" not in name, **config}, "seeds": [0, 1], "draws": 2,
        "limit": None, "limit_train": 60, "shots": [8, "all"],
    }  # fmt: skip
    with RunStore(folder, settings, training={"tokens": 15_000, "corpus": "books", "loss": 4.0}) as store:
        for (shots, seed), rate in rates.items():
            store.append(records(shots=shots, seed=seed, rate=rate, task=task))
        store.finish(aggregate(store.done, store.settings), {})
    took = {"rate": 1e-3, "updates": 100, "tokens": 500, "seconds": 0.1, "task_loss": 0.5, "lm_loss": 4.5}
    units = [{"task": task, "shots": shots, "seed": seed, **took} for shots, seed in rates]
    (folder / "units.jsonl").write_text("".join(json.dumps(unit) + "\n" for unit in units))
    return folder


def write_prompted(folder):
    about = {"family": "classification", "version": 1, "data": "d", "metrics": ["acc"]}
    settings = {"model": {"model": "mini", "hash": "h", "dtype": "fp32"}, "tasks": {"sst2": about}, "seeds": [1]}
    with RunStore(folder, {**settings, "limit": None, "shots": [0, 8]}) as store:
        for shots, rate in ((0, 0.5), (8, 0.55)):
            store.append(records(shots=shots, seed=1, rate=rate, protocol="gpt1"))
        store.finish(aggregate(store.done, store.settings), {})
    return folder


@pytest.fixture
def runs(tmp_path):
    tuned = {(8, 0): 0.6, (8, 1): 0.7, (FULL, 0): 0.80, (FULL, 1): 0.82}
    plain = {(FULL, 0): 0.6, (FULL, 1): 0.62}
    return [
        write(tmp_path / "tuned", tuned),
        write(tmp_path / "plain", plain, name="mini fine-tuned without pre-training"),
        write_prompted(tmp_path / "prompted"),
    ]


def test_the_page_says_what_the_runs_hold(runs, tmp_path):
    out = tmp_path / "reports" / "finetune.md"
    words = [*map(str, runs), "--out", str(out), "--note", "A part of the data."]
    (tmp_path / "reports").mkdir()
    assert main(["report-finetuned", *words]) == 0
    text = out.read_text()
    assert f"evalkit report-finetuned {runs[0]}" in text
    assert "--note 'A part of the data.'\n```" in text
    assert "\nA part of the data.\n" in text
    assert "| sst2 | acc | 200 | 50.0 | 50.0 \\[" in text
    assert "<sub>60.0, 62.0</sub> | 81.0 \\[" in text
    assert "*91.3 / 84.0*" in text
    assert "+31.0 [" in text
    assert "+20.0 [" in text
    assert "not told apart" not in text
    curve = [line for line in text.splitlines() if line.startswith("| sst2 | acc | 8 |")]
    assert len(curve) == 1
    assert "65.0 \\[" in curve[0]
    assert "55.0 \\[" in curve[0]
    same = "--task sst2 --shots 8,all --seeds 0,1 --learning-rate 0.001"
    assert f"evalkit finetune --model mini {same} --no-pretraining --limit-train 60 --draws 2\n" in text
    assert "evalkit run --model mini --tasks sst2 --shots 0,8\n" in text
    assert (tmp_path / "reports/finetune/shots.svg").read_text().startswith("<?xml")


def test_rates_that_were_chosen_are_said_with_those_tried(runs, tmp_path):
    more = write(tmp_path / "more", {(FULL, 0): 0.5}, task="rte", learning_rate=[3e-4, 1e-3])
    text = finetune_page.page(finetune.read([*runs, more]), command="page", figure="")
    assert (
        "learning rate one of 0.0003, 0.001, as the commands below say, several of them tried per task on held" in text
    )
    assert "| task | training examples | cut | rate | rate without pre-training | updates |" in text
    assert "| sst2 | 60 <sub>60 / 90</sub> | 2 | 0.001 | 0.001 | 100 |" in text
    assert "--task rte --shots 8,all --seeds 0,1 --learning-rate 0.0003,0.001 " in text


def test_runs_of_other_tasks_are_joined_and_others_refused(runs, tmp_path):
    assert len(finetune.read([tmp_path]).runs) == 3
    more = write(tmp_path / "more", {(FULL, 0): 0.5, (FULL, 1): 0.5}, task="rte")
    assert finetune.read([runs[0], more]).tasks == ["sst2", "rte"]
    with pytest.raises(StoreError, match="different settings"):
        finetune.read([runs[0], write(tmp_path / "epochs", {(FULL, 0): 0.5}, task="rte", epochs=9)])
    one = finetune.read([runs[0], write(tmp_path / "one", {(1, 0): 0.5})]).variants[0].tasks["sst2"]
    assert (one.counts, len(one.units)) == ([1, 8], 5)
    with pytest.raises(StoreError, match="have sst2, alike"):
        finetune.read([runs[0], write(tmp_path / "same", {(FULL, 0): 0.5})])
    with pytest.raises(StoreError, match="several models"):
        finetune.read([runs[0], write(tmp_path / "other", {(FULL, 0): 0.5}, base="nano", name="nano fine-tuned")])
    with pytest.raises(StoreError, match="several models named mini: their contents differ"):
        finetune.read([runs[0], write(tmp_path / "content", {(FULL, 0): 0.5}, task="rte", content="another")])
    with pytest.raises(StoreError, match="not the mini that was fine-tuned"):
        finetune.read([write(tmp_path / "alone", {(FULL, 0): 0.5}, content="another"), runs[2]])
    with pytest.raises(StoreError, match="none of the runs"):
        finetune.read([runs[2]])
    (more / "results.json").rename(more / "aside")
    with pytest.raises(StoreError, match="half-written"):
        finetune.read([more])
    (more / "aside").rename(more / "results.json")
    (more / "units.jsonl").unlink()
    with pytest.raises(StoreError, match=r"units\.jsonl cannot be read"):
        finetune.read([more])


def test_a_report_does_not_take_fine_tuning_for_prompts(runs):
    selection = select(measurements.read(runs)[0])
    assert {m.protocol for m in selection.main} == {"gpt1", "finetuned"}
    assert [grid.name for grid in paper_tables.by_setting(selection)] == ["h1-zero", "h1-few"]
    few = paper_tables.by_setting(selection)[1]
    assert [row[2].text for row in few.rows] == ["8"]
    drawn = figures_of_shots.figure(selection)
    assert isinstance(drawn, canvas.Figure)


def rows(*shares):
    metric = metrics.get("acc")
    by_seed = {
        seed: [Scored(statistics=(float(i < round(share * N)),), cluster=f"{i:03}") for i in range(N)]
        for seed, share in enumerate(shares)
    }
    return metric, by_seed


def test_seeds_that_differ_widen_an_interval():
    metric, alike = rows(0.5, 0.5, 0.5)
    _, apart = rows(0.4, 0.5, 0.6)
    same, wide = over_seeds(metric, alike), over_seeds(metric, apart)
    assert (same.value, wide.value, wide.n) == (50.0, 50.0, N)
    assert wide.per_seed == pytest.approx((40, 50, 60))
    # Student's t of three seeds, 4.303 x 10 / sqrt(3), and the documents'.
    assert wide.high - wide.value == pytest.approx(np.hypot(4.3027 * 10 / np.sqrt(3), same.high - same.value), rel=0.2)


def test_a_difference_on_the_same_documents_is_surer_than_two_intervals():
    metric, base = rows(0.5)
    _, better = rows(0.55)
    found = difference(metric, better, base)
    assert found.value == pytest.approx(5.0)
    assert 0 < found.low < 5 < found.high
    apart = over_seeds(metric, better).low - over_seeds(metric, base).high
    assert apart < 0
    none = difference(metric, base, base)
    assert (none.value, none.low, none.high) == (0.0, 0.0, 0.0)


def test_a_correlation_may_be_negative():
    metric = metrics.get("mcc")
    rng = np.random.default_rng(0)
    cells = np.eye(4)[rng.integers(4, size=40)]
    rows = {0: [Scored(statistics=tuple(cell), cluster=str(i)) for i, cell in enumerate(cells)]}
    assert over_seeds(metric, rows).low < 0
