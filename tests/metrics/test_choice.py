from __future__ import annotations

import pytest

from evalkit import errors, metrics
from evalkit.metrics.choice import NORMALISATIONS, Accuracy
from evalkit.types import Example, Response

CHOICES = ("no", "éé", "certainly")


def example(gold: int | None = 0, choices: tuple[str, ...] = CHOICES) -> Example:
    return Example(task="", input="q", output="no", choices=choices, gold=gold)


def responses(*pairs: tuple[float, int]) -> list[Response]:
    return [Response(loglikelihood=value, tokens=tokens) for value, tokens in pairs]


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("acc", 0),  # -4 > -5 > -9
        ("acc_per_token", 1),  # -4/1, -5/4, -9/3
        ("acc_per_char", 2),  # -4/2, -5/2, -9/9
        ("acc_per_byte", 2),  # -4/2, -5/4, -9/9
    ],
)
def test_normalisations_choose_by_their_own_length(name: str, chosen: int) -> None:
    metric = metrics.get(name)
    assert isinstance(metric, Accuracy)
    given = responses((-4.0, 1), (-5.0, 4), (-9.0, 3))
    assert metric.choose(example(), given) == chosen
    assert [metric.statistics(example(gold), given) for gold in range(3)] == [
        (float(gold == chosen),) for gold in range(3)
    ]


def test_bytes_are_not_characters() -> None:
    given = responses((-2.0, 1), (-3.0, 1), (-99.0, 1))  # per char -1, -1.5; per byte -1, -0.75
    assert Accuracy("x", per="char").choose(example(), given) == 0
    assert Accuracy("x", per="byte").choose(example(), given) == 1


def test_unconditional_divides_by_what_an_option_has_on_its_own() -> None:
    given = responses((-4.0, 1), (-5.0, 4), (-9.0, 3))
    alone = responses((-2.0, 1), (-2.5, 4), (-8.0, 3))  # gains -2, -2.5, -1
    metric = metrics.get("acc_unconditional")
    assert isinstance(metric, Accuracy) and metric.choose(example(), given + alone) == 2
    for name in NORMALISATIONS:  # the responses that follow change nothing else
        other = metrics.get(name)
        assert isinstance(other, Accuracy) and other.choose(example(), given + alone) == other.choose(example(), given)


def test_ties_go_to_the_first() -> None:
    assert Accuracy("acc").choose(example(), responses((-3.0, 1), (-1.0, 1), (-1.0, 1))) == 1


def test_an_empty_option_divides_by_one() -> None:
    given = responses((-3.0, 0), (-4.0, 1))
    assert Accuracy("acc", per="char").choose(example(choices=("", "yes")), given) == 1
    assert Accuracy("acc", per="token").choose(example(choices=("", "yes")), given) == 0


def test_without_options_acc_is_greedy_agreement() -> None:
    metric = metrics.get("acc")
    item = Example(task="", input="q", output="a")
    assert metric.statistics(item, [Response(is_greedy=True)]) == (1.0,)
    assert metric.statistics(item, [Response(is_greedy=False, loglikelihood=0.0)]) == (0.0,)
    assert metric.chance(item) is None
    assert metric.chance(example()) == pytest.approx(1 / 3)


def test_every_name_makes_a_metric_of_that_name() -> None:
    for name in metrics.METRICS:
        assert metrics.get(name).name == name


def test_an_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(errors.UsageError, match="unknown metric 'bleuu'; did you mean 'bleu'"):
        metrics.get("bleuu")
