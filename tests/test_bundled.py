"""The bundled nano does what README says of it: clearly better than chance and than the baselines."""

from __future__ import annotations

import json

import pytest

from evalkit.cli import main
from evalkit.harness.store import read_results
from evalkit.model import resolve, weights


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


def test_the_record_says_how_it_was_trained():
    folder = resolve.folder_of("nano")
    record = json.loads((folder / "training.json").read_text())
    model, tokenizer = weights.load(folder)
    assert record["parameters"] == model.config.parameters
    assert record["corpus"]["name"] == "world"
    assert tokenizer.size == model.config.vocab_size == 3000
    assert record["step"] * 8 * 256 == record["tokens"]
