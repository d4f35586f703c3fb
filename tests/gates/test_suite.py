"""Tracks and suites: what is claimed after each look, and how the tasks share alpha."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evalkit import metrics
from evalkit.comparison.evidence import Key
from evalkit.errors import UsageError
from evalkit.gates.reading import Order, Part
from evalkit.gates.settings import GateSettings, parse_weights
from evalkit.gates.suite import Suite, verdict_of
from evalkit.gates.track import SHARE, SHARE_OF_SAME, Track
from evalkit.stats.anytime import scales
from evalkit.stats.paired import Units, interval


def track(n=400, *, name="task", metric="acc", margin=5.0, weight=1.0):
    one = Order(ids=np.arange(n, dtype=np.uint64), ranks=np.arange(n))
    return Track(
        key=Key(name, "plain", 0), family="qa", metric=metrics.get(metric), margin=margin, weight=weight, order=one,
        seeds=1,
    )  # fmt: skip


def units(base, new):
    ones = np.ones(len(base))
    return Units(base=np.column_stack([base, ones]), new=np.column_stack([new, ones]), single=True)


def look(one, base, new, **more):
    one.look(units(base, new), read=len(base), documents=len(base), alpha=0.05, **more)


def alone(one):
    return Suite([one], alpha=0.05)


def test_a_large_loss_is_told_after_few_documents():
    one = track()
    look(one, [1] * 20, [0] * 12 + [1] * 8)
    assert alone(one).claims == ["worse"] and alone(one).undecided == set()
    assert one.alone == ("worse", 20) and one.p["worse"] < 0.05 < one.p["better"]
    assert one.change == -60.0


def test_what_has_been_shown_stays_shown():
    one = track()
    look(one, [1] * 20, [0] * 12 + [1] * 8)
    before = one.p["worse"]
    look(one, [1] * 20 + [0] * 12, [0] * 12 + [1] * 8 + [1] * 12)
    assert one.p["worse"] == before


def test_identical_answers_are_the_same_only_once_there_are_enough():
    one = track(2000)
    look(one, [1] * 60, [1] * 60)
    assert alone(one).claims == [None] and alone(one).undecided == {Part("task", 0)}
    # The largest bet wins the margin each time, and is one of several.
    needed = (math.log(len(scales(2000))) - math.log(SHARE_OF_SAME * 0.05)) / 0.05
    look(one, [1] * int(0.9 * needed), [1] * int(0.9 * needed))
    assert alone(one).claims == [None]
    look(one, [1] * int(1.1 * needed), [1] * int(1.1 * needed))
    assert alone(one).claims == ["same"]


def test_without_a_margin_nothing_is_the_same():
    one = track(2000, margin=None)
    look(one, [1] * 1500, [1] * 1500)
    assert alone(one).claims == [None]


def test_a_change_within_the_margin_is_not_the_end():
    one = track(1000, margin=20.0)
    look(one, [0] * 100, [1] * 15 + [0] * 85)
    assert alone(one).claims == ["better"] and alone(one).undecided == {Part("task", 0)}
    look(one, [0] * 900, [1] * 130 + [0] * 770)
    assert alone(one).claims == ["same"] and alone(one).undecided == set()


def test_the_last_look_has_the_test_of_the_comparison():
    n = 60
    base, new = [1] * n, [0] * 7 + [1] * (n - 7)  # McNemar's mid-p: 2 ** -7
    early, late = track(1000), track(n)
    look(early, base, new)
    look(late, base, new)
    assert alone(early).claims == [None] and alone(late).claims == ["worse"]
    assert late.p["worse"] == pytest.approx(2**-7 / (1 - SHARE)) and late.whole and not early.whole
    assert late.method == "betting, McNemar"


def test_identical_responses_of_all_documents_are_the_same():
    one = track(30, metric="bleu", margin=None)
    table = np.column_stack([np.tile([10, 10, 5, 4, 3, 2, 10, 9, 8, 7], (30, 1)), np.ones(30)]).astype(float)
    same = Units(base=table, new=table, single=True)
    one.look(same, read=30, documents=30, alpha=0.05)
    assert alone(one).claims == [None]
    one.look(same, read=30, documents=30, alpha=0.05, identical=True)
    assert alone(one).claims == ["same"] and one.method == "identical"


def test_lower_is_better_for_a_perplexity_and_infinite_is_worse():
    rng = np.random.default_rng(0)
    likelihood = -3 - rng.random(110)
    one = track(500, metric="ppl", margin=1.0)
    look(one, likelihood[:90], likelihood[:90] + 0.3)
    assert alone(one).claims == [None]  # too few to know the spread
    look(one, likelihood, likelihood + 0.3 + 0.05 * rng.random(110))
    assert alone(one).claims == ["better"] and one.method == "Student mixture" and one.change < 0
    broken = track(500, metric="ppl")
    look(broken, likelihood, [*likelihood[:-1], -math.inf])
    assert alone(broken).claims == ["worse"] and broken.method == "not finite"


def test_a_small_benchmark_of_sums_has_the_interval_of_a_comparison():
    rng = np.random.default_rng(2)
    likelihood = -3 - rng.random(60)
    early, late = track(120, metric="ppl"), track(60, metric="ppl")
    for one in (early, late):
        look(one, likelihood, likelihood + 0.3 + 0.05 * rng.random(60))
    assert np.isnan(early.interval()).all()
    assert late.interval() == interval(late.metric, late.units) and late.interval()[1] < 0


def test_sums_are_the_same_only_at_the_end():
    rng = np.random.default_rng(1)
    likelihood = -3 + 0.1 * rng.random(200)
    noise = 0.01 * rng.standard_normal(200)
    early, late = (track(n, metric="ppl", margin=5.0) for n in (400, 200))
    for one in (early, late):
        look(one, likelihood, likelihood + noise)
    assert alone(early).claims == [None] and alone(late).claims == ["same"]


def test_nothing_scored_is_nothing_shown():
    one = track()
    one.look(units([], []), read=20, documents=0, alpha=0.05)
    assert alone(one).claims == [None]


def test_tasks_share_alpha_by_their_weights():
    def of(weight):
        first, second = track(name="first", weight=weight), track(name="second")
        look(first, [1] * 30, [0] * 9 + [1] * 21)
        look(second, [1] * 30, [1] * 30)
        return Suite([first, second], alpha=0.05)

    [(even, _), _], [(heavy, _), _] = of(1.0).corrected, of(9.0).corrected
    p = of(1.0).tracks[0].changed
    assert even == pytest.approx(2 * p) and heavy == pytest.approx(p / 0.9)


def test_the_suite_has_one_verdict():
    assert verdict_of(["same", "worse", "better"]) == "worse"
    assert verdict_of(["same", None, "better"]) == "better"
    assert verdict_of(["same", None]) == "undecided"
    assert verdict_of(["same", "same"]) == "same"


def test_which_tasks_would_have_told_soonest():
    fast, slow, other = (track(name=name) for name in ("fast", "slow", "other"))
    look(fast, [1] * 20, [0] * 14 + [1] * 6)
    look(slow, [1] * 20, [1] * 20)
    look(slow, [1] * 40, [0] * 20 + [1] * 20)
    look(other, [0] * 20, [1] * 14 + [0] * 6)
    suite = Suite([slow, other, fast], alpha=0.05)
    assert suite.soonest("worse") == [("fast 0-shot", 20), ("slow 0-shot", 40)]
    assert suite.soonest("undecided", count=2) == [("other 0-shot", 20), ("fast 0-shot", 20)]


def test_weights_are_read_and_checked():
    assert parse_weights(["qa=2", "a=b=0.5"]) == {"qa": 2.0, "a=b": 0.5}
    for word in ("qa", "qa=", "=2", "qa=two", "qa=nan"):
        with pytest.raises(UsageError, match="--weight"):
            parse_weights([word])
    for weight in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UsageError, match="--weight qa="):
            GateSettings(weights={"qa": weight})


def test_false_alarms_and_false_claims_of_no_change_are_rare_over_many_looks():
    rng = np.random.default_rng(7)
    alarms = kept = 0
    for _ in range(200):
        equal, at_margin = track(300, margin=4.0), track(300, margin=4.0)
        for one, lost in ((equal, 0.06), (at_margin, 0.10)):
            gains = rng.choice([-1.0, 1.0, 0.0], size=300, p=[lost, 0.06, 0.94 - lost])
            for n in (20, 25, 32, 40, 50, 63, 79, 99, 124, 155, 194, 243, 300):
                look(one, (gains[:n] < 0).astype(float), (gains[:n] > 0).astype(float))
        alarms += alone(equal).claims[0] in ("better", "worse")
        kept += alone(at_margin).claims[0] in ("same", "better")
    assert alarms <= 18 and kept <= 18  # 5% and three standard errors
