"""Throughput of the engine at the bundled size; figures are for people, nothing is asserted on time."""

from __future__ import annotations

import random

import pytest
import torch

from evalkit import world
from evalkit.engine.gpt import GPTEngine
from evalkit.model.config import LADDER
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(world.corpus(seed=0, documents=166), vocab_size=3000)


@pytest.fixture(scope="module")
def engine(tokenizer):
    model = GPT(LADDER["nano"])
    model.initialize(torch.Generator().manual_seed(0))
    return GPTEngine(model, tokenizer, name="nano", content_hash="random")


def requests(kind, count):
    rng = random.Random(0)
    return [
        Request(
            kind=kind,
            task="t",
            doc_id=str(i),
            context_ids=tuple(rng.choices(range(256), k=rng.randint(40, 180))),
            continuation_ids=tuple(rng.choices(range(256), k=4)),
            decoding=Decoding(until=(), max_tokens=16),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("kind", "count"), [("loglikelihood", 1000), ("loglikelihood_rolling", 1000), ("generate_until", 200)]
)
def test_requests(benchmark, engine, kind, count):
    asked = requests(kind, count)
    answered = benchmark.pedantic(lambda: len(list(getattr(engine, kind)(asked))), rounds=3)
    assert answered == count
    benchmark.extra_info["requests_per_second"] = count / benchmark.stats.stats.median
