"""The trainer: the same loss as plain PyTorch, exact resume, and clear errors."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest
import torch
from torch.nn import functional as F

from evalkit import corpus as corpora
from evalkit.errors import CheckpointError, DataError, UsageError
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.train.batches import Batches
from evalkit.train.compiled import hidden_of
from evalkit.train.config import TrainConfig
from evalkit.train.loop import Trainer, train
from evalkit.train.loss import linear_cross_entropy
from evalkit.train.optim import OptimConfig
from evalkit.train.spikes import DivergedError

SHAPE = GPTConfig(n_layer=1, d_model=32, n_head=2, context=32, vocab_size=300)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(pages(200), vocab_size=300)


@pytest.fixture(scope="module")
def corpus(tokenizer, tmp_path_factory):
    return corpora.of_texts(pages(400), tokenizer, tmp_path_factory.mktemp("corpus"), name="pages")


def pages(count):
    rng = random.Random(0)
    for _ in range(count):
        yield " ".join(rng.choices("one two three four five six seven eight nine ten".split(), k=40))


def config(**changes):
    plain = TrainConfig(model=SHAPE, tokens=30 * 4 * 32, sequences=4, checkpoint_every=10, log_every=10, dtype="fp32")
    return dataclasses.replace(plain, **changes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kept", [1, 24 * 130, 1 << 24], ids=["a chunk", "three chunks", "all"])
def test_the_chunked_loss_is_cross_entropy(dtype, kept, monkeypatch):
    monkeypatch.setattr("evalkit.train.loss._ROWS", 8)
    monkeypatch.setattr("evalkit.train.loss._KEPT", kept)
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(70, 16, generator=generator, requires_grad=True)
    weight = torch.randn(130, 16, generator=generator, requires_grad=True)
    targets = torch.randint(0, 130, (70,), generator=generator)
    expected = F.cross_entropy(F.linear(states, weight), targets)
    expected_grads = torch.autograd.grad(expected * 3, [states, weight])
    loss = linear_cross_entropy(states, weight, targets, dtype=dtype)
    grads = torch.autograd.grad(loss * 3, [states, weight])
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(loss, expected, atol=tolerance, rtol=tolerance)
    for ours, theirs in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)


def test_training_learns_and_leaves_a_model(corpus, tokenizer, tmp_path):
    train(config(), corpus, tokenizer, tmp_path / "out")
    entries = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [e["step"] for e in entries] == [10, 20, 30]
    assert entries[-1]["loss"] < entries[0]["loss"] - 0.5
    assert entries[-1]["tokens"] == 30 * 4 * 32
    model, _ = weights.load(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["parameters"] == sum(p.numel() for p in model.parameters())
    assert record["validation_loss"] == pytest.approx(entries[-1]["loss"], abs=1.0)
    assert record["training_loss"] == pytest.approx(entries[-1]["loss"], abs=1e-4)
    assert record["cpu_seconds"] > 0
    assert (record["threads"], record["compiled"]) == (torch.get_num_threads(), False)
    assert all(e["tokens_per_second"] > 0 for e in entries)


def test_kept_checkpoints_are_models_of_their_step(corpus, tokenizer, tmp_path):
    whole = train(config(checkpoint_keep=15), corpus, tokenizer, tmp_path / "out")
    plain = train(config(), corpus, tokenizer, tmp_path / "plain")
    assert torch.equal(whole.tokens.weight, plain.tokens.weight)
    assert sorted(path.name for path in (tmp_path / "out").glob("step-*")) == ["step-15", "step-30"]
    for step in (15, 30):
        folder = tmp_path / "out" / f"step-{step}"
        model, _ = weights.load(folder)
        record = json.loads((folder / "training.json").read_text())
        assert (record["step"], record["tokens"]) == (step, step * 4 * 32)
        assert not (folder / "state.pt").exists()
        assert torch.equal(model.tokens.weight, whole.tokens.weight) == (step == 30)
    with pytest.raises(UsageError, match="checkpoint_keep"):
        config(checkpoint_keep=0)


@pytest.mark.parametrize(("stop", "untied"), [(10, False), (20, False), (10, True)])
def test_a_resumed_training_ends_with_the_same_bits(corpus, tokenizer, tmp_path, stop, untied):
    given = config(dtype="bf16", model=dataclasses.replace(SHAPE, untied=untied))
    whole = train(given, corpus, tokenizer, tmp_path / "whole")
    broken = Trainer(given, corpus, tokenizer, tmp_path / "broken")
    (tmp_path / "broken").mkdir()
    save = broken.save

    def save_then_die():
        save()
        if broken.step == stop:
            raise KeyboardInterrupt

    broken.save = save_then_die
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    again = train(given, corpus, tokenizer, tmp_path / "broken", resume=True)
    for ours, theirs in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)

    def losses(name):
        return [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]

    assert losses("whole") == losses("broken")


@pytest.mark.parametrize(
    "changes", [{"norm": "post"}, {"n_layer": 2, "band": 8}, {"untied": True}], ids=["gpt1", "gpt3", "untied"]
)
def test_other_shapes_learn_and_are_read_back(changes, corpus, tokenizer, tmp_path):
    shape = dataclasses.replace(SHAPE, **changes)
    trained = train(config(model=shape), corpus, tokenizer, tmp_path)
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert entries[-1]["loss"] < entries[0]["loss"] - 0.5
    model, _ = weights.load(tmp_path)
    assert model.config == shape
    for ours, theirs in zip(trained.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_state_older_than_a_field_of_the_shape_goes_on(corpus, tokenizer, tmp_path):
    trained = train(config(), corpus, tokenizer, tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for name in ("norm", "band", "untied"):
        del state["settings"]["model"][name]
    torch.save(state, tmp_path / "state.pt")
    again = train(config(), corpus, tokenizer, tmp_path, resume=True)
    assert torch.equal(trained.tokens.weight, again.tokens.weight)
    with pytest.raises(CheckpointError, match="band"):
        banded = dataclasses.replace(SHAPE, band=8)
        train(config(model=banded), corpus, tokenizer, tmp_path, resume=True)


def test_the_same_seed_gives_the_same_bits(corpus, tokenizer, tmp_path):
    first, second, other = (
        train(config(seed=seed), corpus, tokenizer, tmp_path / name) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert torch.equal(first.tokens.weight, second.tokens.weight)
    assert not torch.equal(first.tokens.weight, other.tokens.weight)


def test_a_training_is_not_overwritten_and_not_mixed(corpus, tokenizer, tmp_path):
    train(config(), corpus, tokenizer, tmp_path)
    with pytest.raises(UsageError, match="--resume"):
        train(config(), corpus, tokenizer, tmp_path)
    with pytest.raises(CheckpointError, match="seed: 0 -> 5"):
        train(config(seed=5), corpus, tokenizer, tmp_path, resume=True)
    (tmp_path / "state.pt").write_bytes(b"PK cut")
    with pytest.raises(CheckpointError, match=r"state\.pt cannot be read"):
        train(config(), corpus, tokenizer, tmp_path, resume=True)


def test_a_diverged_training_stops(corpus, tokenizer, tmp_path):
    wild = config(optim=OptimConfig(muon_lr=1e9, adam_lr=1e9, clip=1e9))
    with pytest.raises(DivergedError, match="lower learning rate"):
        train(wild, corpus, tokenizer, tmp_path)


def test_without_a_compiler_the_model_runs_as_it_is(monkeypatch, capsys):
    model = GPT(SHAPE)
    monkeypatch.setenv("CXX", "no-such-compiler")
    hidden, compiled = hidden_of(model, "on", tokens=1, device="cpu")
    assert (hidden, compiled) == (model.hidden, False)
    assert "no C++ compiler found" in capsys.readouterr().err
    assert hidden_of(model, "auto", tokens=10**15, device="cpu")[1] is False
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, on importing its compiler
@pytest.mark.parametrize(
    ("mode", "tokens", "device", "expected"),
    [
        ("auto", 10**5, "cuda", False),
        ("auto", 10**15, "cuda", True),
        ("auto", 10**15, "cpu", False),
        ("off", 10**15, "cuda", False),
        ("on", 1, "cuda", True),
        ("on", 1, "cpu", True),
    ],
)
def test_auto_compiles_long_trainings_on_a_gpu(mode, tokens, device, expected, monkeypatch):
    monkeypatch.setattr("evalkit.train.compiled.compiler", lambda: "g++")
    assert hidden_of(GPT(SHAPE), mode, tokens=tokens, device=device)[1] is expected


def test_an_epoch_visits_every_window_once(tokenizer):
    import numpy as np

    stream = np.arange(10_000, dtype=np.uint16)
    batches = Batches(stream, context=32, sequences=4, seed=3)
    seen = [int(start) for step in range(batches.steps_per_epoch) for start in batches.batch(step)[0][:, 0]]
    assert len(set(seen)) == len(seen) == batches.steps_per_epoch * 4
    assert len({start % 32 for start in seen}) == 1
    inputs, targets = batches.batch(batches.steps_per_epoch + 1)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    again = Batches(stream, context=32, sequences=4, seed=3).batch(batches.steps_per_epoch + 1)[0]
    assert torch.equal(inputs, again)


def test_the_schedules():
    for shape, middle, last in (("linear", 0.5, 0.0), ("cosine", 0.55, 0.1), ("trapezoid", 1.0, 0.0)):
        rates = OptimConfig(schedule=shape, warmup=0.0).over((0, 1000))
        assert rates.rate(500) == pytest.approx(middle, abs=0.01)
        assert rates.rate(999) == pytest.approx(last, abs=0.01)


def test_a_corpus_shorter_than_a_batch(tokenizer, tmp_path):
    tiny = corpora.of_texts(["one two"], tokenizer, tmp_path / "corpus", name="tiny")
    with pytest.raises(DataError, match="needs at least"):
        train(config(), tiny, tokenizer, tmp_path / "out")
