"""Holm, margins, verdicts and the number of documents that would decide."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evalkit.comparison.verdicts import check_margins, documents_needed, fewest_differing, holm, parse_margins, verdict
from evalkit.errors import UsageError
from evalkit.stats.mcnemar import mcnemar


def test_holm_is_the_step_down_of_the_paper():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.7, 0.9]) == [1.0, 1.0]
    rng = np.random.default_rng(0)
    for ps in rng.random((50, 6)) ** 3:
        rejected = {i for i, p in enumerate(holm(list(ps))) if p <= 0.05}
        expected = set()
        for rank, i in enumerate(np.argsort(ps)):
            if ps[i] > 0.05 / (6 - rank):
                break
            expected.add(i)
        assert rejected == expected


def test_weights_say_how_much_of_alpha_a_test_starts_with():
    # 0.03 of 0.8 shares first: 0.03 / 0.8; then 0.02 has all that is left.
    assert holm([0.02, 0.03], [0.2, 0.8]) == pytest.approx([0.0375, 0.0375])
    assert holm([0.009, 0.03], [1, 4]) == pytest.approx([0.0375, 0.0375])
    assert holm([0.02, 0.5, 0.01], [2, 2, 2]) == pytest.approx(holm([0.02, 0.5, 0.01]))
    assert holm([0.02, 0.9], [1, 4]) == pytest.approx([0.1, 0.9])


@pytest.mark.parametrize(
    ("gain", "adjusted", "equivalence", "expected"),
    [
        (-2.0, 0.01, math.nan, "worse"),
        (2.0, 0.01, math.nan, "better"),
        (0.1, 0.6, math.nan, "undecided"),
        (0.1, 0.6, 0.02, "same"),
        (-0.2, 0.01, 0.02, "same"),
        (-0.4, 0.01, 0.03, "worse"),
        (-0.4, 0.2, 0.03, "undecided"),
        (0.0, 1.0, 1.0, "undecided"),
    ],
)
def test_verdicts(gain, adjusted, equivalence, expected):
    found = verdict(gain=gain, adjusted=adjusted, equivalence=equivalence, alpha=0.05, identical=False)
    assert found == expected


def test_identical_responses_are_the_same():
    assert verdict(gain=0, adjusted=1, equivalence=math.nan, alpha=0.05, identical=True) == "same"


def test_documents_needed_is_the_textbook_number():
    # A standard error of 1 at 100 documents: (1.96 + 0.84)^2 * 100 for an effect of 1.
    assert documents_needed(100, score=1.0, alpha=0.05) == pytest.approx(785, abs=1)
    assert documents_needed(100, score=-2.0, alpha=0.05) == documents_needed(100, score=0.0, alpha=0.05) == math.inf
    assert documents_needed(100, score=2.0, alpha=0.05) == pytest.approx(197, abs=1)
    assert documents_needed(100, score=0.98, alpha=0.05, power=0.5) == pytest.approx(400, abs=1)


def test_how_many_must_differ_for_a_small_p():
    """Six alike have p 2**-5 of exchanges, five half of 2**-4 of the mid-p; over 17 tasks it takes ten and nine."""
    assert fewest_differing("exact permutation", 0.05) == 6 and fewest_differing("McNemar", 0.05) == 5
    assert fewest_differing("randomisation", 0.05 / 17) == 10 and fewest_differing("McNemar", 0.05 / 17) == 9
    assert mcnemar(0, 9) <= 0.05 / 17 < mcnemar(0, 8) and fewest_differing("Student", 0.05) == 0


def test_margins_are_read():
    assert parse_margins(["1.0", "lambada=0.5", "a=b=2"]) == {"": 1.0, "lambada": 0.5, "a=b": 2.0}
    for wrong in ("x", "lambada=", "-1", "t=nan", "t=inf"):
        with pytest.raises(UsageError, match="--margin"):
            parse_margins([wrong])
    with pytest.raises(UsageError, match="did you mean 'coqa'"):
        check_margins({"coca": 1.0}, ["coqa"])
