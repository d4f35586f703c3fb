"""ROUGE F1 as rouge_score computes it, with Porter stemming (GPT-2, section 3.6: ROUGE-1, 2 and L)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import Any

from evalkit.metrics.base import Metric
from evalkit.text.sentences import split_sentences
from evalkit.types import Example, Response


class Rouge(Metric):
    """Mean over documents of the F1 of one ROUGE type, the best over the references. Values are 0 to 1.

    rouge1, rouge2: shared words and bigrams. rougeL: the longest common subsequence of the texts as one
    string. rougeLsum: the same sentence by sentence, which is what papers on CNN/Daily Mail report as R-L. A
    text with line breaks has one sentence a line; any other is split by evalkit.text.sentences.
    """

    scale = 100.0
    share = True

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def _scorer(self) -> Any:
        with _importing():
            from rouge_score.rouge_scorer import RougeScorer
        return RougeScorer([self.name], tokenizer=_StemmingTokenizer())

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (F1,)."""
        prediction = self._prepared(responses[0].text)
        scores = [self._scorer.score(self._prepared(answer), prediction) for answer in example.answers]
        return (float(max(score[self.name].fmeasure for score in scores)),)

    def signature(self) -> str:
        """Name the library's version, the stemmer and the rules for sentences and references."""
        sentences = "|sentences:lines-or-split" if self.name == "rougeLsum" else ""
        return f"rouge_score:{version('rouge-score')}|stem:porter{sentences}|refs:max"

    def _prepared(self, text: str) -> str:
        if self.name != "rougeLsum" or "\n" in text.strip():
            return text
        return "\n".join(split_sentences(text))


class _StemmingTokenizer:
    """rouge_score's own tokenizer with a memory: ROUGE types share texts, and stemming is slow."""

    def tokenize(self, text: str) -> list[str]:
        return _tokens(text)


@lru_cache(maxsize=4096)
def _tokens(text: str) -> list[str]:
    tokens: list[str] = _tokenizer().tokenize(text)
    return tokens


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    with _importing():
        from rouge_score.tokenizers import DefaultTokenizer
    return DefaultTokenizer(use_stemmer=True)


@contextmanager
def _importing() -> Iterator[None]:
    """Import rouge_score without its dependencies' warnings, and without what nltk imports where it can.

    nltk needs none of them for stemming, and they would take most of the time.
    """
    absent = [name for name in ("scipy", "scipy.sparse", "scipy.stats", "sklearn") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: not to be found
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)
