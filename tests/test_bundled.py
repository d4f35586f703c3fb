"""The bundled nano does what docs/world.md says of it: clearly better than chance and than the baselines."""

from __future__ import annotations

import json

import pytest

from evalkit.cli import main
from evalkit.model import resolve, weights
from evalkit.model.config import LADDER
from evalkit.runs.store import read_results

RUNGS = ("pico", "nano", "micro", "mini", "midi")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    tasks = "world_reading,world_qa,world_lastword,world_summary,world_lm"
    assert main(["run", "--model", "nano", "--tasks", tasks, "--limit", "150", "--out", str(out)]) == 0
    return read_results(out)


def one(results, task, metric, source="model", level=""):
    [found] = [r for r in results if (r.task, r.metric, r.source, r.level) == (task, metric, source, level)]
    return found


def test_reading_is_above_chance_and_needs_the_passage(results):
    reading = one(results, "world_reading", "acc")
    assert reading.low > reading.chance + 10
    assert one(results, "world_reading", "acc", "control:no_passage").high < reading.low


def test_frequent_people_are_known(results):
    assert one(results, "world_qa", "exact_match", level="head").low > 30
    assert one(results, "world_qa", "exact_match", "baseline:majority").high < 20


def test_last_words_follow_from_the_whole(results):
    # One of three candidates that the narrative names would be right by chance.
    assert one(results, "world_lastword", "acc").low > 100 / 3


def test_summaries_beat_the_lead(results):
    summary = one(results, "world_summary", "rouge1")
    assert summary.low > one(results, "world_summary", "rouge1", "baseline:lead_1").high + 10
    assert summary.low > one(results, "world_summary", "rouge1", "baseline:other").high


@pytest.mark.parametrize("rung", RUNGS)
def test_the_record_says_how_it_was_trained(rung):
    folder = resolve.path_of(rung)
    record = json.loads((folder / "training.json").read_text())
    model, tokenizer = weights.load(folder)
    assert model.config == LADDER[rung]
    assert record["parameters"] == model.config.parameters
    assert record["corpus"]["name"] == "world"
    assert tokenizer.size == model.config.vocab_size == 3000
    assert record["step"] * 8 * 256 == record["tokens"] == record["loss_curve"][-1][0]
    assert record["loss_curve"][-1][1] < 0.3 * record["loss_curve"][0][1]


def test_all_rungs_have_read_the_same():
    records = [json.loads((resolve.path_of(rung) / "training.json").read_text()) for rung in RUNGS]
    assert len({(record["settings"]["corpus"], record["tokens"]) for record in records}) == 1
    losses = [record["validation_loss"] for record in records]
    assert losses == sorted(losses, reverse=True)
    [tokens] = {record["validation_tokens"] for record in records}
    assert tokens == records[0]["corpus"]["validation_tokens"] - 1  # all of the held-out text
    assert all(0 < record["validation_stderr"] < 0.05 for record in records)


def test_the_weights_are_small_enough_to_ship():
    sizes = [(resolve.path_of(rung) / "model.safetensors").stat().st_size for rung in RUNGS]
    assert sum(sizes) < 20e6


def test_a_larger_rung_reads_better(tmp_path):
    words = ["--tasks", "world-quick", "--limit", "60", "--out", str(tmp_path)]
    assert main(["run", "--model", "pico,mini", *words]) == 0
    small, large = (one(read_results(tmp_path / rung), "world_reading", "acc") for rung in ("pico", "mini"))
    assert small.high < large.low
