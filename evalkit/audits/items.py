"""What stored records say of a benchmark's documents: which are answered, and whose gold looks wrong.

Metrics that a run did not report are computed from its records where these hold log-likelihoods: the bits per byte of
the right answer, its probability among the options, and the Brier score (Brier 1950) of these probabilities.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evalkit import metrics
from evalkit.errors import UsageError
from evalkit.metrics.base import Array, Metric
from evalkit.metrics.values import MeanValue
from evalkit.runs.signature import Signature
from evalkit.runs.store import open_run
from evalkit.text.units import count_bytes

# The probability from which an answer counts as confident, and the share of right answers from which a model is one to
# judge by: small models that guess agree on many wrong answers.
CONFIDENT = 0.8
RELIABLE = 0.5

_BRIER, _PROBABILITY, _BITS = "brier", "gold_probability", "answer_bits_per_byte"
_DERIVED: Mapping[str, Metric] = {
    _BITS: metrics.get(_BITS),
    _BRIER: MeanValue(_BRIER, higher_is_better=False),
    _PROBABILITY: MeanValue(_PROBABILITY, scale=100.0),
}


class Asked(NamedTuple):
    """A task as it was asked in a run."""

    task: str
    shots: int
    template: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A model's answer to a document.

    unit: its passage, or its own name. confidence: the answer's probability, NaN where unknown. right: None where the
    metric is no share.
    """

    level: str
    unit: str
    gold: str
    answer: str
    confidence: float
    right: bool | None
    statistics: Mapping[str, Sequence[float]] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """A run's answers to a task. metrics: those that its statistics are of, the task's first one first."""

    documents: Mapping[str, Answer]
    metrics: Mapping[str, Metric]

    def table(self, metric: str, names: Sequence[str]) -> Array:
        """Return the (n, k) statistics of these documents."""
        return np.asarray([self.documents[name].statistics[metric] for name in names], dtype=np.float64)


def read_answers(folder: Path) -> Mapping[Asked, Answers]:
    """Read the records of a run: of several seeds of a document the first. Raises StoreError for a broken run."""
    run = open_run(folder)
    run.check_whole("an audit")
    known = {(r.task, r.metric): Signature.parse(r.signature).rule for r in run.results if r.source == "model"}
    primary = {name: next(iter(about["metrics"]), "") for name, about in run.settings.get("tasks", {}).items()}
    documents: dict[Asked, dict[str, Answer]] = {}
    for _, raw in run.scan():
        cell = raw["cell"]
        asked = Asked(cell["task"], cell["shots"], cell.get("template", ""))
        if not cell.get("variant") and raw["scores"] and raw["doc_id"] not in documents.setdefault(asked, {}):
            documents[asked][raw["doc_id"]] = _answer(raw, primary.get(asked.task, ""))
    return {
        asked: Answers(documents=answers, metrics=_metrics(asked.task, answers, known))
        for asked, answers in documents.items()
    }


def _metrics(task: str, answers: Mapping[str, Answer], rules: Mapping[tuple[str, str], str]) -> dict[str, Metric]:
    """Return the metrics that every document has statistics of, in the order of the results."""
    shared = set.intersection(*(set(answer.statistics) for answer in answers.values()))
    made: dict[str, Metric] = {}
    for (of, name), rule in rules.items():
        if of == task and name in shared:
            try:
                made[name] = metrics.get(name, rule)
            except UsageError:
                continue  # of a task's own code, or another version
    return made | {name: metric for name, metric in _DERIVED.items() if name in shared and name not in made}


def _answer(raw: Mapping[str, Any], primary: str) -> Answer:
    options = [text.strip() for text in raw["continuations"]]
    likelihoods = [response["loglikelihood"] for response in raw["responses"]]
    chances = _probabilities(options, likelihoods)
    gold, answer = raw["gold"], raw["prediction"]
    statistics = {name: numbers for name, numbers in raw["scores"].items() if numbers}
    derived = _derived(options, likelihoods, chances, gold.strip())
    scores = statistics.get(primary)
    binary = primary in metrics.METRICS and metrics.get(primary).share
    return Answer(
        level=raw["level"], unit=raw["cluster"] or raw["doc_id"], gold=gold, answer=answer,
        confidence=_confidence(options, likelihoods, chances, answer.strip()),
        right=scores[0] >= 1.0 if binary and scores else None, statistics={**derived, **statistics},
    )  # fmt: skip


def _probabilities(options: Sequence[str], likelihoods: Sequence[float]) -> list[float]:
    """Return the options' probabilities among themselves; [] without options."""
    if not 1 < len(options) <= len(likelihoods):
        return []
    values = np.asarray(likelihoods[: len(options)])
    shares = np.exp(values - values.max())
    return [float(share) for share in shares / shares.sum()]


def _place(text: str, options: Sequence[str]) -> int | None:
    """Return which option a text is, or begins; None where that is not one of them, as where options are in prompts."""
    same = [i for i, option in enumerate(options) if option == text]
    begun = same or [i for i, option in enumerate(options) if text and re.match(rf"{re.escape(text)}\b", option)]
    return begun[0] if len(begun) == 1 else None


def _derived(
    options: Sequence[str], likelihoods: Sequence[float], chances: Sequence[float], gold: str
) -> dict[str, tuple[float, ...]]:
    """Return the statistics of the metrics that follow from log-likelihoods; {} where the gold is not among these."""
    place = _place(gold, options)
    if place is None:
        return {}
    found: dict[str, tuple[float, ...]] = {_BITS: (likelihoods[place], float(max(1, count_bytes(gold))))}
    if chances:
        found[_PROBABILITY] = (chances[place],)
        found[_BRIER] = (sum((share - (i == place)) ** 2 for i, share in enumerate(chances)),)
    return found


def _confidence(options: Sequence[str], likelihoods: Sequence[float], chances: Sequence[float], answer: str) -> float:
    """Return the probability of an answer: among the options, or of the generated text."""
    if chances:
        place = _place(answer, options)
        return max(chances) if place is None else chances[place]
    return math.exp(min(0.0, likelihoods[0])) if len(likelihoods) == 1 and not options else math.nan


@dataclass(frozen=True, kw_only=True)
class Doubtful:
    """A document whose gold looks wrong: every large model gives the same other answer. confidence: the least one."""

    document: str
    level: str
    gold: str
    answer: str
    confidence: float


def doubtful(answers: Sequence[Answers], *, confident: float = CONFIDENT) -> Iterator[Doubtful]:
    """Yield the documents that all these models answer in the same wrong way, with this probability at least.

    answers: of the large models; fewer than two cannot agree.
    """
    if len(answers) < 2:
        return
    for name in _shared(answers):
        of_each = [each.documents[name] for each in answers]
        first = of_each[0]
        least = min(answer.confidence for answer in of_each)
        same = {answer.answer.strip() for answer in of_each}
        if len(same) == 1 and same != {""} and least >= confident and all(a.right is False for a in of_each):
            yield Doubtful(
                document=name, level=first.level, gold=first.gold, answer=first.answer, confidence=least
            )  # fmt: skip


def is_judge(answers: Answers) -> bool:
    """Whether a model's answers and their probabilities are known, and enough of them right to doubt a gold."""
    known = [answer for answer in answers.documents.values() if not math.isnan(answer.confidence)]
    return bool(known) and sum(bool(answer.right) for answer in known) >= RELIABLE * len(answers.documents)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """How many documents some model and every model answers rightly. documents: 0 where the metric is no share."""

    documents: int = 0
    some: int = 0
    every: int = 0

    @property
    def none(self) -> int:
        """Documents that no model answers rightly."""
        return self.documents - self.some


def answered(answers: Sequence[Answers], *, level: str = "") -> Answered:
    """Count the documents that all these models were asked. level: those of a level only."""
    rows = [
        [answer.right for answer in of_each]
        for name in _shared(answers)
        for of_each in [[each.documents[name] for each in answers]]
        if not level or of_each[0].level == level
    ]
    if any(right is None for row in rows for right in row):
        return Answered()
    return Answered(documents=len(rows), some=sum(map(any, rows)), every=sum(map(all, rows)))


def _shared(answers: Sequence[Answers]) -> list[str]:
    """Return the documents that all have answered, in order."""
    if not answers:
        return []
    return sorted(set.intersection(*(set(each.documents) for each in answers)))
