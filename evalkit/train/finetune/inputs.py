"""GPT-1's input transformations: each task as sequences of tokens that end in the extract token (3.3, figure 1).

    classification   start text extract
    entailment       start premise delimiter hypothesis extract
    similarity       start a delimiter b extract, and start b delimiter a extract
    choice           start context delimiter answer extract, for each answer

A text too long for the context is shortened in its longest parts, similar to OpenAI's code, which cuts each of two
parts to half the context.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import DataError, UsageError, unknown
from evalkit.tokenizer import Tokenizer
from evalkit.types import Example

Kind = Literal["classification", "entailment", "similarity", "choice"]
Tokens = NDArray[np.int32]

# Examples tokenised together.
_CHUNK = 512


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a task is fine-tuned.

    kind: the transformation. parts: the example's fields that it joins; for a choice those of the context, joined with
    spaces. labels: the classes, if the example itself has no choices. metrics: the first is the task's main metric.
    regression: the output is a number. cut: the side on which a part that is too long is shortened.
    """

    kind: Kind
    parts: tuple[str, ...]
    metrics: tuple[str, ...] = ("acc",)
    labels: tuple[str, ...] = ()
    regression: bool = False
    cut: Literal["left", "right"] = "right"


_ENTAILMENT = Form(kind="entailment", parts=("premise", "hypothesis"))
# The question follows the article and must not be cut off.
_RACE = Form(kind="choice", parts=("article", "question"), cut="left")

# The tasks of tables 2 to 4.
FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "cola": Form(
            kind="classification", parts=("input",), metrics=("mcc", "acc"), labels=("unacceptable", "acceptable")
        ),
        "sst2": Form(kind="classification", parts=("input",)),
        "stsb": Form(kind="similarity", parts=("sentence1", "sentence2"), metrics=("pearson",), regression=True),
        "mrpc": Form(kind="similarity", parts=("sentence1", "sentence2"), metrics=("label_f1", "acc")),
        "qqp": Form(kind="similarity", parts=("question1", "question2"), metrics=("label_f1", "acc")),
        "snli": _ENTAILMENT,
        "mnli": _ENTAILMENT,
        "mnli_mm": _ENTAILMENT,
        "qnli": Form(kind="entailment", parts=("question", "sentence")),
        "rte": _ENTAILMENT,
        "scitail": _ENTAILMENT,
        "race_middle": _RACE,
        "race_high": _RACE,
        "storycloze": Form(kind="choice", parts=("input",)),
    }
)


def form_of(task: str) -> Form:
    """Return a task's form. Raises UsageError for a task that GPT-1 was not fine-tuned on."""
    if task not in FORMS:
        raise unknown("task", task, FORMS, where="to fine-tune on")
    return FORMS[task]


def labelled(form: Form, example: Example) -> Example:
    """Return the example with the form's labels, if it has any, as its choices."""
    if not form.labels:
        return example
    return replace(example, choices=form.labels, gold=form.labels.index(example.output))


def texts(form: Form, example: Example) -> list[tuple[str, ...]]:
    """Return the parts of each of the example's sequences."""
    fields = example.fields()
    parts = tuple(fields[name] for name in form.parts)
    if form.kind == "similarity":
        return [parts, parts[::-1]]
    if form.kind == "choice":
        return [(" ".join(parts), choice) for choice in example.choices]
    return [parts]


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """An example as sequences of tokens (equally many for all of a task) and its target, a class or a number.

    cut: characters that did not fit into the context, in the sequence that lost the most.
    """

    sequences: tuple[Tokens, ...]
    target: float
    cut: int = 0

    @property
    def longest(self) -> int:
        """Return the length of the longest sequence."""
        return max(len(tokens) for tokens in self.sequences)


class Encoder:
    """Encodes a task's examples for a model with this context.

    first_special: the ids of start, delimiter and extract are this one and the two after it.

    Raises UsageError for a context that cannot hold two parts of one token each.
    """

    def __init__(self, form: Form, tokenizer: Tokenizer, *, first_special: int, context: int):
        if context < 5:
            raise UsageError(f"a context of {context} positions is too short for fine-tuning, which needs at least 5")
        self.form, self._tokenizer, self._context = form, tokenizer, context
        self._start, self._delimiter, self._extract = range(first_special, first_special + 3)

    def encode(self, examples: Iterable[Example]) -> Iterator[Encoded]:
        """Yield each example encoded. Raises DataError if two examples differ in their number of choices."""
        remaining = iter(examples)
        sequences = 0
        while chunk := list(islice(remaining, _CHUNK)):
            chunk_parts = [texts(self.form, example) for example in chunk]
            flat = list(dict.fromkeys(part for part_lists in chunk_parts for parts in part_lists for part in parts))
            ids = dict(zip(flat, self._tokenizer.encode_batch(flat), strict=True))
            for example, part_lists in zip(chunk, chunk_parts, strict=True):
                sequences = sequences or len(part_lists)
                if len(part_lists) != sequences:
                    raise DataError(
                        f"an example has {len(part_lists)} choices and another {sequences}; all must have equally many"
                    )
                joined = [self._join([ids[part] for part in parts]) for parts in part_lists]
                target = float(example.output) if self.form.regression else float(example.gold or 0)
                cut = max(lost for _, lost in joined)
                yield Encoded(sequences=tuple(tokens for tokens, _ in joined), target=target, cut=cut)

    def _join(self, parts: Sequence[Sequence[int]]) -> tuple[Tokens, int]:
        """Join the parts, cut to fit, with the special tokens; return the tokens and the number of characters lost."""
        lengths = _fit([len(part) for part in parts], room=self._context - len(parts) - 1)
        tokens, lost = [self._start], 0
        for i, (part, length) in enumerate(zip(parts, lengths, strict=True)):
            left = self.form.cut == "left"
            tokens += [self._delimiter] * bool(i)
            tokens += part[len(part) - length :] if left else part[:length]
            if length < len(part):
                lost += len(self._tokenizer.decode(part[: len(part) - length] if left else part[length:]))
        return np.asarray([*tokens, self._extract], dtype=np.int32), lost


def _fit(lengths: Sequence[int], *, room: int) -> list[int]:
    """Shorten the longest parts until all fit into `room` tokens.

    >>> _fit([10, 3], room=9), _fit([10, 9], room=9)
    ([6, 3], [4, 5])
    """
    fitted = list(lengths)
    while (excess := sum(fitted) - room) > 0:
        longest = fitted.index(max(fitted))
        others = [length for i, length in enumerate(fitted) if i != longest]
        fitted[longest] -= min(excess, max(1, fitted[longest] - max(others, default=0)))
    return fitted
