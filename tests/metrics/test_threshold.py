"""Matthews correlation: against scikit-learn, and the threshold never sees what it judges."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from evalkit import metrics
from evalkit.files import digest
from evalkit.types import Example, Response

METRIC = metrics.get("matthews")


def _value(items: list[tuple[str, bool, float]]) -> float:
    """Score (sentence, label, mean log-probability)."""
    rows = [
        METRIC.statistics(
            Example(task="t", input=text, output="x", gold=0 if label else 1),
            [Response(loglikelihood=mean * 4, tokens=4)],
        )
        for text, label, mean in items
    ]
    return float(METRIC.aggregate(np.asarray(rows).sum(axis=0), np.asarray(len(rows))))


def _items(seed: int, *, gap: float) -> list[tuple[str, bool, float]]:
    rng = random.Random(seed)
    labels = [rng.random() < 0.7 for _ in range(400)]
    return [(f"sentence {seed} {i}", label, -4 + gap * label + rng.gauss(0, 1)) for i, label in enumerate(labels)]


def _by_hand(items: list[tuple[str, bool, float]]) -> float:
    """Choose each half's threshold on the other half with scikit-learn's correlation."""
    halves = [[item for item in items if int(digest(item[0]), 16) % 2 == half] for half in range(2)]
    grid = [-12 + 0.125 * i for i in range(96)]
    judged, labels = [], []
    for own, other in (halves, halves[::-1]):
        floor = [[(label, max(mean, -12.0)) for _, label, mean in half] for half in (own, other)]
        scores = [matthews_corrcoef([x for x, _ in floor[1]], [m >= edge for _, m in floor[1]]) for edge in grid]
        edge = grid[int(np.argmax(scores))]
        judged += [mean >= edge for _, mean in floor[0]]
        labels += [label for label, _ in floor[0]]
    return float(matthews_corrcoef(labels, judged))


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0])
def test_it_is_scikit_learns_with_the_other_halfs_threshold(gap: float) -> None:
    items = _items(3, gap=gap)
    assert _value(items) == pytest.approx(_by_hand(items), abs=1e-12)


def test_what_is_parted_is_perfect_and_what_is_not_is_nothing() -> None:
    parted = [(f"s{i}", i % 3 == 0, -1.0 if i % 3 == 0 else -9.0) for i in range(60)]
    assert _value(parted) == 1.0
    assert _value([(text, label, -3.0) for text, label, _ in parted]) == 0.0
    assert _value([(text, True, mean) for text, _, mean in parted]) == 0.0


def test_without_signal_there_is_no_gain_from_choosing() -> None:
    values = [_value(_items(seed, gap=0.0)) for seed in range(30)]
    # A threshold chosen on the items themselves would be positive every time.
    assert abs(float(np.mean(values))) < 0.05


def test_many_sums_at_once() -> None:
    rows = np.asarray(
        [
            METRIC.statistics(
                Example(task="t", input=t, output="x", gold=0 if y else 1), [Response(loglikelihood=m, tokens=1)]
            )
            for t, y, m in _items(5, gap=1.0)
        ]
    )
    sums = np.stack([rows[:200].sum(axis=0), rows.sum(axis=0)])
    both = METRIC.aggregate(sums, np.asarray([200, 400]))
    assert both.shape == (2,)
    assert both[1] == METRIC.aggregate(sums[1], np.asarray(400))
