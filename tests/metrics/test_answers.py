from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import metrics
from evalkit.metrics.answers import token_f1
from evalkit.types import Example, Response

QUICK = settings(deadline=None, derandomize=True, max_examples=100)
WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "mat", "."]), max_size=8).map(" ".join)


def score(name: str, prediction: str, *answers: str) -> float:
    item = Example(task="", input="", output=answers[0], references=answers)
    (value,) = metrics.get(name).statistics(item, [Response(text=prediction)])
    return value


@pytest.mark.parametrize(
    ("prediction", "answers", "em", "f1"),
    [
        ("the Denver Broncos!", ("Denver Broncos",), 1.0, 1.0),
        ("Broncos", ("Denver Broncos", "The Broncos"), 1.0, 1.0),
        ("Broncos won", ("Denver Broncos", "Panthers"), 0.0, 0.5),
        ("cat cat sat", ("cat sat sat on",), 0.0, 4 / 7),  # 2 of 3 and 2 of 4 shared
        ("dog", ("cat",), 0.0, 0.0),
        ("", ("cat",), 0.0, 0.0),
        ("", ("the",), 1.0, 1.0),  # both empty after normalisation
        ("cat", ("",), 0.0, 0.0),
    ],
)
def test_squad(prediction: str, answers: tuple[str, ...], em: float, f1: float) -> None:
    assert score("exact_match", prediction, *answers) == em
    assert score("f1", prediction, *answers) == pytest.approx(f1)


def test_no_references_means_the_output() -> None:
    item = Example(task="", input="", output="Paris")
    assert metrics.get("exact_match").statistics(item, [Response(text="paris.")]) == (1.0,)


@pytest.mark.parametrize(
    ("prediction", "answers", "em", "f1"),
    [
        ("white", ("white",), 1.0, 1.0),
        # Leaving out the one right answer leaves nothing right: 3 of 4 folds.
        ("white", ("white", "black", "red", "blue"), 0.75, 0.75),
        ("white", ("white", "white", "red"), 1.0, 1.0),
        # F1 per answer: 1, 2/3, 0 -> folds max(2/3, 0), max(1, 0), max(1, 2/3).
        ("white", ("white", "white cat", "dog"), 2 / 3, (2 / 3 + 1 + 1) / 3),
        ("unknown", ("unknown", "no"), 0.5, 0.5),
    ],
)
def test_coqa_leaves_one_out(prediction: str, answers: tuple[str, ...], em: float, f1: float) -> None:
    assert score("coqa_em", prediction, *answers) == pytest.approx(em)
    assert score("coqa_f1", prediction, *answers) == pytest.approx(f1)


def test_nq_is_blind_to_unicode_forms() -> None:
    assert score("nq_exact_match", "Beyonce\u0301", "Beyonc\u00e9") == 1.0
    assert score("exact_match", "Beyonce\u0301", "Beyonc\u00e9") == 0.0


def test_verbatim_sees_signs_and_letters() -> None:
    assert score("exact_match", "-5", "5") == 1.0
    assert score("verbatim_match", "-5", "5") == 0.0
    assert score("verbatim_match", " -5\n", "-5") == 1.0
    assert score("verbatim_match", "Five", "five") == 0.0


@QUICK
@given(WORDS, WORDS, st.randoms(use_true_random=False))
def test_f1_is_of_bags_and_symmetric(left: str, right: str, random: object) -> None:
    shuffled = left.split()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    f1 = token_f1(left, right)
    assert f1 == token_f1(right, left) == token_f1(" ".join(shuffled), right)
    assert 0.0 <= f1 <= 1.0
    bags = [Counter(word for word in text.split() if word not in {"the", "."}) for text in (left, right)]
    assert (f1 == 1.0) == (bags[0] == bags[1])


@pytest.mark.parametrize(
    ("name", "answers", "blank"),
    [
        ("exact_match", ("A",), True),
        ("exact_match", ("The", "cat"), True),
        ("exact_match", ("cat", "a dog"), False),
        ("nq_exact_match", ("an",), True),
        ("triviaqa_exact_match", ("...",), True),
        ("verbatim_match", ("A",), False),
        ("f1", ("The",), True),
        ("coqa_f1", ("the", "it"), True),
        ("coqa_em", ("it",), False),
        ("squad2_em", ("unanswerable",), False),
        ("squad2_em", ("The", "cat"), False),  # the official script leaves such an answer out
        ("squad2_f1", ("The",), True),
        ("drop_em", ("a",), True),
        ("drop_f1", ("5",), False),
    ],
)
def test_a_gold_that_normalises_to_nothing_is_told(name, answers, blank):
    found = metrics.get(name).concern(Example(task="t", input="x", output=answers[0], references=answers))
    assert found == ("an answer that normalises to nothing: an empty text is right" if blank else "")
