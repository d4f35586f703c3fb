"""Evaluation and samples while a model trains: ordinary runs, and a training that does not notice."""

from __future__ import annotations

import dataclasses
import json

import pytest
from processes import CONFIG, SHAPE

from evalkit.data.sources import DataPaths
from evalkit.errors import UsageError
from evalkit.files import read_json
from evalkit.harness import catalog
from evalkit.harness.load import load
from evalkit.harness.settings import RunSettings
from evalkit.model import weights
from evalkit.report import measurements
from evalkit.report.figures import curves
from evalkit.report.selection import select
from evalkit.runs.store import read_manifest, read_results
from evalkit.train.log import read_metrics
from evalkit.train.loop import Surroundings, train
from evalkit.train.observe import Evaluation, Samples, due

STEP = 4 * 32  # tokens
# A context that questions fit into.
CONFIG = dataclasses.replace(CONFIG, model=dataclasses.replace(SHAPE, dropout=0.1, context=128), sequences=1)


@pytest.fixture(scope="module")
def evaluation():
    settings = RunSettings(limit=3)
    tasks = [load(task, settings, DataPaths.from_user([], {})) for task in catalog.select(["world_qa"])]
    return Evaluation(every=10 * STEP, tasks=tasks, settings=settings)


@pytest.fixture(scope="module")
def observed(words, evaluation, tmp_path_factory):
    out = tmp_path_factory.mktemp("observed")
    train(CONFIG, *words, out, surroundings=Surroundings(observers=[evaluation, Samples(every=15 * STEP, count=2)]))
    return out


def test_the_training_does_not_notice(observed, words, tmp_path):
    plain = tmp_path / "plain"
    train(CONFIG, *words, plain)
    assert (plain / "model.safetensors").read_bytes() == (observed / "model.safetensors").read_bytes()
    losses = [[row["loss"] for row in read_metrics(out)] for out in (plain, observed)]
    assert losses[0] == losses[1]


def test_each_look_is_a_run_like_any_other(observed, evaluation):
    assert sorted(path.name for path in (observed / "eval").iterdir()) == ["step-10", "step-20"]
    for step in (10, 20):
        folder = observed / "eval" / f"step-{step}"
        training = read_manifest(folder)["training"]
        assert (training["step"], training["tokens"], training["corpus"]) == (step, step * STEP, "words")
        assert {result.n for result in read_results(folder) if not result.level} == {3}
    # The model at the end is the checkpoint, by its content.
    last = read_manifest(observed / "eval" / "step-20")["settings"]["model"]
    assert (last["model"], last["hash"]) == (observed.name, weights.content_hash(observed))
    assert read_json(observed / "training.json", UsageError)["validation_loss"] == training["loss"]
    assert training["loss_tokens"] > 0 and training["loss_stderr"] > 0


def test_the_report_draws_a_learning_curve(observed):
    found, problems = measurements.read([observed / "eval"])
    assert not problems
    figure = curves.figure(select(found))
    assert not isinstance(figure, str) and "Learning curves" in figure.title


def test_samples_are_texts_of_their_step(observed, words, tmp_path):
    files = sorted((observed / "samples").iterdir())
    assert [path.name for path in files] == ["step-15.txt", "step-20.txt"]
    text = files[0].read_text()
    assert text.startswith("step 15, 1,920 tokens\n--- sample 1\n") and "--- sample 2" in text
    assert any(word in text for word in ("one", "two", "three", "four", "five", "six", "seven", "eight"))


def test_when_an_observer_looks():
    samples = Samples(every=100)
    seen = [tokens for tokens in range(30, 301, 30) if due(samples, before=tokens - 30, now=tokens, last=tokens == 300)]
    assert seen == [120, 210, 300]
    with pytest.raises(UsageError, match="at least 1"):
        Samples(every=0)


def test_the_log_tells_what_it_should(observed):
    last = json.loads((observed / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"step", "tokens", "flops", "loss", "adam_lr", "muon_lr", "gradient_norm", "seconds"} <= last.keys()
    assert last["flops"] == last["tokens"] * CONFIG.model.flops_per_token
    assert last["matmul_share"] > 0 and last["adam_lr"] == pytest.approx(CONFIG.optim.adam_lr * last["rate"], rel=1e-3)
    assert last["validation_loss"] > 0
