"""ROUGE F1 as rouge_score computes it, with Porter stemming (GPT-2, section 3.6: ROUGE-1, 2 and L)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property, lru_cache, partial
from importlib.metadata import version
from typing import Any, Literal

from evalkit.metrics.base import Metric
from evalkit.text.sentences import split_sentences
from evalkit.text.words import mostly_outside_latin, split_words
from evalkit.types import Example, Response


class Rouge(Metric):
    """Mean over documents of the F1 of one ROUGE type, the best over the references. Values are 0 to 1.

    rouge1, rouge2: shared words and bigrams. rougeL: the longest common subsequence of the texts as one
    string. rougeLsum: the same sentence by sentence, which is what papers on CNN/Daily Mail report as R-L. A
    text with line breaks has one sentence a line; any other is split by evalkit.text.sentences.
    tokens: how words are found. rouge_score's tokenizer drops everything but a to z and digits, so that equal texts in
    Greek score 0.0; rouge1_unicode etc. take words of any script (evalkit.text.words), and agree with it on ASCII.
    """

    scale = 100.0
    share = True

    def __init__(self, name: str, *, tokens: Literal["ascii", "unicode"] = "ascii") -> None:
        self.name, self._type, self._tokens = name, name.removesuffix("_unicode"), tokens

    @cached_property
    def _scorer(self) -> Any:
        with _importing():
            from rouge_score.rouge_scorer import RougeScorer
        split = _unicode if self._tokens == "unicode" else _ascii
        return RougeScorer([self._type], tokenizer=_StemmingTokenizer(split))

    def prepare(self) -> None:
        """Import rouge_score and nltk, during which other imports could fail."""
        _ = self._scorer, _tokenize()

    def statistics(self, example: Example, responses: Sequence[Response]) -> tuple[float, ...]:
        """Return (F1,)."""
        prediction = self._prepared(responses[0].text)
        scores = [self._scorer.score(self._prepared(answer), prediction) for answer in example.answers]
        return (float(max(score[self._type].fmeasure for score in scores)),)

    def signature(self) -> str:
        """Name the library's version, the stemmer and the rules for words, sentences and references."""
        sentences = "|sentences:lines-or-split" if self._type == "rougeLsum" else ""
        tokens = "" if self._tokens == "ascii" else f"|tokens:{self._tokens}"
        return f"rouge_score:{_version()}|stem:porter{tokens}{sentences}|refs:max"

    def concern(self, example: Example) -> str:
        """Describe that a reference is in a script whose letters are dropped."""
        if self._tokens == "unicode" or not any(map(mostly_outside_latin, example.answers)):
            return ""
        return "references in a script that ROUGE's tokenizer drops; rouge1_unicode and the like keep it"

    def _prepared(self, text: str) -> str:
        if self._type != "rougeLsum" or "\n" in text.strip():
            return text
        return "\n".join(split_sentences(text))


@cache
def _version() -> str:
    return version("rouge-score")


class _StemmingTokenizer:
    """A tokenizer that caches: ROUGE types share texts, and stemming is slow."""

    def __init__(self, split: Callable[[str], list[str]]):
        self.tokenize = split


@lru_cache(maxsize=4096)
def _ascii(text: str) -> list[str]:
    """Split as rouge_score does."""
    return _tokenize()(text)


@lru_cache(maxsize=4096)
def _unicode(text: str) -> list[str]:
    """Split into words of any script; those in ASCII are stemmed as rouge_score does."""
    return [token for word in split_words(text) for token in (_ascii(word) if word.isascii() else [word])]


@lru_cache(maxsize=1)
def _tokenize() -> Callable[[str], list[str]]:
    with _importing():
        from nltk.stem.porter import PorterStemmer
        from rouge_score.tokenize import tokenize
    return partial(tokenize, stemmer=_CachingStemmer(PorterStemmer().stem))


class _CachingStemmer:
    """rouge_score's stemmer, each word once: texts share most of their words."""

    def __init__(self, stem: Callable[[str], str]):
        self.stem = lru_cache(maxsize=1 << 14)(stem)


@contextmanager
def _importing() -> Iterator[None]:
    """Import rouge_score without its dependencies' warnings, and without nltk's optional imports.

    nltk does not need them for stemming, and they would take most of the time.
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
