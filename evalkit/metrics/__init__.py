"""Metrics by name. The libraries behind BLEU and ROUGE are imported only when such a metric is first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from evalkit import errors
from evalkit.metrics import values
from evalkit.metrics.answers import (
    F1,
    CoqaExactMatch,
    CoqaF1,
    ExactMatch,
    QuacF1,
    SquadExactMatch,
    SquadF1,
    VerbatimMatch,
    match,
    token_f1,
)
from evalkit.metrics.base import Array, Metric
from evalkit.metrics.bleu import Bleu, Chrf
from evalkit.metrics.choice import Accuracy
from evalkit.metrics.correlation import LabelMatthews, Pearson
from evalkit.metrics.drop import DropExactMatch, DropF1
from evalkit.metrics.labels import ChosenAnswer, LabelF1, LabelledAnswers, LabelledAnswersF1, MacroF1
from evalkit.metrics.likelihood import AnswerBits, BitsPer, Perplexity, PerplexityPer
from evalkit.metrics.rouge import Rouge
from evalkit.metrics.threshold import Matthews
from evalkit.plugins import Registry
from evalkit.text import normalize, units

__all__ = ["METRICS", "Array", "Metric", "get"]

_ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")

_OWN: Mapping[str, Callable[[], Metric]] = {
    "acc": partial(Accuracy, "acc"),
    "acc_per_token": partial(Accuracy, "acc_per_token", per="token"),
    "acc_per_char": partial(Accuracy, "acc_per_char", per="char"),
    "acc_per_byte": partial(Accuracy, "acc_per_byte", per="byte"),
    "acc_unconditional": partial(Accuracy, "acc_unconditional", per="unconditional"),
    "ppl": Perplexity,
    "ppl_word": partial(PerplexityPer, "ppl_word", count=units.count_words),
    "ppl_word_lm_eval": partial(PerplexityPer, "ppl_word_lm_eval", count=units.count_gaps),
    "ppl_token": partial(PerplexityPer, "ppl_token"),
    "bits_per_byte": partial(BitsPer, "bits_per_byte", count=units.count_bytes),
    "bits_per_char": partial(BitsPer, "bits_per_char", count=len),
    "answer_bits_per_byte": AnswerBits,
    "matthews": Matthews,
    "mcc": LabelMatthews,
    "pearson": Pearson,
    "label_f1": LabelF1,
    "exact_match": partial(ExactMatch, "exact_match", normalizer=normalize.squad),
    "nq_exact_match": partial(ExactMatch, "nq_exact_match", normalizer=normalize.nq),
    "triviaqa_exact_match": partial(ExactMatch, "triviaqa_exact_match", normalizer=normalize.triviaqa),
    "verbatim_match": VerbatimMatch,
    "f1": F1,
    "coqa_em": CoqaExactMatch,
    "coqa_f1": CoqaF1,
    "squad2_em": SquadExactMatch,
    "squad2_f1": SquadF1,
    "quac_f1": QuacF1,
    "drop_em": DropExactMatch,
    "drop_f1": DropF1,
    "macro_f1": partial(MacroF1, "macro_f1"),
    "macro_f1_per_token": partial(MacroF1, "macro_f1_per_token", per="token"),
    "multirc_em": LabelledAnswers,
    "multirc_f1a": LabelledAnswersF1,
    "record_em": partial(ChosenAnswer, "record_em", score=match),
    "record_f1": partial(ChosenAnswer, "record_f1", score=token_f1),
    "bleu": partial(Bleu, "bleu"),
    "bleu_intl": partial(Bleu, "bleu_intl", tokenize="intl"),
    "bleu_multi": partial(Bleu, "bleu_multi", several=True),
    "chrf": Chrf,
    **{name: partial(Rouge, name) for name in _ROUGE},
    **{f"{name}_unicode": partial(Rouge, f"{name}_unicode", tokens="unicode") for name in _ROUGE},
}

METRICS: Registry[Callable[[], Metric]] = Registry("metric", _OWN, group="evalkit.metrics")


def get(name: str, rule: str = "") -> Metric:
    """Make the metric of this name. Raises UsageError for a name that is not in METRICS, or a metric that fails.

    rule: the metric's part of a result's signature, from which the metric of an imported task is made again.
    """
    if (of_values := values.from_rule(name, rule)) is not None:
        return of_values
    if name not in METRICS:
        raise errors.unknown("metric", name, METRICS)
    make = METRICS[name]
    try:
        metric = make()
    except Exception as error:  # a metric of another package or of the user may fail in any way
        raise errors.UsageError(f"metric {name!r} cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(metric, Metric):
        raise errors.UsageError(f"metric {name!r}: expected a subclass of Metric, found {type(metric).__name__}")
    return metric
