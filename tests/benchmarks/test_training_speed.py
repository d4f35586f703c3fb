"""Throughput of training steps at a few sizes; figures are for people, nothing is asserted on time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from evalkit import corpus as corpora
from evalkit import world
from evalkit.model.config import LADDER, GPTConfig, modern
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.train.config import TrainConfig
from evalkit.train.loop import Trainer
from tests.benchmarks.measure_training_speed import Products


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


@pytest.mark.parametrize("arch", ["gpt2", "modern"])
def test_the_products_of_a_step_are_all_of_its_products(arch):
    """Beside the count of operations by the parameters: 6 per weight and token, 12 per query, key and width."""
    shape = GPTConfig(n_layer=2, d_model=64, n_head=2, context=256, vocab_size=500)
    shape = modern(shape) if arch == "modern" else shape
    matrices = {
        name: part for name, part in GPT(shape).named_parameters() if part.ndim == 2 and "positions" not in name
    }
    keys = 128 * (128 + 256)  # a block of 128 queries sees 128 keys, the next one 256
    expected = 6 * 4 * 256 * sum(map(torch.numel, matrices.values())) + 12 * 2 * 4 * 64 * keys
    products = Products(shape, sequences=4)
    products.multiply()
    assert products.flops == expected
    muon = sum(
        5 * (4 * min(part.shape) ** 2 * max(part.shape) + 2 * min(part.shape) ** 3)
        for name, matrix in matrices.items()
        if name.startswith("blocks.")
        for part in (matrix.split(64) if "qkv" in name else [matrix])
    )
    assert Products(shape, sequences=4, muon=True).flops == expected + muon
