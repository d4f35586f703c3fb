"""Example -> Prompt: shots, rendering by a protocol, and shortening when the context is too short."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

from evalkit.engine.base import TextEncoder
from evalkit.errors import PromptError, PromptTooLongError, UsageError, unknown
from evalkit.harness.requests import Encoded, encode, encode_all
from evalkit.harness.task import Protocol
from evalkit.types import Document, Example, Prompt


@dataclass(frozen=True)
class Pool:
    """What shots are drawn from: documents and examples by group (one group "" unless the task has several)."""

    task: str
    groups: Mapping[str, Sequence[tuple[Document, Example]]] = field(default_factory=dict)

    @cached_property
    def examples(self) -> Mapping[str, Sequence[Example]]:
        """The examples alone, by group, for baselines; always the same sequence."""
        return {group: tuple(example for _, example in pairs) for group, pairs in self.groups.items()}

    def draw(self, document: Document, example: Example, *, group: str, count: int, seed: int) -> list[Example]:
        """Draw `count` shots for one document.

        The draw depends only on the seed, the task and the document's id, so no limit, order or other task changes it.
        Never drawn: the document itself, one with the same input, one of the same cluster (its passage, or the
        answered questions before it, could give the answer away). The shots of a smaller count are the last ones of a
        larger count. Raises UsageError when the pool is too small.
        """
        if not count:
            return []
        pool = self.groups.get(group, ())
        rng = random.Random(f"{seed}/{self.task}/{document.id}".encode("utf-8", "surrogatepass"))
        chosen: list[Example] = []
        drawn: set[int] = set()
        bits = len(pool).bit_length()
        while len(chosen) < count and len(drawn) < len(pool):
            place = rng.getrandbits(bits)  # as randrange does, without its checks of every call
            if place < len(pool) and place not in drawn:
                drawn.add(place)
                candidate, shot = pool[place]
                related = candidate.id == document.id or (candidate.cluster and candidate.cluster == document.cluster)
                if not related and shot.input != example.input:
                    chosen.append(shot)
        if len(chosen) < count:
            others = f"{len(chosen)} other example{'s' * (len(chosen) != 1)}"
            where = f" of the group {group!r}" if group else ""
            raise UsageError(f"--shots {count}: {self.task} has only {others}{where} to draw from")
        return chosen[::-1]

    def __getstate__(self) -> dict[str, Any]:
        return {"task": self.task, "groups": {group: packed(pairs) for group, pairs in self.groups.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, groups={group: unpacked(rows) for group, rows in state["groups"].items()})


_OF_DOCUMENT, _OF_EXAMPLE = ([each.name for each in fields(kind)] for kind in (Document, Example))


def packed(pairs: Sequence[tuple[Document, Example]]) -> list[tuple[Any, ...]]:
    """Return documents and examples as plain tuples, which are pickled several times as fast."""
    document_row, example_row = attrgetter(*_OF_DOCUMENT), attrgetter(*_OF_EXAMPLE)
    return [(*document_row(document), *example_row(example)) for document, example in pairs]


def unpacked(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Document, Example]]:
    """Return what was packed."""
    cut = len(_OF_DOCUMENT)
    return [
        (
            Document(**dict(zip(_OF_DOCUMENT, row[:cut], strict=True))),
            Example(**dict(zip(_OF_EXAMPLE, row[cut:], strict=True))),
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits the context, with token ids per request; or, as `error`, the reason why none fits."""

    prompt: Prompt
    continuations: tuple[str, ...]
    encoded: tuple[Encoded, ...]
    error: str = ""

    @classmethod
    def of(cls, texts: Sequence[tuple[str, str]], encoded: Sequence[Encoded], *, shots: int, cut: int) -> Fitted:
        """Build it from its requests' (context, continuation); a context that all of them share is stored once."""
        contexts = tuple(dict.fromkeys(context for context, _ in texts))
        if len(contexts) > 1:
            contexts = tuple(context for context, _ in texts)
        prompt = Prompt(contexts=contexts, shots=shots, cut=cut)
        return cls(prompt, tuple(continuation for _, continuation in texts), tuple(encoded))

    @classmethod
    def failed(cls, error: str) -> Fitted:
        """Return a prompt that does not fit, with the reason."""
        return cls(Prompt(contexts=()), (), (), error)


class _Fields(dict[str, str]):
    """The fields of an example, for str.format_map. Raises UsageError for a field that it does not have."""

    def __missing__(self, name: str) -> str:
        raise unknown("field", name, self, where="in a template")


def render(template: str, example: Example, choice: str = "") -> str:
    """Fill a protocol's template with an example's fields."""
    return template.format_map(_Fields({**example.fields(), "choice": choice}))


def shot_text(protocol: Protocol, example: Example) -> str:
    """Return a solved example: query and target with the right answer."""
    fields = _Fields(example.fields())
    fields["choice"] = example.choices[example.gold] if example.gold is not None else example.output
    return (protocol.query + protocol.target).format_map(fields)


def pairs(protocol: Protocol, example: Example, shots: Sequence[Example], *, cut: int = 0) -> list[tuple[str, str]]:
    """Return (context, continuation) of each request, without the first `cut` characters of the query."""
    if protocol.kind == "rolling":
        return [("", example.input)]
    parts = [protocol.description] if protocol.description else []
    parts += [shot_text(protocol, shot) for shot in shots]
    head = "".join(part + protocol.separator for part in parts)
    options = example.choices if protocol.kind == "choice" else ("",)
    fields = _Fields({**example.fields(), "choice": ""})
    varies = protocol.kind == "choice" and protocol.varies_context
    shared = "" if varies else head + protocol.query.format_map(fields)[cut:]
    if protocol.kind == "generate":
        return [(shared, "")]
    requests = []
    for option in options:
        fields["choice"] = option
        requests.append((shared or head + protocol.query.format_map(fields)[cut:], protocol.target.format_map(fields)))
    return requests


def fit_all(
    protocol: Protocol, prompts: Sequence[tuple[Example, Sequence[Example]]], *, encoder: TextEncoder, context: int
) -> list[Fitted]:
    """Return `fit` of every example with its shots; one that the model cannot read has the reason as its error."""
    fitted = []
    encodings = encode_all([pairs(protocol, example, shots) for example, shots in prompts], encoder)
    for (example, shots), (texts, encoded) in zip(prompts, encodings, strict=True):
        try:
            if isinstance(encoded, PromptError):
                raise encoded
            first = Fitted.of(texts, encoded, shots=len(shots), cut=0)
            fitted.append(fit(protocol, example, shots, encoder=encoder, context=context, first=first))
        except PromptError as error:
            fitted.append(Fitted.failed(str(error)))
    return fitted


def fit(
    protocol: Protocol,
    example: Example,
    shots: Sequence[Example],
    *,
    encoder: TextEncoder,
    context: int,
    first: Fitted | None = None,
) -> Fitted:
    """Build a prompt that fits: whole shots are dropped first (the earliest), then the input is shortened.

    The description and the query are never cut. first: the prompt with all shots, if it has been built already.
    Raises PromptTooLongError when that is not enough.
    """
    room = context - (protocol.decoding.max_tokens if protocol.kind == "generate" else 0)
    fitted = first or _try(protocol, example, shots, encoder)
    if protocol.kind == "rolling" or _excess(fitted, room) <= 0:
        return fitted
    low, high = 0, len(shots)  # `high` shots do not fit; find the largest number that does
    while low < high:
        middle = (low + high) // 2
        attempt = _try(protocol, example, shots[len(shots) - middle :], encoder)
        if _excess(attempt, room) <= 0:
            low, fitted = middle + 1, attempt
        else:
            high = middle
    if _excess(fitted, room) > 0:
        fitted = _shorten(protocol, example, encoder, room)
    return replace(fitted, prompt=replace(fitted.prompt, dropped=len(shots) - fitted.prompt.shots))


def _try(
    protocol: Protocol, example: Example, shots: Sequence[Example], encoder: TextEncoder, *, cut: int = 0
) -> Fitted:
    """Render and encode one prompt; it may be too long."""
    texts = pairs(protocol, example, shots, cut=cut)
    return Fitted.of(texts, encode(texts, encoder), shots=len(shots), cut=cut)


def _excess(fitted: Fitted, room: int) -> int:
    """Return by how many tokens the longest request exceeds the room; the last scored token is not an input."""
    return max([len(e.context) + (len(e.continuation) or 1) - 1 for e in fitted.encoded]) - room


def _shorten(protocol: Protocol, example: Example, encoder: TextEncoder, room: int) -> Fitted:
    """Cut the input until the prompt without shots fits; rather a little too much than too little."""
    name, side = protocol.shrink or ("", "left")
    text = (
        example.fields()[name]
        if name
        else min((render(protocol.query, example, c) for c in _options(example)), key=len)
    )
    offsets = encoder.offsets(text)
    fitted = _try(protocol, example, (), encoder)
    cut_tokens = 0
    while (over := _excess(fitted, room)) > 0:
        cut_tokens += over
        if cut_tokens >= len(offsets):
            need = room + over
            raise PromptTooLongError(f"the prompt needs {need} tokens without its input, the context allows {room}")
        if not name:
            fitted = _try(protocol, example, (), encoder, cut=offsets[cut_tokens][0])
            continue
        remainder = text[offsets[cut_tokens][0] :] if side == "left" else text[: offsets[-cut_tokens - 1][1]]
        shorter = (
            replace(example, parts={**example.parts, name: remainder})
            if name != "input"
            else replace(example, input=remainder)
        )
        fitted = _try(protocol, shorter, (), encoder)
        fitted = replace(fitted, prompt=replace(fitted.prompt, cut=len(text) - len(remainder)))
    return fitted


def _options(example: Example) -> Sequence[str]:
    return example.choices or ("",)
