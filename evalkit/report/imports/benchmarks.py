"""What the names of published tasks and metrics say: a task's family and chance, a metric's range and direction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from evalkit import metrics

# lm-evaluation-harness's names of metrics that evalkit also has (acc_norm divides by characters).
NAMES: Mapping[str, str] = {
    "acc_norm": "acc_per_char",
    "acc_bytes": "acc_per_byte",
    "perplexity": "ppl",
    "word_perplexity": "ppl_word_lm_eval",
}
_SHARES = {"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "em", "f1", "pct_stereotype", "mc1", "mc2"}
# The possible raw values of the others.
_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("ppl", "perplexity", "word_perplexity", "byte_perplexity"), (1.0, math.inf)),
    **dict.fromkeys(("bits_per_byte", "ter", "brier_score"), (0.0, math.inf)),
    **dict.fromkeys(("bleu", "chrf"), (0.0, 100.0)),
    "mcc": (-1.0, 1.0),
}
# Every metric that a name stands for: lm-evaluation-harness's and evalkit's own.
METRICS = frozenset({*_SHARES, *_RANGES, *NAMES, *NAMES.values(), *metrics.METRICS})
_LOWER = ("ppl", "perplexity", "bits_per_byte", "likelihood_diff", "pct_stereotype", "ter")
# Metrics of which a guess gets the task's chance.
_GUESSED = ("acc", "pct_stereotype")

# What a task measures, and the share that guessing gets (percent), by the beginning of its name. Options per question:
# ARC 4 (a few have 3 or 5), SciQ, LogiQA and MMLU 4, the others 2. pct_stereotype has no right answer; 50 is without
# bias.
_TASKS: Mapping[str, tuple[str, float | None]] = {
    "arc_": ("qa", 25.0),
    "sciq": ("qa", 25.0),
    "openbookqa": ("qa", 25.0),
    "boolq": ("reading", 50.0),
    "logiqa": ("reading", 25.0),
    "race": ("reading", 25.0),
    "piqa": ("commonsense", 50.0),
    "hellaswag": ("commonsense", 25.0),
    "winogrande": ("cloze", 50.0),
    "wsc": ("cloze", 50.0),
    "lambada": ("lm", None),
    "wikitext": ("lm", None),
    "hendrycksTest": ("knowledge", 25.0),
    "mmlu": ("knowledge", 25.0),
    "crows_pairs": ("bias", 50.0),
    "triviaqa": ("qa", None),
    "nq_open": ("qa", None),
    "coqa": ("reading", None),
    "squad": ("reading", None),
    "wmt": ("translation", None),
}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a metric counts. factor: from raw to shown values (100 for percentages). least, most: of the raw values."""

    factor: float
    least: float
    most: float
    higher_is_better: bool

    @property
    def share(self) -> bool:
        """Whether raw values lie between 0 and 1, and shown ones are percentages."""
        return (self.factor, self.least, self.most) == (100.0, 0.0, 1.0)

    @property
    def ceiling(self) -> float | None:
        """The best possible shown value of a metric that lies between 0 and it; None for others."""
        bounded = self.higher_is_better and self.least == 0 and math.isfinite(self.most)
        return self.most * self.factor if bounded else None


def scale(metric: str, *, ours: bool) -> Scale:
    """Return how a metric of this name counts. ours: a name of evalkit's own metrics means that metric."""
    if ours and metric in metrics.METRICS:
        own = metrics.get(metric)
        return Scale(factor=own.scale, least=own.least, most=own.most, higher_is_better=own.higher_is_better)
    higher = not metric.startswith(_LOWER) and "perplexity" not in metric
    if metric in _SHARES:
        return Scale(factor=100.0, least=0.0, most=1.0, higher_is_better=higher)
    least, most = _RANGES.get(metric, (-math.inf, math.inf))
    return Scale(factor=1.0, least=least, most=most, higher_is_better=higher)


def plain(metric: str) -> str:
    """Return a metric's name without the filter that follows it.

    >>> plain("exact_match (strict)"), plain("exact_match,strict")
    ('exact_match', 'exact_match')
    """
    return metric.partition(" (")[0].partition(",")[0]


def family_of(task: str) -> str:
    """Return what a published task measures, "other" for an unknown one."""
    return _about(task)[0]


def chance(task: str, metric: str) -> float | None:
    """Return the percentage that guessing gets; None where it is unknown, or the metric is not one of guesses."""
    return _about(task)[1] if metric.startswith(_GUESSED) else None


def _about(task: str) -> tuple[str, float | None]:
    return next((about for start, about in _TASKS.items() if task.startswith(start)), ("other", None))
