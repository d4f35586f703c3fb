"""Long rows and long prompts: as short ones, in memory that grows with their length and not with its square."""

from __future__ import annotations

import random

import pytest

from evalkit.engine import slots
from evalkit.model import decoding, long_rows, tree_attention
from evalkit.model.config import GPTConfig
from evalkit.model.tree_attention import RowAttention
from tests.engine import test_generation
from tests.engine.test_generation import KINDS, tokenizer  # noqa: F401  a fixture
from tests.engine.test_generation import models as generators  # noqa: F401  a fixture
from tests.engine.test_scoring import CONTEXT, SHAPES, VOCABULARY, answers, asking, check, engine, layout, make


@pytest.fixture
def short_rows_are_long(monkeypatch):
    monkeypatch.setattr(tree_attention, "LONG", 16)
    monkeypatch.setattr(long_rows, "_QUERIES", 16)


@pytest.mark.parametrize("shape", SHAPES)
def test_long_rows_are_scored_as_one_by_one(short_rows_are_long, shape):
    model, rng = make(shape), random.Random(1)
    shots = rng.choices(range(VOCABULARY), k=90)
    contexts = [shots + rng.choices(range(VOCABULARY), k=rng.randint(3, 30)) for _ in range(4)]
    pairs = [(context, rng.choices(range(VOCABULARY), k=rng.randint(1, 12))) for context in contexts for _ in range(2)]
    pairs += [(rng.choices(range(VOCABULARY), k=length), [3, 4, 5]) for length in (20, 140, CONTEXT - 1)]
    for tokens in (1, 300):
        check(model, pairs, answers(engine(model, batch_tokens=tokens).loglikelihood([asking(*p) for p in pairs]), 11))


@pytest.mark.parametrize("band", [None, 1000])
def test_masks_of_a_long_row_grow_with_its_length(band):
    def values(length):
        config = GPTConfig(n_layer=1, d_model=8, n_head=1, context=1 << 14, vocab_size=9, band=band)
        [tree] = layout([([1] * length, [2])], 1 << 14)
        blocks = RowAttention(tree, config)._blocks
        return sum(mask.numel() for block in blocks for _, mask in (*block.dense.masks, *block.banded.masks))

    assert bool(values(4096)) == bool(band)
    assert values(8192) <= 2.2 * values(4096)


@pytest.mark.parametrize("kind", KINDS)
def test_long_prompts_are_read_in_parts(generators, tokenizer, kind, monkeypatch):  # noqa: F811
    monkeypatch.setattr(slots, "_PASS", 7)
    monkeypatch.setattr(slots, "_VALUES", 0)
    monkeypatch.setattr(decoding, "_MASK", 90)
    seen, rng = test_generation.counted(monkeypatch), random.Random(2)
    shared = rng.choices(range(2, 270), k=20)
    prompts = [shared + rng.choices(range(2, 270), k=k) for k in (3, 25, 22, 1, 7, 8)]
    requests = [test_generation.asking(prompt) for prompt in prompts]
    got = test_generation.answers(test_generation.engine(generators[kind], tokenizer), requests)
    naive = [test_generation.naive(generators[kind], tokenizer, request) for request in requests]
    assert [(response.text, response.tokens) for response in got] == naive
    assert max(new for new, _, _ in seen) == 7
