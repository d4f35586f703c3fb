"""The log-probability of each token of an answer, from the model that gave it.

Runs store the sum over an answer's tokens. For the documents that a page shows in detail the model is asked again: each
token is a request of its own, after everything before it. Engines read what such requests share once, so an answer
costs about as much as it did in the run, and the responses are cached like those of a run. The sum is compared with the
one that the run stored: what does not agree is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

from evalkit.engine.base import Engine, TextEncoder
from evalkit.engine.cache import ResponseCache
from evalkit.engine.open import Model, open_model
from evalkit.errors import CheckpointError
from evalkit.harness.requests import encode, with_empty_context
from evalkit.harness.settings import RunSettings
from evalkit.runs.store import StoredRun
from evalkit.types import Record, Request, Response

# Tokens of one text that are shown, at most; the sum is then only known to be no less than that of all.
_MOST = 512
# How far the sum may be from the run's, as a share of it (or of 1, if that is less): other batches change last bits.
_NEAR = {"float32": 0.002}
_NEAR_HALF = 0.05


class Token(NamedTuple):
    """A token's text, its log-probability after everything before it, and whether it was the likeliest one."""

    text: str
    logprob: float
    greedy: bool


@dataclass(frozen=True, kw_only=True)
class Rescoring:
    """How the models of runs are asked again.

    count: documents of each task and number of shots. models: where a run's model is, by the name that the run gives
    it, if not where that name leads. cache: of responses.
    """

    count: int
    models: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    cache: ResponseCache | None = None

    def score(self, run: StoredRun, records: Sequence[Record]) -> Iterator[list[list[Token]] | str]:
        """Yield the tokens of each record's responses, or why they are not known.

        Raises CheckpointError where the model's files are not those of the run, UsageError where there are none.
        """
        settings = run.settings
        model = self._open(settings["model"])
        with closing(model.engine(self.cache)) as engine:
            if (current := engine.signature().get("hash")) != settings["model"].get("hash"):
                raise CheckpointError(f"{model.name} is not the model of the run: its content hash is {current}")
            rules = RunSettings(empty_context=settings.get("empty_context"))
            texts = []
            for record in records:
                encoder = with_empty_context(engine.tokenizer, rules.empty_context_of(record.cell.protocol))
                texts.append([_Text.of(record, i, encoder, engine.context_length) for i in range(_responses(record))])
            scored = _ask(engine, [text for of_record in texts for text in of_record])
            share = _NEAR.get(settings["model"].get("dtype", ""), _NEAR_HALF)
            for record, of_record in zip(records, texts, strict=True):
                yield _checked(record, of_record, [next(scored) for _ in of_record], share=share)

    def _open(self, about: Mapping[str, str]) -> Model:
        name = about["model"]
        return open_model(self.models.get(name, name), name=name, dtype=about.get("dtype"), device=self.device)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Text:
    """What is scored of a response: the ids before it, its own ids and their texts. whole: nothing is left out."""

    context: tuple[int, ...]
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    whole: bool

    @classmethod
    def of(cls, record: Record, number: int, encoder: TextEncoder, positions: int) -> _Text:
        contexts = record.prompt.contexts or ("",)
        context = contexts[number if len(contexts) > 1 else 0]
        scored = record.continuations[number] if record.continuations else record.responses[number].text
        if not scored:
            return cls(context=(), ids=(), pieces=(), whole=True)
        [encoded] = encode([(context, scored)], encoder)
        text = context + scored
        ids = encoded.continuation[: max(0, min(_MOST, positions - len(encoded.context) + 1))]
        places = encoder.offsets(text)[-len(encoded.continuation) :]
        whole = len(ids) == len(encoded.continuation) and bool(record.continuations)
        return cls(context=encoded.context, ids=ids, pieces=tuple(_pieces(text, places))[: len(ids)], whole=whole)


def _pieces(text: str, places: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Yield the text of each token; a character that several tokens share belongs to the first of them."""
    done = 0
    for start, stop in places:
        yield text[max(start, done) : stop]
        done = max(done, stop)


def _responses(record: Record) -> int:
    """Return how many responses have a text of their own; those after an answer context alone come last."""
    return len(record.continuations) or len(record.responses)


def _ask(engine: Engine, texts: Sequence[_Text]) -> Iterator[list[Response]]:
    """Yield the responses to each text's tokens."""
    requests = [
        Request(
            kind="loglikelihood", task="", doc_id="", context_ids=text.context + text.ids[:i],
            continuation_ids=text.ids[i : i + 1],
        )
        for text in texts
        for i in range(len(text.ids))
    ]  # fmt: skip
    answers = dict(engine.loglikelihood(requests)) if requests else {}
    place = 0
    for text in texts:
        yield [answers[place + i] for i in range(len(text.ids))]
        place += len(text.ids)


def _checked(
    record: Record, texts: Sequence[_Text], answers: Sequence[Sequence[Response]], *, share: float
) -> list[list[Token]] | str:
    """Return the tokens of all responses, or why they would mislead."""
    tokens = []
    for text, of_text, stored in zip(texts, answers, record.responses, strict=False):
        total = sum(answer.loglikelihood for answer in of_text)
        reach = share * max(1.0, abs(stored.loglikelihood))
        excess = total - stored.loglikelihood
        # The tokens that ended a generated text are not stored; they can only lower the sum.
        if text.ids and (abs(excess) > reach if text.whole else excess < -reach):
            return (
                f"the tokens of the text as it is stored have the sum {total:.2f}, those of the run "
                f"{stored.loglikelihood:.2f}: they are not the same"
            )
        tokens.append(
            [Token(piece, round(answer.loglikelihood, 3), answer.is_greedy)
             for piece, answer in zip(text.pieces, of_text, strict=True)]
        )  # fmt: skip
    return tokens
