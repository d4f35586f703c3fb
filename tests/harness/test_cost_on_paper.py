"""The cost of a suite on paper: its arithmetic against the FLOPs of a training, and by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from evalkit.harness.item import Item
from evalkit.model.config import SIZES
from evalkit.types import Decoding, Example, Request
from tests.benchmarks.cost_on_paper import Accelerator, Count, of_item


def test_reading_a_whole_context_takes_a_third_of_training_on_it():
    config = SIZES["1542M"]
    length = config.context
    count = Count(documents=1, read=length, quadratic=length**2 / 2, scored=length)
    seconds = Accelerator(flops=1e12, share=0.5).seconds(count, config)
    assert seconds * 1e12 * 0.5 == pytest.approx(length * config.flops_per_token / 3)


def test_a_generated_token_waits_for_the_weights_once_per_batch():
    config = SIZES["1542M"]
    alone = Accelerator(flops=1e30, bandwidth=1e12, share=1.0)
    position = 2 * 2 * 48 * 1600  # keys and values in bf16, of 48 layers of width 1600
    count = Count(documents=1, generated=10, generated_after=10 * 100)
    assert alone.seconds(count, config) == pytest.approx(10 * (2 * config.parameters + 100 * position) / 1e12)
    many = Count(documents=4, generated=40, generated_after=40 * 100)
    assert alone.seconds(many, config) == pytest.approx(40 * (2 * config.parameters / 4 + 100 * position) / 1e12)


def item(kind, *, contexts, continuations, output="", most=1):
    requests = [
        Request(kind=kind, task="t", doc_id="1", context_ids=tuple(range(c)), continuation_ids=tuple(range(n)),
                decoding=Decoding(max_tokens=most))
        for c, n in zip(contexts, continuations, strict=True)
    ]  # fmt: skip
    example = Example(task="", input="", output=output)
    return Item(None, None, None, example, None, requests)


def test_a_shared_context_is_read_once():
    count = of_item(item("loglikelihood", contexts=[10, 10], continuations=[2, 4]), None)
    assert (count.requests, count.read, count.scored) == (2, 16, 6)
    assert count.quadratic == 10 * 10 / 2 + 2 * 11 + 4 * 12


def test_an_answer_is_generated_to_its_end():
    words = SimpleNamespace(encode=str.split)
    count = of_item(item("generate_until", contexts=[10], continuations=[0], output="a b c", most=8), words)
    assert (count.read, count.generated, count.generated_after) == (10, 4, 4 * 12)
    count = of_item(item("generate_until", contexts=[10], continuations=[0], output="a b c", most=2), words)
    assert count.generated == 2
