"""The held-out loss: the same windows for every model, every token where there are few, an honest standard error."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from evalkit import corpus as corpora
from evalkit.model.config import GPTConfig
from evalkit.model.formats.transformers import training_of
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.train import validation
from evalkit.train.config import TrainConfig
from evalkit.train.loop import train
from evalkit.train.validation import Validation, budget
from tests.benchmarks import measure_held_out

SHAPE = GPTConfig(n_layer=1, d_model=16, n_head=2, context=16, vocab_size=50)
CONFIG = TrainConfig(model=SHAPE, tokens=1000, dtype="fp32")


@pytest.fixture(scope="module")
def model():
    model = GPT(SHAPE)
    model.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.tokens.weight.mul_(20)
    return model.eval()


def stream(tokens, *, seed=0):
    return np.random.default_rng(seed).integers(1, 50, tokens).astype(np.uint16)


def read(model, ids, *, tokens):
    return Validation(ids, context=16, end_of_text=0).loss(model, CONFIG, tokens=tokens)


def by_hand(model, ids, windows):
    """Nats of each target of some windows, one forward pass each."""
    found = []
    for n in windows:
        tokens = torch.from_numpy(ids[n * 16 : (n + 1) * 16 + 1].astype(np.int64))
        with torch.no_grad():
            found.append(F.cross_entropy(model(tokens[None, :-1])[0], tokens[1:], reduction="none").numpy())
    return found


@pytest.mark.parametrize("length", [2, 17, 18, 1000, 1601])
def test_of_little_text_every_token_counts_once(length, model):
    ids = stream(length)
    found = read(model, ids, tokens=10**6)
    losses = by_hand(model, ids, range(-(-(length - 1) // 16)))
    assert found.tokens == length - 1
    assert found.loss == pytest.approx(np.concatenate(losses).mean(), abs=1e-4)


def test_without_text_there_is_no_loss(model):
    assert read(model, stream(1), tokens=100) is None and read(model, stream(0), tokens=100) is None


def test_a_smaller_draw_is_a_part_of_a_larger_one_and_of_the_whole_text(model, monkeypatch):
    def drawn(tokens):
        seen = []
        monkeypatch.setattr(
            validation, "token_losses", lambda _, rows, __: seen.append(rows[:, 0]) or torch.ones(rows[:, 1:].shape)
        )
        assert read(model, ids, tokens=tokens).tokens == tokens
        return torch.cat(seen).tolist()

    ids = stream(16 * 400 + 1)
    ids[::16] = range(401)  # every window begins with its own number
    few, more = drawn(16 * 64), drawn(16 * 200)
    assert set(few) < set(more) and len(set(more)) == 200
    assert max(few) > 350 and min(few) < 50  # not the first 64


@pytest.mark.parametrize("windows_of_a_document", [0.25, 1, 20])
def test_the_standard_error_is_the_spread_of_losses_over_texts(windows_of_a_document, monkeypatch):
    """Documents whose tokens share a part of their loss, as texts of one subject do; 300 texts of 200 windows."""
    length, found = int(16 * windows_of_a_document), []
    monkeypatch.setattr(validation, "token_losses", lambda _, tokens, __: tokens[:, 1:].float())
    for seed in range(300):
        rng = np.random.default_rng(seed)
        documents = 3200 // length
        ids = rng.integers(1, 60, (documents, length)) + rng.integers(0, 60, (documents, 1))
        ids[:, -1] = 0
        found.append(read(None, np.concatenate([[0], ids.flatten()]).astype(np.uint16), tokens=10**6))
    spread = np.std([one.loss for one in found])
    assert 0.85 * spread < np.mean([one.stderr for one in found]) < 1.25 * spread


def test_the_budget():
    config = replace(CONFIG, sequences=8)
    assert budget(config, last=False) == 64 * 16
    assert budget(config, last=True) == 64 * 16  # a twentieth of the work of 1,000 tokens is less
    assert budget(replace(config, tokens=2_000_000), last=True) == pytest.approx(300_000, rel=1e-3)
    assert budget(replace(config, tokens=20_000_000), last=True) == 1_000_000


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["one two three four five six"] * 5, vocab_size=300)


def test_log_checkpoint_and_facts_say_what_the_loss_rests_on(tokenizer, tmp_path):
    texts = (f"one two {'three four ' * (i % 7)}five six {i}" for i in range(600))
    corpus = corpora.of_texts(texts, tokenizer, tmp_path / "corpus", name="pages", validation=0.1)
    config = replace(CONFIG, model=replace(SHAPE, vocab_size=300), sequences=4, checkpoint_every=5)
    train(config, corpus, tokenizer, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    last = json.loads((tmp_path / "out" / "metrics.jsonl").read_text().splitlines()[-1])
    for name in ("validation_loss", "validation_stderr", "validation_tokens"):
        assert record[name] == last[name] > 0
    assert record["validation_tokens"] == min(len(corpus.validation) - 1, 64 * 16)
    facts = training_of(tmp_path / "out")
    assert (facts["loss"], facts["loss_stderr"], facts["loss_tokens"]) == (
        record["validation_loss"], record["validation_stderr"], record["validation_tokens"],
    )  # fmt: skip
    train(config, corpus, tokenizer, tmp_path / "out", resume=True)
    assert json.loads((tmp_path / "out" / "training.json").read_text()) == record


def test_a_corpus_without_held_out_text_says_so(tokenizer, tmp_path, caplog):
    corpus = corpora.of_texts(["one two three " * 400], tokenizer, tmp_path / "corpus", name="book")
    train(replace(CONFIG, model=replace(SHAPE, vocab_size=300)), corpus, tokenizer, tmp_path / "out")
    assert "the corpus book has no held-out text" in caplog.text
    assert json.loads((tmp_path / "out" / "training.json").read_text())["validation_loss"] is None


@pytest.fixture
def finished(tokenizer, tmp_path):
    """A corpus and a finished training on it, whose record has the loss of an older evalkit: without an error."""
    texts = (f"one two {'three four ' * (i % 7)}five six {i}" for i in range(600))
    corpus = corpora.of_texts(texts, tokenizer, tmp_path / "corpus", name="pages", validation=0.1)
    train(replace(CONFIG, model=replace(SHAPE, vocab_size=300)), corpus, tokenizer, tmp_path / "out")
    path = tmp_path / "out" / "training.json"
    record = json.loads(path.read_text())
    old = {key: value for key, value in record.items() if key not in ("validation_stderr", "validation_tokens")}
    path.write_text(json.dumps(old | {"validation_loss": 9.0}))
    return path, record


def measured_anew(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["measure_held_out.py", *map(str, words)])
    return measure_held_out.main()


def test_a_finished_checkpoint_is_measured_anew_as_its_training_did_at_its_end(finished, monkeypatch, capsys):
    path, record = finished
    old, weights = path.read_text(), (path.parent / "model.safetensors").read_bytes()
    words = path.parent, "--corpus", path.parents[1] / "corpus"
    assert measured_anew(monkeypatch, *words) == 0
    assert f"{record['validation_loss']} ± {record['validation_stderr']}" in capsys.readouterr().out
    assert path.read_text() == old  # not asked to write
    assert measured_anew(monkeypatch, *words, "--write") == 0
    assert list(json.loads(path.read_text()).items()) == list(record.items())
    assert (path.parent / "model.safetensors").read_bytes() == weights


def test_a_checkpoint_is_not_measured_on_another_corpus(finished, tokenizer, tmp_path, monkeypatch, capsys):
    path, record = finished
    old = path.read_text()
    other = corpora.of_texts(["one two " * i for i in range(50)], tokenizer, tmp_path / "other", name="other")
    assert measured_anew(monkeypatch, path.parent, "--corpus", tmp_path / "other", "--write") == 2
    said = capsys.readouterr().err
    assert record["corpus"]["fingerprint"] in said and other.info.fingerprint in said
    assert path.read_text() == old


def test_a_record_of_another_trainer_is_refused(finished, monkeypatch, capsys):
    path, _ = finished
    path.write_text('{"settings": {"corpus": "x", "rate": 1}}')
    assert measured_anew(monkeypatch, path.parent, "--corpus", path.parents[1] / "corpus") == 2
    assert "is not a record of evalkit's trainer" in capsys.readouterr().err
