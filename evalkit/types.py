"""The frozen types from a benchmark's row to a result, in the order of processing.

Document -> Example -> Prompt -> Request -> Response -> Record -> Result
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.errors import UsageError

RequestKind = Literal["loglikelihood", "loglikelihood_rolling", "generate_until"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One raw row of a benchmark.

    id: unique within the task and stable across machines, orders and limits.
    row: the raw columns, named as in the hub's dataset.
    cluster: documents that share it share text (a passage); intervals resample whole clusters. Empty: independent.
    level: a named slice reported separately (head/tail, a difficulty). Empty: none.
    """

    id: str
    row: Mapping[str, Any]
    cluster: str = ""
    level: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A document as (task, input, output), GPT-2's p(output | task, input), plus what scoring needs.

    task: what is to be done, in words ("translate English to French").
    input, output: the texts; output is the gold answer as it would be written after the prompt.
    parts: named pieces of the input that a protocol may put in other places (passage, question, ...).
    choices, gold: the answer options and the index of the right one (multiple choice only).
    golds: the indexes of all right ones where there are several (every answer of a question labelled); then gold is
    None and output is all of them as they are written in a shot.
    references: every accepted answer (generation); empty means (output,).
    original: the text whose words, bytes and characters perplexity is reported per; empty means input.
    error: why the document cannot be scored (its label names no choice), or empty; with it the rest is meaningless.
    """

    task: str
    input: str
    output: str
    parts: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    gold: int | None = None
    golds: tuple[int, ...] = ()
    references: tuple[str, ...] = ()
    original: str = ""
    error: str = ""

    @classmethod
    def failed(cls, error: str) -> Example:
        """Return an example that cannot be scored, with the reason."""
        return cls(task="", input="", output="", error=error)

    @property
    def answers(self) -> tuple[str, ...]:
        """Every accepted answer, at least one."""
        return self.references or (self.output,)

    def fields(self) -> dict[str, str]:
        """The names a protocol's templates may use."""
        return {"task": self.task, "input": self.input, "output": self.output, **self.parts}


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What a model conditions on: description, solved examples, query.

    contexts: one text, or one per choice where the choices are in the query (partial scoring).
    shots: solved examples in the text; dropped: shots left out because the context was too short;
    cut: characters cut from the input for the same reason.
    """

    contexts: tuple[str, ...]
    shots: int = 0
    dropped: int = 0
    cut: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoding:
    """How to generate: until a stop string or max_tokens.

    top_k: sample among the k most likely tokens; 1 is greedy (no randomness), 0 is the whole vocabulary.
    top_p: sample among the fewest tokens with this total probability. seed: of the sampling.
    beams: width of a beam search, 1 for none. length_penalty: a finished beam's log-probability is divided by its
    length in tokens to this power (Brown et al. 2020 used 4 beams and 0.6).
    avoid: if not empty, one word is generated, the most likely one that is none of these (GPT-2's filter for LAMBADA);
    beams is then the number of word beginnings that are followed.

    Raises UsageError for values out of range.
    """

    until: tuple[str, ...] = ("\n",)
    max_tokens: int = 32
    top_k: int = 1
    top_p: float = 1.0
    temperature: float = 1.0
    seed: int = 0
    beams: int = 1
    length_penalty: float = 0.6
    avoid: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.beams < 1:
            raise UsageError(f"beams must be at least 1, not {self.beams}")
        if self.beams > 1 and self.top_k != 1:
            raise UsageError(f"beams {self.beams} with top_k {self.top_k}: a beam search does not sample (top_k 1)")
        if self.avoid and self.top_k != 1:
            raise UsageError(f"top_k {self.top_k} with words to avoid: the likeliest word is not sampled (top_k 1)")
        if not -10 <= self.length_penalty <= 10:
            raise UsageError(f"length_penalty must be between -10 and 10, not {self.length_penalty}")
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if self.top_k < 0:
            raise UsageError(f"top_k must be at least 0, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if not self.temperature > 0:
            raise UsageError(f"temperature must be above 0, not {self.temperature}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One question to an engine, in text and in tokens; see harness.requests for the boundary rules.

    task, doc_id, index: its origin; index counts the requests of one document (its choices, in order).
    context_ids are conditioned on (never empty: an empty context is the end-of-text token);
    continuation_ids are scored (loglikelihood: the continuation; rolling: the whole document).
    """

    kind: RequestKind
    task: str
    doc_id: str
    index: int = 0
    context: str = ""
    continuation: str = ""
    context_ids: tuple[int, ...] = ()
    continuation_ids: tuple[int, ...] = ()
    decoding: Decoding = Decoding()


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """An engine's answer.

    loglikelihood: natural log-probability of the continuation's tokens, summed; for generation, of the generated tokens
    including those that ended the text, at temperature 1: the model's confidence in its answer.
    is_greedy: every scored token was the argmax. tokens: tokens scored or generated.
    text: the generated text, cut before the first stop string. error: why the item failed, or empty.
    """

    loglikelihood: float = 0.0
    is_greedy: bool = False
    tokens: int = 0
    text: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What a group of records has in common: one row of a results table before aggregation.

    variant: "" for the task itself, else the name of the control that changed its input.
    template: "" for the protocol's own wording, else the name of a further one.
    """

    task: str
    protocol: str
    shots: int
    seed: int
    variant: str = ""
    template: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """Everything about one document in one cell: one line of records.jsonl.

    scores: metric name -> sufficient statistics, summed over documents before a metric is computed.
    baselines: baseline name -> the same for its prediction. chance: metric name -> the expected score of a guess.
    prediction: the answer in words. error: why the item failed (then scores is empty).
    values: metric name -> this document's JSON value for a task's own aggregation; its statistics are then empty.
    """

    cell: Cell
    doc_id: str
    cluster: str
    level: str
    prompt: Prompt
    continuations: tuple[str, ...]
    responses: tuple[Response, ...]
    gold: str
    prediction: str
    scores: Mapping[str, Sequence[float]]
    baselines: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Cell, str]:
        """What identifies a record within a run."""
        return self.cell, self.doc_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """An aggregate: a metric over the documents of one cell (all seeds together), with its interval.

    source: "model", "control:NAME" (the model on a changed input) or "baseline:NAME" (no model).
    level: "" for all documents. low, high: the 95% interval, NaN where n is too small for one.
    template: "" for the protocol's own wording, else the name of a further one.
    n: scored documents; failed: documents without a score; truncated: documents whose prompt was shortened.
    units: the number of units behind the interval, documents or the passages that they share; 0 if unknown.
    """

    model: str
    task: str
    family: str
    protocol: str
    shots: int
    metric: str
    source: str
    level: str
    value: float
    low: float
    high: float
    n: int
    failed: int
    truncated: int
    chance: float | None
    signature: str
    template: str = ""
    units: int = 0
