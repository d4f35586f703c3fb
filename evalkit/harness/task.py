"""Task and Protocol: what a benchmark is, and how a paper turns it into text and scores it."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

from evalkit.data.sources import Source
from evalkit.errors import UsageError, unknown
from evalkit.metrics.choice import NORMALISATIONS, UNCONDITIONAL
from evalkit.plugins import Registry
from evalkit.types import Decoding, Document, Example

# Every family, in the order of tables, with what it holds.
FAMILIES: Registry[str] = Registry(
    "family",
    {
        "reading": "answers to questions about a passage",
        "translation": "a sentence in another language",
        "summarization": "the gist of a text",
        "qa": "answers from memory",
        "lm": "perplexity, last words",
        "cloze": "the missing word",
        "commonsense": "the likelier end, referent or cause",
        "nli": "whether one sentence follows from another",
        "classification": "the class of a text",
        "synthetic": "made tasks: arithmetic, scrambled words",
        "patterns": "rules that the examples show",
        "imported": "tasks of lm-evaluation-harness",
    },
    group="evalkit.families",
)

Kind = Literal["choice", "loglikelihood", "rolling", "generate"]

# The fields of a protocol that a template may replace.
_WORDED = ("query", "target", "description", "separator")

# The protocol of lm-evaluation-harness, in bundled tasks and in its own task files.
LM_EVAL = "lm-eval"

# The name in place of a protocol where a model was trained on the examples instead of reading them in its prompt.
FINETUNED = "finetuned"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A named way to render an example and to score it, as one paper or tool does it.

    kind: choice (pick the most likely option), loglikelihood (score the output), rolling (score the whole input),
    generate (decode and compare).
    query, target: str.format templates over Example.fields(); a shot is query + target. For kind "choice" both may
    use {choice}: in `target` it is the option being scored; in `query` it makes the context vary instead, which is
    GPT-2's partial scoring (Trinh & Le 2018).
    description: instruction put first. separator: between description, shots and query.
    metrics: names in evalkit.metrics. cleanup: applied to generated text before scoring.
    shrink: the field that may be shortened when the context is too short, and the side to cut ("left" or "right");
    None: the left of the query's text.
    paper_shots: how many shots the paper gave this task (`--shots paper`); None: it does not say.
    answer_context: a text without the question ("Answer:"), after which each choice is scored too, for
    acc_unconditional (Brown et al. 2020, section 2.4). Empty: not done.
    templates: further wordings by name, each as the fields of this protocol that it replaces (query, target,
    description, separator), as T0 had several for a task (Sanh et al. 2022).

    Raises UsageError for a kind, a field of a template or a side that does not exist, and for a broken template.
    """

    kind: Kind
    query: str
    target: str = " {output}"
    description: str = ""
    separator: str = "\n\n"
    metrics: tuple[str, ...]
    decoding: Decoding = Decoding()
    cleanup: Callable[[str], str] = str.strip
    shrink: tuple[str, Literal["left", "right"]] | None = None
    paper_shots: int | None = None
    answer_context: str = ""
    templates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.metrics:
            raise UsageError("a protocol needs at least one metric")
        if self.kind not in get_args(Kind):
            raise unknown("kind of protocol", str(self.kind), get_args(Kind))
        for name, fields in self.templates.items():
            for field_name in fields:
                if field_name not in _WORDED:
                    raise unknown("field", field_name, _WORDED, where=f"in the template {name!r} of a protocol")
        if self.shrink and (len(self.shrink) != 2 or self.shrink[1] not in ("left", "right")):
            raise UsageError(f"shrink {self.shrink!r}: expected a field's name and left or right")
        if self.paper_shots is not None and self.paper_shots < 0:
            raise UsageError(f"paper_shots must be at least 0, not {self.paper_shots}")
        for template in (self.query, self.target):
            try:
                list(string.Formatter().parse(template))
            except ValueError as error:
                raise UsageError(f"the template {template!r} is not valid for str.format ({error})") from None

    @cached_property
    def varies_context(self) -> bool:
        """True under partial scoring: the options are in the query, and the scored text is the same for all."""
        return any(name == "choice" for _, name, _, _ in string.Formatter().parse(self.query))

    @property
    def reported(self) -> tuple[str, ...]:
        """The metrics of a run: its own first; if accuracies are among them, every other normalisation that applies.

        With an answer context acc_unconditional comes first, unless the protocol puts it elsewhere. Where the options
        are in the query, the scored text is the same for all and there is nothing to normalise.
        """
        if self.kind != "choice" or not {*self.metrics} & {*NORMALISATIONS, UNCONDITIONAL}:
            return self.metrics
        main = (UNCONDITIONAL,) if self.answer_context and UNCONDITIONAL not in self.metrics else ()
        normalised = () if self.varies_context else NORMALISATIONS
        return tuple(dict.fromkeys((*main, *self.metrics, *normalised)))

    def wording(self, template: str) -> Protocol:
        """Return this protocol in one of its wordings; "" is its own."""
        return replace(self, **self.templates[template]) if template else self  # type: ignore[arg-type]


def one_document(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    """The default Task.documents: one row is one document, named by its `id` column or else by its position."""
    yield Document(id=str(row.get("id", index)), row=row)


def document_per_row(
    *, id: str = "id", cluster: str = "", level: str = ""
) -> Callable[[Mapping[str, Any], int], Iterable[Document]]:
    """Return a Task.documents that makes one document of each row, with these columns as its id, cluster and level.

    Where `cluster` or `level` is empty, the document has none. A row without one of the columns raises KeyError.
    """
    slices = {field: column for field, column in (("cluster", cluster), ("level", level)) if column}

    def documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
        yield Document(id=str(row[id]), row=row, **{field: str(row[column]) for field, column in slices.items()})

    return documents


@dataclass(frozen=True, kw_only=True)
class Group:
    """Tasks whose values are averaged under one name.

    metrics: name of the metric -> whether the mean is weighted by the tasks' numbers of documents. The names are those
    of the tasks' own metrics. size: the number of tasks that a group of a fixed list has; a mean over fewer of them is
    called "NAME (18 of 22)". 0: any number.
    """

    name: str
    metrics: Mapping[str, bool]
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Task:
    """The specification of a benchmark; one file in tasks/ defines one or a few.

    title: one line for `evalkit tasks`. licence: of the data, as those who publish it state it; empty: they state none.
    languages: of the texts, by ISO 639-1. source: where rows come from (hub, release file, JSONL, generated).
    documents: a row and its index -> documents (a CoQA story is many). to_example: raw dicts stop here.
    protocols: name -> Protocol; the first is the default.
    baselines: name -> predictor without a model; it gets the example and the pool of shots and returns the predicted
    output text. controls: name -> a change to the example under which the model is run again ("no passage").
    shot_controls: name -> a change to the shots, run wherever there are two or more ("shuffled answers").
    shot_group: the shots of a document come from pool documents of the same group (the same hidden rule); None: any.
    suites: further suites that the task is in -> its levels that count there.
    levels: only documents of these levels; empty: all. A suite sets it.
    groups: the groups under whose names the task's values are also averaged. notes: an imported task's entry in a run's
    manifest.
    version: raised whenever a score of the same model could change.

    Raises UsageError for an unknown family, and for no protocol.
    """

    name: str
    family: str
    title: str
    source: Source
    to_example: Callable[[Document], Example]
    protocols: Mapping[str, Protocol]
    documents: Callable[[Mapping[str, Any], int], Iterable[Document]] = one_document
    baselines: Mapping[str, Callable[[Example, Sequence[Example]], str]] = field(default_factory=dict)
    controls: Mapping[str, Callable[[Example], Example]] = field(default_factory=dict)
    shot_controls: Mapping[str, Callable[[Sequence[Example]], Sequence[Example]]] = field(default_factory=dict)
    shot_group: Callable[[Document], str] | None = None
    suites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    levels: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    licence: str = ""
    languages: tuple[str, ...] = ("en",)
    notes: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise unknown("family", self.family, FAMILIES, where=f"of task {self.name}")
        if not self.protocols:
            raise UsageError(f"task {self.name}: at least one protocol is needed")


def protocol_of(task: Task, name: str | None) -> tuple[str, Protocol]:
    """Return a task's protocol by name, or its first. Raises UsageError when the task does not define it."""
    if name is None:
        return next(iter(task.protocols.items()))
    if name not in task.protocols:
        raise UsageError(f"task {task.name!r} defines no protocol {name!r} (it has: {', '.join(task.protocols)})")
    return name, task.protocols[name]
