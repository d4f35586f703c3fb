"""Values of one document from the model's answers: `process_results` of a task file, or lm-evaluation-harness's own."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import DataError
from evalkit.lm_eval.tasks import filters
from evalkit.lm_eval.tasks.fields import places
from evalkit.lm_eval.tasks.metriclist import MetricEntry, names
from evalkit.lm_eval.tasks.prompts import Prompts
from evalkit.lm_eval.tasks.taskfile import TaskFile
from evalkit.sandbox import child
from evalkit.text.units import count_bytes, count_gaps
from evalkit.types import Response

Row = Mapping[str, Any]
Values = dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """Computes a document's values."""

    file: TaskFile
    prompts: Prompts

    def values(self, row: Row, responses: Sequence[Response]) -> Values:
        """Return metric -> value under every filter; a filter's name is part of the metric's ("exact_match,strict").

        responses: of the document's requests in order; repeated samples of one request are adjacent. Raises DataError
        where the file's own code or its metrics fail.
        """
        repeats = self.file.repeats
        answers = [self._answer(response) for response in responses]
        if self.file.decoding.top_k != 1:
            lists = [answers[i : i + repeats] for i in range(0, len(answers), repeats)]
        else:
            lists = [[answer] * repeats for answer in answers]  # greedy: requested once
        scores: Values = {}
        for name, steps in self.file.filters.items():
            try:
                values = self._of(row, filters.apply(steps, lists, row))
            except DataError:
                raise
            except Exception as error:  # the task's code, or an answer that a metric does not accept
                where = f"{self.file.path}: " + ("process_results" if self.file.process_results else f"filter {name}")
                raise DataError(f"{where}: {type(error).__name__}: {error}") from error
            scores |= {metric_name(metric, name): value for metric, value in values.items()}
        return scores

    def _answer(self, response: Response) -> Any:
        if self.file.output_type == "generate_until":
            return response.text
        if self.file.output_type == "loglikelihood_rolling":
            return response.loglikelihood
        return (response.loglikelihood, response.is_greedy)

    def _of(self, row: Row, results: Sequence[Any]) -> Values:
        if self.file.process_results is not None:
            values = self.file.process_results(row, results)
            if not isinstance(values, Mapping):
                raise TypeError(f"expected metrics and values, found {type(values).__name__}")
            return dict(values)
        kinds: Mapping[str, Callable[[Row, Sequence[Any]], Values]] = {
            "loglikelihood": self._likelihood,
            "loglikelihood_rolling": self._rolling,
            "multiple_choice": self._choice,
            "generate_until": self._generated,
        }
        return kinds[self.file.output_type](row, results)

    def _listed(self, values: Values) -> Values:
        """Keep the metrics that the file lists, in the order in which they are computed."""
        listed = names(self.file.metrics)
        return {name: value for name, value in values.items() if name in listed}

    def _likelihood(self, row: Row, results: Sequence[Any]) -> Values:
        likelihood, greedy = results[0]
        return self._listed({"perplexity": likelihood, "acc": int(greedy)})

    def _rolling(self, row: Row, results: Sequence[Any]) -> Values:
        text = self.prompts.fields.target(row)
        words, size = (results[0], count_gaps(text)), (results[0], count_bytes(text))
        return self._listed({"word_perplexity": words, "byte_perplexity": size, "bits_per_byte": size})

    def _choice(self, row: Row, results: Sequence[Any]) -> Values:
        choices = self.prompts.fields.choices(row)
        chosen = _normalised(choices, [likelihood for likelihood, _ in results])
        likelihoods = chosen["acc"]
        greedy = [bool(answered) for _, answered in results]
        golds = self.golds(row, choices)
        answered = int(np.argmax(likelihoods))
        gold = golds[0] if len(golds) == 1 else golds
        shifted = np.exp(likelihoods - likelihoods.max())
        return self._listed(
            {
                **{name: float(int(np.argmax(scores)) in golds) for name, scores in chosen.items()},
                "f1": (gold, answered),
                "mcc": (gold, answered),
                "likelihood": (gold, likelihoods.tolist()),
                "exact_match": int(any(greedy[i] for i in golds)),
                "brier_score": (gold, (shifted / shifted.sum()).tolist()),
            }
        )

    def chosen(self, choices: Sequence[str], responses: Sequence[Response]) -> int:
        """Return the index of the option that the file's first metric of choices selects."""
        scores = _normalised(choices, [response.loglikelihood for response in responses])
        return int(
            np.argmax(next((scores[name] for name in names(self.file.metrics) if name in scores), scores["acc"]))
        )

    def golds(self, row: Row, choices: Sequence[str]) -> list[int]:
        """Return the indices of the right choices. Raises LabelError where the target is not a choice."""
        fields = self.prompts.fields
        return places(fields.text(row) if self.prompts.several_inputs else fields.target(row), choices)

    def _generated(self, row: Row, results: Sequence[Any]) -> Values:
        result, gold = results[0], self.prompts.fields.target(row)
        if self.file.doc_to_choice is not None:
            choices = self.prompts.fields.choices(row)
            right = [choices[place] for place in places(gold, choices)]
            gold = right if isinstance(gold, list) else right[0]
        several = self.prompts.several_targets or isinstance(gold, list)
        if several:
            gold = list(gold) if isinstance(gold, list | tuple) else [gold]
        elif type(gold) is not type(result) and not isinstance(result, list):
            gold = type(result)(gold)
        values: Values = {}
        for entry in self.file.metrics:
            score = _best(entry, gold, result) if several else _computed(entry, [gold], [result])
            values |= dict(score) if isinstance(score, Mapping) else {entry.name: score}
        return values


def _normalised(choices: Sequence[str], likelihoods: Sequence[float]) -> dict[str, NDArray[np.float64]]:
    """Return the scores that each metric of choices compares; those without a context may follow the others."""
    plain = np.asarray(likelihoods[: len(choices)], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # an empty choice has no length to divide by
        scores = {
            "acc": plain,
            "acc_norm": plain / np.asarray([len(choice) for choice in choices], dtype=np.float64),
            "acc_bytes": plain / np.asarray([count_bytes(choice) for choice in choices], dtype=np.float64),
        }
    if len(likelihoods) == 2 * len(choices):
        scores["acc_mutual_info"] = plain - np.asarray(likelihoods[len(choices) :])
    return scores


def metric_name(metric: str, filter_name: str) -> str:
    """Name a metric under a filter as lm-eval's results do, but without the filter that does nothing."""
    return metric if filter_name == "none" else f"{metric},{filter_name}"


def _best(entry: MetricEntry, golds: list[Any], result: Any) -> float:
    """Score against several right answers: 1 if any of them matches."""
    if entry.name == "exact_match" and isinstance(entry.metric, str):
        return float(exact_match(golds, [result] * len(golds), **entry.options) > 0)
    scores = [_computed(entry, [gold], [result]) for gold in golds]
    return float(any(score[entry.name] if isinstance(score, Mapping) else score for score in scores))


def _computed(entry: MetricEntry, references: list[Any], predictions: list[Any]) -> Any:
    """Score one answer. Corpus metrics pass (reference, prediction) on to their aggregation."""
    pair = (references[0], predictions[0])
    if callable(entry.metric):
        try:
            return entry.metric(references=references, predictions=predictions, **entry.options)
        except TypeError:  # it takes one pair, as lm-evaluation-harness's own metrics do
            return entry.metric([*pair])
    if entry.metric == "exact_match":
        return exact_match(references, predictions, **entry.options)
    return None if entry.metric == "bypass" else pair


def plain_text(
    text: Any,
    *,
    regexes_to_ignore: Sequence[str] | None = None,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    ignore_numbers: bool = False,
) -> str:
    """Return a text without everything that is to be ignored, removed in the order of the options."""
    removed = (string.punctuation if ignore_punctuation else "") + (string.digits if ignore_numbers else "")
    plain = str(text)
    for pattern in regexes_to_ignore or ():
        [plain] = child.remove_all(pattern, [plain])
    return (plain.lower() if ignore_case else plain).translate(str.maketrans("", "", removed))


def exact_match(
    references: Sequence[Any],
    predictions: Sequence[Any],
    *,
    regexes_to_ignore: Sequence[str] | None = None,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    ignore_numbers: bool = False,
) -> float:
    """Return the share of pairs that are equal without what is to be ignored (see plain_text).

    A prediction may be a list of answers, if no filter has picked one; then each is compared.
    """
    plain = partial(
        plain_text, regexes_to_ignore=regexes_to_ignore, ignore_case=ignore_case,
        ignore_punctuation=ignore_punctuation, ignore_numbers=ignore_numbers,
    )  # fmt: skip
    pairs = [
        (plain(reference), plain(answer))
        for reference, prediction in zip(references, predictions, strict=True)
        for answer in (prediction if isinstance(prediction, list) else [prediction])
    ]
    return sum(reference == answer for reference, answer in pairs) / len(pairs)
