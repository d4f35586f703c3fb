"""Item: one document from prompt to record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from evalkit.engine.base import Engine
from evalkit.files import canonical_json, digest
from evalkit.harness.loaded import Judgement, Loaded
from evalkit.harness.prompts import Fitted
from evalkit.harness.requests import encode, with_empty_context
from evalkit.harness.task import Protocol
from evalkit.types import Cell, Decoding, Document, Example, Record, Request, RequestKind, Response

REQUESTS: Mapping[str, RequestKind] = {
    "choice": "loglikelihood",
    "loglikelihood": "loglikelihood",
    "rolling": "loglikelihood_rolling",
    "generate": "generate_until",
}

# Of requests that are scored: it is not used.
_NO_DECODING = Decoding()


@dataclass
class Item:
    """One document: its prompt and requests, and the responses so far."""

    loaded: Loaded
    cell: Cell
    document: Document
    example: Example
    fitted: Fitted
    requests: Sequence[Request]
    responses: dict[int, Response] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The passage, which several items may share, or the document itself."""
        return self.document.cluster or self.document.id

    def tokens_beyond(self, shared: int) -> int:
        """Estimate the tokens to read beyond the first `shared`: each context once, plus scored or generated ones."""
        contexts = {request.context_ids for request in self.requests}
        scored = sum(len(request.continuation_ids) for request in self.requests)
        generated = self.loaded.protocol.decoding.max_tokens if self.loaded.protocol.kind == "generate" else 0
        return sum(len(context) - shared for context in contexts) + scored + generated

    @classmethod
    def build(
        cls, engine: Engine, loaded: Loaded, cell: Cell, documents: Sequence[tuple[Document, Example]]
    ) -> list[Item]:
        """Draw shots, render, fit into the context and encode.

        A document without a right answer, and a prompt that cannot fit, make a failed item.
        """
        protocol = loaded.wordings[cell.template]
        sound = [(document, example) for document, example in documents if not example.error]
        encoder = with_empty_context(engine.tokenizer, loaded.empty)
        fitted = iter(loaded.rules.fit(loaded, sound, cell, encoder=encoder, context=engine.context_length))
        prompts = [Fitted.failed(example.error) if example.error else next(fitted) for _, example in documents]
        return [
            cls(
                loaded, cell, document, example, fitted,
                _requests(engine, cell, document, protocol=protocol, fitted=fitted),
            )
            for (document, example), fitted in zip(documents, prompts, strict=True)
        ]  # fmt: skip

    def record(self) -> Record:
        """Score the responses. An item that failed has no scores."""
        answers = tuple(self.responses[i] for i in range(len(self.responses)))
        error = self.fitted.error or next((a.error for a in answers if a.error), "")
        cleanup = self.loaded.protocol.cleanup
        cleaned = [a if (text := cleanup(a.text)) == a.text else replace(a, text=text) for a in answers]
        judged = Judgement({}) if error else self.loaded.rules.judge(self.loaded, self.document, self.example, cleaned)
        plain = not error and not self.cell.variant
        chances = {name: m.chance(self.example) for name, m in self.loaded.metrics.items()} if plain else {}
        return Record(
            cell=self.cell,
            doc_id=self.document.id,
            cluster=self.document.cluster,
            level=self.document.level,
            prompt=self.fitted.prompt,
            continuations=self.fitted.continuations if self.loaded.protocol.kind != "generate" else (),
            responses=answers,
            gold=self.example.output,
            prediction="" if error else self.loaded.rules.answer(self.loaded, self.example, cleaned),
            scores=judged.scores,
            values=judged.values,
            baselines=self.score_baselines() if plain and not self.cell.template else {},
            chance={name: chance for name, chance in chances.items() if chance is not None},
            error=error,
        )

    def score_baselines(self) -> Mapping[str, Mapping[str, Sequence[float]]]:
        """Score the task's baselines, once per document: neither shots nor seeds change them."""
        scored = self.loaded.baselines
        if self.document.id not in scored:
            scored[self.document.id] = self._scores_of_baselines()
        return scored[self.document.id]

    def _scores_of_baselines(self) -> dict[str, Mapping[str, Sequence[float]]]:
        pool = self.loaded.pool.examples.get(self.loaded.group(self.document), ())
        scored: dict[str, Mapping[str, Sequence[float]]] = {}
        for name, predict in self.loaded.task.baselines.items():
            text = predict(self.example, pool)
            if self.example.choices:
                responses = [Response(loglikelihood=-float(c != text), tokens=1) for c in self.example.choices]
                if self.loaded.protocol.answer_context:
                    responses += [Response(tokens=1)] * len(responses)
            else:
                responses = [Response(text=text)]
            scored[name] = self.loaded.rules.judge(self.loaded, self.document, self.example, responses).scores
        return scored


def _requests(
    engine: Engine, cell: Cell, document: Document, *, protocol: Protocol, fitted: Fitted
) -> Sequence[Request]:
    """Build a prompt's requests; with an answer context, each option is also scored after that text alone."""
    decoding = protocol.decoding if protocol.kind == "generate" else _NO_DECODING
    if decoding.top_k != 1:
        # A control or wording uses the same random numbers as the task itself, so that only the input differs.
        seed = int(digest(canonical_json([cell.task, cell.shots, cell.seed, document.id])), 16)
        decoding = replace(decoding, seed=seed)
    contexts = fitted.prompt.contexts
    texts = [(contexts[i if len(contexts) > 1 else 0], text) for i, text in enumerate(fitted.continuations)]
    encoded = list(fitted.encoded)
    if protocol.kind == "choice" and protocol.answer_context:
        alone = [(protocol.answer_context, text) for text in fitted.continuations]
        texts += alone
        encoded += encode(alone, engine.tokenizer)
    return [
        Request(
            kind=REQUESTS[protocol.kind],
            task=cell.task,
            doc_id=document.id,
            index=i,
            context=context,
            continuation=continuation,
            context_ids=ids.context,
            continuation_ids=ids.continuation,
            # Each further sample of the same prompt uses other random numbers.
            decoding=replace(decoding, seed=decoding.seed + i) if i and protocol.kind == "generate" else decoding,
        )
        for i, ((context, continuation), ids) in enumerate(zip(texts, encoded, strict=True))
    ]
