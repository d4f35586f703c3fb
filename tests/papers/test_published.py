"""The papers' values: each with its place, found only where everything matches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit import metrics, papers
from evalkit.harness import catalog
from evalkit.types import Result

OURS = Result(
    model="gpt2-xl",
    task="coqa",
    family="reading",
    protocol="gpt2",
    shots=0,
    metric="coqa_f1",
    source="model",
    level="",
    value=50.0,
    low=49.0,
    high=51.0,
    n=100,
    failed=0,
    truncated=0,
    chance=None,
    signature="",
)


def _value(**changes: object) -> float | None:
    found = papers.beside(replace(OURS, **changes))  # type: ignore[arg-type]
    return found.value if found else None


@pytest.mark.parametrize("model", ["gpt2-xl", "1542M", "hf:gpt2-xl", "hf:openai-community/gpt2-xl"])
def test_every_name_of_a_size_finds_its_value(model: str) -> None:
    assert _value(model=model) == 55


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "nano"},
        {"model": "gpt3-1.3B"},
        {"protocol": "gpt3"},
        {"shots": 1},
        {"metric": "coqa_em"},
        {"source": "control:no_passage"},
        {"level": "cnn"},
        {"template": "other"},
        {"task": "quac"},
    ],
)
def test_only_exact_matches(changes: dict[str, object]) -> None:
    assert _value(**changes) is None


def test_figures_of_the_papers() -> None:
    few = {"model": "gpt3-175B", "protocol": "gpt3"}
    assert _value(**few, task="lambada", metric="acc", shots=15) == 86.4
    assert _value(model="gpt3-175B", task="lambada", metric="acc") == 76.2  # without examples the blank is not used
    assert _value(**few, task="race_high", metric="acc_unconditional", shots=0) == 45.5
    assert _value(**few, task="arithmetic_2da", metric="verbatim_match", shots=50) == 100.0
    assert _value(**few, task="wmt14_fr_en", metric="bleu_intl", shots=64) == 41.4
    assert _value(model="117M", task="wikitext103", metric="ppl_word") == 37.5
    assert _value(model="1542M", task="lambada", metric="acc") == 52.66
    assert _value(model="1542M", task="lambada_filtered", metric="verbatim_match") == 63.24


def test_an_unstated_number_of_shots_is_any_but_none() -> None:
    nq = {"task": "nq_open", "metric": "nq_exact_match"}
    assert [_value(**nq, shots=shots) for shots in (0, 1, 8)] == [None, 4.1, 4.1]


def test_a_baseline_belongs_to_no_model() -> None:
    lead = {"task": "cnn_dailymail", "metric": "rouge1", "source": "baseline:lead3"}
    assert _value(**lead, model="nano") == 40.38
    assert _value(**lead | {"source": "model"}, model="nano") is None


def test_every_value_says_where_it_stands() -> None:
    for (_, _, shots, model, source, _), value in papers.published().items():
        author = "Brown et al. 2020, " if model.startswith("gpt3-") else "Radford et al. 2019, "
        assert value.where.startswith(author) and value.value >= 0
        assert shots == "some" or shots.isdigit()
        assert source.startswith("baseline:") == (not model)


def test_every_benchmark_with_a_printed_value_is_a_task_under_its_protocol() -> None:
    tasks = catalog.bundled()
    for name, protocol, *_ in papers.published():
        if (name, protocol) == ("wsc", "gpt3"):  # the paper does not say how it was scored; the task file has more
            continue
        assert name in tasks and protocol in tasks[name].protocols, (name, protocol)


def test_what_the_bundled_tasks_define_matches() -> None:
    """A task of the papers' names that defines the protocol reports a metric that a value stands beside."""
    for name, task in catalog.bundled().items():
        for protocol, about in task.protocols.items():
            theirs = {key[5] for key in papers.published() if key[:2] == (name, protocol)}
            assert all(metric in metrics.METRICS for metric in {*about.reported})
            assert not theirs or theirs & {*about.reported}, (name, protocol, theirs, about.reported)
