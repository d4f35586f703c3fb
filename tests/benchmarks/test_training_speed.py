"""Throughput of training steps at a few sizes; figures are for people, nothing is asserted on time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit import corpus as corpora
from evalkit import world
from evalkit.model.config import LADDER
from evalkit.tokenizer import Tokenizer
from evalkit.train.config import TrainConfig
from evalkit.train.loop import Trainer


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(world.corpus(seed=0, documents=166), vocab_size=3000)


@pytest.fixture(scope="module")
def corpus(tokenizer, tmp_path_factory):
    documents = world.corpus(seed=0, documents=416)
    return corpora.of_texts(documents, tokenizer, tmp_path_factory.mktemp("corpus"), name="world")


@pytest.mark.parametrize(("size", "dropout"), [("nano", 0), ("micro", 0), ("mini", 0), ("mini", 0.1), ("maxi", 0)])
def test_training_step(benchmark, size, dropout, tokenizer, corpus, tmp_path):
    config = TrainConfig(model=replace(LADDER[size], dropout=dropout), tokens=10**9, compile="off")
    trainer = Trainer(config, corpus, tokenizer, tmp_path)
    benchmark.pedantic(trainer._one_step, rounds=10, warmup_rounds=3)
    per_step = config.sequences * config.model.context
    benchmark.extra_info["tokens_per_second"] = per_step / benchmark.stats.stats.median
