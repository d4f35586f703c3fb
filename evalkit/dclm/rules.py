"""How prompts of CORE are cut into tokens and judged: as nanochat does, and with its boundaries put right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.dclm.draws import Draws
from evalkit.engine.base import TextEncoder
from evalkit.engine.prefix_tree import common_prefix
from evalkit.errors import PromptError, PromptTooLongError
from evalkit.harness.loaded import Judgement, Loaded
from evalkit.harness.prompts import Fitted, fit_all, pairs
from evalkit.harness.requests import Encoded, Pairs, encode_all
from evalkit.harness.spool import Pair
from evalkit.harness.task import Protocol
from evalkit.metrics.values import ValueMetric
from evalkit.types import Cell, Document, Example, Response

_Ids = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What both protocols share: texts, shots and scores."""

    draws: Draws

    def texts(self, loaded: Loaded, document: Document, example: Example, cell: Cell) -> list[tuple[str, str]]:
        """Return (context, continuation) of each request, whether it fits or not."""
        return pairs(loaded.protocol, example, self._shots(document, cell))

    def answer(self, loaded: Loaded, example: Example, responses: Sequence[Response]) -> str:
        """Return the chosen option; of a text that was to be continued nothing is generated."""
        return example.choices[chosen(responses)] if loaded.protocol.kind == "choice" else responses[0].text

    def judge(self, loaded: Loaded, document: Document, example: Example, responses: Sequence[Response]) -> Judgement:
        """Score a choice by its mean loss per token, a text by whether all of its tokens are the likeliest ones."""
        choosing = loaded.protocol.kind == "choice"
        right = chosen(responses) == example.gold if choosing else responses[0].is_greedy
        return Judgement({name: _of(metric, float(right)) for name, metric in loaded.metrics.items()})

    def _shots(self, document: Document, cell: Cell) -> list[Example]:
        return self.draws.draw(int(document.id), count=cell.shots, seed=cell.seed)


def _of(metric: object, value: float) -> tuple[float, ...]:
    assert isinstance(metric, ValueMetric), "the metrics of CORE are of values"
    return metric.of(value)


def chosen(responses: Sequence[Response]) -> int:
    """Return the index of the option with the least mean loss, exactly as Python's `min` finds it in nanochat.

    An option without a scored token has the loss NaN: it is chosen where it comes first and never otherwise.
    """
    losses = [-r.loglikelihood / r.tokens if r.tokens else math.nan for r in responses]
    return losses.index(min(losses))


@dataclass(frozen=True, kw_only=True)
class NanochatRules(Rules):
    """Prompts as in nanochat's core_eval.py: boundaries are where token sequences differ, long ones lose their left.

    Every prompt is encoded as a whole behind the token that begins a text. Scored are the tokens behind the common
    beginning of all options (multiple choice), the common end of all (schema), and the tokens behind those of the text
    without its continuation (language modelling).
    """

    def fit(
        self, loaded: Loaded, documents: Sequence[Pair], cell: Cell, *, encoder: TextEncoder, context: int
    ) -> list[Fitted]:
        """Encode each document's prompts and keep the last `context` tokens, those to be scored included."""
        prompts = [self.texts(loaded, document, example, cell) for document, example in documents]
        wholes = [[("", text) for text in _wholes(loaded.protocol, texts)] for texts in prompts]
        begin = _begin(encoder)
        fitted = []
        for texts, (_, encoded) in zip(prompts, encode_all(wholes, encoder), strict=True):
            try:
                if isinstance(encoded, PromptError):
                    raise encoded
                ids = [(begin, *each.continuation) for each in encoded]
                requests = [_last(each, start, context) for each, start in _starts(loaded.protocol, ids)]
                cut = _characters(texts, max(map(len, ids)) - context, encoder)
                fitted.append(Fitted.of(texts, requests, shots=cell.shots, cut=cut))
            except PromptError as error:
                fitted.append(Fitted.failed(str(error)))
        return fitted


@dataclass(frozen=True, kw_only=True)
class BoundaryRules(Rules):
    """Prompts whose scored tokens are those of the whole option, text or continuation; long ones lose whole shots."""

    def fit(
        self, loaded: Loaded, documents: Sequence[Pair], cell: Cell, *, encoder: TextEncoder, context: int
    ) -> list[Fitted]:
        """Build each document's prompt behind the token that begins a text; the earliest shots are dropped first."""
        prompts = [(example, self._shots(document, cell)) for document, example in documents]
        begin = _begin(encoder)
        fitted = fit_all(loaded.protocol, prompts, encoder=encoder, context=context - 1)
        return [replace(each, encoded=tuple(_behind(begin, ids) for ids in each.encoded)) for each in fitted]


def _behind(begin: int, ids: Encoded) -> Encoded:
    return ids if ids.context[:1] == (begin,) else replace(ids, context=(begin, *ids.context))


def _begin(encoder: TextEncoder) -> int:
    """Return the token before every prompt: the one that the tokenizer puts before texts, or its empty context's."""
    begin: int | None = getattr(encoder, "begin", None)
    return encoder.end_of_text if begin is None else begin


def _wholes(protocol: Protocol, texts: Pairs) -> list[str]:
    """Return the texts to encode: each option's, or the one without its continuation and the one with it."""
    if protocol.kind == "choice":
        return [context + continuation for context, continuation in texts]
    [(context, continuation)] = texts
    return [context.strip(), context + continuation]


def _starts(protocol: Protocol, ids: Sequence[_Ids]) -> list[tuple[_Ids, int]]:
    """Return each request's tokens and how many of them come before the scored ones."""
    if protocol.kind != "choice":
        without, whole = ids
        return [(whole, _continued(without, whole))]
    if protocol.varies_context:
        common = _common_beginning([each[::-1] for each in ids])
        return [(each, len(each) - common) for each in ids]
    return [(each, _common_beginning(ids)) for each in ids]


def _characters(texts: Pairs, tokens: int, encoder: TextEncoder) -> int:
    """Return how many characters of the longest prompt were cut with the first tokens, one of which begins it."""
    longest = max((context + continuation for context, continuation in texts), key=len)
    return encoder.offsets(longest)[tokens - 1][0] if tokens > 0 else 0


def _common_beginning(ids: Sequence[_Ids]) -> int:
    return common_prefix(min(ids), max(ids))


def _continued(without: _Ids, whole: _Ids) -> int:
    """Return where the continuation begins. Raises PromptError where the tokens before it change, as nanochat stops."""
    if len(without) >= len(whole) or whole[: len(without)] != without:
        raise PromptError("a token spans the end of the prompt and its continuation; nanochat stops here")
    return len(without)


def _last(ids: _Ids, start: int, context: int) -> Encoded:
    """Keep the last `context` tokens; without any before the scored ones nothing is scored, as in nanochat."""
    cut = max(0, len(ids) - context)
    if cut and start - cut < 1:
        raise PromptTooLongError(
            f"the context of {context} tokens has no room for a prompt besides {len(ids) - start} tokens to score"
        )
    return Encoded(ids[cut:start] or ids[:1], ids[start:] if start else ())
