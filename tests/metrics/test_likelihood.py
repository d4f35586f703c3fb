from __future__ import annotations

import math
import re

import numpy as np
import pytest

from evalkit import metrics
from evalkit.types import Example, Response

PAGES = [" one two three \n", "vier fünf\n"]
NATURAL = ["one two three", "vier fünf"]
LOGS = [-12.0, -7.5]


def value(name: str, examples: list[Example], responses: list[list[Response]]) -> float:
    metric = metrics.get(name)
    rows = np.array([metric.statistics(e, r) for e, r in zip(examples, responses, strict=True)])
    return float(metric.aggregate(rows.sum(axis=0), np.array(len(rows))))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ppl_word", math.exp(19.5 / (3 + 1 + 2 + 1))),
        ("ppl_word_lm_eval", math.exp(19.5 / sum(len(re.split(r"\s+", page)) for page in PAGES))),
        ("ppl_token", math.exp(19.5 / 11)),
        ("bits_per_byte", 19.5 / math.log(2) / sum(len(page.encode()) for page in PAGES)),
        ("bits_per_char", 19.5 / math.log(2) / sum(len(page) for page in PAGES)),
        ("ppl", math.exp(19.5 / 2)),
    ],
)
def test_sums_come_before_the_exponential(name: str, expected: float) -> None:
    items = [Example(task="", input=text, output="", original=page) for text, page in zip(NATURAL, PAGES, strict=True)]
    given = [
        [Response(loglikelihood=-4.0, tokens=2), Response(loglikelihood=-8.0, tokens=4)],
        [Response(loglikelihood=-7.5, tokens=5)],
    ]
    assert value(name, items, given) == pytest.approx(expected, rel=1e-12)
    assert not metrics.get(name).higher_is_better


def test_without_an_original_the_input_is_counted() -> None:
    item = Example(task="", input="a bc", output="")
    assert value("bits_per_char", [item], [[Response(loglikelihood=-4 * math.log(2))]]) == pytest.approx(1.0)


def test_answer_bits_take_the_gold_option() -> None:
    item = Example(task="", input="q", output="x", choices=("abcd", "éé é"), gold=1)
    given = [Response(loglikelihood=-1.0), Response(loglikelihood=-7 * math.log(2))]
    assert value("answer_bits_per_byte", [item], [given]) == pytest.approx(1.0)  # 7 bytes
    plain = Example(task="", input="q", output="ab")
    assert value("answer_bits_per_byte", [plain], [[Response(loglikelihood=-math.log(2))]]) == pytest.approx(0.5)


def test_extremes_warn_of_nothing() -> None:
    item = Example(task="", input="", output="")
    assert value("ppl", [item], [[Response(loglikelihood=-1e6)]]) == math.inf
    assert math.isnan(value("ppl_word", [item], [[Response(loglikelihood=-1.0)]]))
    assert math.isnan(value("bits_per_byte", [item], [[Response(loglikelihood=-1.0)]]))
