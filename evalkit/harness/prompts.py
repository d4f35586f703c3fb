"""Example -> Prompt: shots, rendering by a protocol, and what is left out when the context is too short."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from evalkit.engine.base import TextEncoder
from evalkit.errors import PromptTooLongError, UsageError
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
        """The examples alone, by group: what baselines are shown, always the same sequence."""
        return {group: tuple(example for _, example in pairs) for group, pairs in self.groups.items()}

    def draw(self, document: Document, example: Example, *, group: str, count: int, seed: int) -> list[Example]:
        """Draw `count` shots for one document.

        The draw depends on the seed, the task and the document's id alone, so that no limit, order or other task
        changes it. Never drawn: the document itself, one with the same input, one of the same cluster (its passage,
        or the answered questions before it, could give the answer away). Shots for a smaller count are the last ones
        of a larger count. Raises UsageError when the pool is too small.
        """
        if not count:
            return []
        pool = self.groups.get(group, ())
        rng = random.Random(f"{seed}/{self.task}/{document.id}")
        chosen: list[Example] = []
        seen: set[int] = set()
        bits = len(pool).bit_length()
        while len(chosen) < count and len(seen) < len(pool):
            place = rng.getrandbits(bits)  # as randrange does, without its checks of every call
            if place < len(pool) and place not in seen:
                seen.add(place)
                other, shot = pool[place]
                related = other.id == document.id or (other.cluster and other.cluster == document.cluster)
                if not related and shot.input != example.input:
                    chosen.append(shot)
        if len(chosen) < count:
            where = f" of the group {group!r}" if group else ""
            raise UsageError(f"--shots {count}: {self.task} has only {len(chosen)} other examples{where} to draw from")
        return chosen[::-1]


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits the context, and its token ids, one pair per request; or the reason why none fits."""

    prompt: Prompt
    continuations: tuple[str, ...]
    encoded: tuple[Encoded, ...]
    error: str = ""

    @classmethod
    def of(cls, texts: Sequence[tuple[str, str]], encoded: Sequence[Encoded], *, shots: int, cut: int) -> Fitted:
        """Make one of the (context, continuation) of its requests. A context that all of them have stands once."""
        contexts = tuple(dict.fromkeys(context for context, _ in texts))
        if len(contexts) > 1:
            contexts = tuple(context for context, _ in texts)
        prompt = Prompt(contexts=contexts, shots=shots, cut=cut)
        return cls(prompt, tuple(continuation for _, continuation in texts), tuple(encoded))

    @classmethod
    def failed(cls, error: str) -> Fitted:
        """Keep the reason."""
        return cls(Prompt(contexts=()), (), (), error)


def render(template: str, example: Example, choice: str = "") -> str:
    """Fill a protocol's template with an example's fields."""
    return template.format_map({**example.fields(), "choice": choice})


def shot_text(protocol: Protocol, example: Example) -> str:
    """Return a solved example: query and target with the right answer."""
    fields = example.fields()
    fields["choice"] = example.choices[example.gold] if example.gold is not None else example.output
    return (protocol.query + protocol.target).format_map(fields)


def pairs(protocol: Protocol, example: Example, shots: Sequence[Example], *, cut: int = 0) -> list[tuple[str, str]]:
    """Return (context, continuation) of each request; `cut` characters are missing at the left of the query."""
    if protocol.kind == "rolling":
        return [("", example.input)]
    parts = [protocol.description] if protocol.description else []
    parts += [shot_text(protocol, shot) for shot in shots]
    head = "".join(part + protocol.separator for part in parts)
    options = example.choices if protocol.kind == "choice" else ("",)
    fields = example.fields()
    varies = protocol.kind == "choice" and protocol.varies_context
    shared = "" if varies else head + protocol.query.format_map({**fields, "choice": ""})[cut:]
    if protocol.kind == "generate":
        return [(shared, "")]
    found = []
    for option in options:
        fields["choice"] = option
        found.append((shared or head + protocol.query.format_map(fields)[cut:], protocol.target.format_map(fields)))
    return found


def fit_all(
    protocol: Protocol, asked: Sequence[tuple[Example, Sequence[Example]]], *, encoder: TextEncoder, context: int
) -> list[Fitted]:
    """Return `fit` of every example and its shots; one that cannot fit has the reason as its error."""
    found = []
    tries = encode_all([pairs(protocol, example, shots) for example, shots in asked], encoder)
    for (example, shots), (texts, encoded) in zip(asked, tries, strict=True):
        first = Fitted.of(texts, encoded, shots=len(shots), cut=0)
        try:
            found.append(fit(protocol, example, shots, encoder=encoder, context=context, first=first))
        except PromptTooLongError as error:
            found.append(Fitted.failed(str(error)))
    return found


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

    The description and the query are never cut. first: the prompt with all shots, where it is made already. Raises
    PromptTooLongError when that is not enough.
    """
    room = context - (protocol.decoding.max_tokens if protocol.kind == "generate" else 0)
    found = first or _try(protocol, example, shots, encoder)
    if protocol.kind == "rolling" or _excess(found, room) <= 0:
        return found
    low, high = 0, len(shots)  # `high` shots are known not to fit; find the most that do
    while low < high:
        middle = (low + high) // 2
        attempt = _try(protocol, example, shots[len(shots) - middle :], encoder)
        if _excess(attempt, room) <= 0:
            low, found = middle + 1, attempt
        else:
            high = middle
    if _excess(found, room) > 0:
        found = _shorten(protocol, example, encoder, room)
    return replace(found, prompt=replace(found.prompt, dropped=len(shots) - found.prompt.shots))


def _try(
    protocol: Protocol, example: Example, shots: Sequence[Example], encoder: TextEncoder, *, cut: int = 0
) -> Fitted:
    """Render and encode one prompt, whether it fits or not."""
    texts = pairs(protocol, example, shots, cut=cut)
    return Fitted.of(texts, encode(texts, encoder), shots=len(shots), cut=cut)


def _excess(fitted: Fitted, room: int) -> int:
    """Return how many tokens the longest request is over; the last scored token is never fed."""
    return max(len(e.context) + max(len(e.continuation) - 1, 0) for e in fitted.encoded) - room


def _shorten(protocol: Protocol, example: Example, encoder: TextEncoder, room: int) -> Fitted:
    """Cut the input until the prompt without shots fits; more is cut than strictly needed rather than less."""
    name, side = protocol.shrink or ("", "left")
    text = (
        example.fields()[name]
        if name
        else min((render(protocol.query, example, c) for c in _options(example)), key=len)
    )
    offsets = encoder.offsets(text)
    fitted = _try(protocol, example, (), encoder)
    gone = 0
    while (over := _excess(fitted, room)) > 0:
        gone += over
        if gone >= len(offsets):
            need = room + over
            raise PromptTooLongError(f"the prompt needs {need} tokens without its input, the context allows {room}")
        if not name:
            fitted = _try(protocol, example, (), encoder, cut=offsets[gone][0])
            continue
        kept = text[offsets[gone][0] :] if side == "left" else text[: offsets[-gone - 1][1]]
        shorter = (
            replace(example, parts={**example.parts, name: kept}) if name != "input" else replace(example, input=kept)
        )
        fitted = _try(protocol, shorter, (), encoder)
        fitted = replace(fitted, prompt=replace(fitted.prompt, cut=len(text) - len(kept)))
    return fitted


def _options(example: Example) -> Sequence[str]:
    return example.choices or ("",)
