"""A task's data for fine-tuning: its training split and the documents that are scored, encoded."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.data.sources import DataPaths
from evalkit.errors import DataError, UsageError, check_whole
from evalkit.files import digest
from evalkit.harness import load
from evalkit.harness.settings import RunSettings
from evalkit.harness.task import Task
from evalkit.tokenizer import Tokenizer
from evalkit.train.finetune.inputs import Encoded, Encoder, Form, form_of, labelled
from evalkit.train.finetune.model import Head
from evalkit.types import Document, Example


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """documents: those to score; scored: the same, encoded. training: encoded examples; ids: their names.

    unlabelled: documents that fail because their labels name no class; there is no such training example.
    available: number of training examples, of which `training` may be a subset. fingerprint: of both splits.
    """

    task: Task
    form: Form
    documents: Sequence[tuple[Document, Example]]
    scored: Sequence[Encoded]
    training: Sequence[Encoded]
    ids: Sequence[str]
    available: int
    fingerprint: str
    unlabelled: Sequence[tuple[Document, Example]] = ()

    @property
    def majority(self) -> int | None:
        """Return the most frequent class of the training set; None if there are no classes."""
        if self.form.regression or self.form.kind == "choice":
            return None
        counts = Counter(int(example.target) for example in self.training)
        return min(counts, key=lambda target: (-counts[target], target))

    def head(self, training: Sequence[Encoded]) -> Head:
        """Return the head for this task; a regression's scale is that of the training examples given."""
        if self.form.regression:
            targets = np.asarray([example.target for example in training])
            return Head(outputs=1, centre=float(targets.mean()), scale=float(targets.std()) or 1.0)
        if self.form.kind == "choice":
            return Head(outputs=1, compares=True)
        return Head(outputs=len(self.documents[0][1].choices))

    def draw(self, count: int, *, seed: int) -> list[Encoded]:
        """Draw `count` training examples regardless of class, as the shots of a prompt are drawn.

        The draw depends only on the seed and the examples' ids; a smaller draw is part of a larger one. Raises
        UsageError unless there are more examples than that.
        """
        if not 0 < count < len(self.ids):
            raise UsageError(
                f"--shots {count}: {self.task.name} has {len(self.ids):,} training examples to draw from; "
                f"use 'all' for all of them"
            )
        places = heapq.nsmallest(count, range(len(self.ids)), key=lambda i: _rank(f"{seed}/{self.ids[i]}"))
        return [self.training[place] for place in places]


def prepare(
    task: Task,
    tokenizer: Tokenizer,
    data: DataPaths,
    *,
    first_special: int,
    context: int,
    limit: int | None = None,
    limit_train: int | None = None,
) -> TaskData:
    """Read and encode a task's data for a model with this context; first_special: as in Encoder.

    limit, limit_train: sizes of fixed pseudo-random subsets of the scored documents and the training examples.

    Raises UsageError for a task that GPT-1 was not fine-tuned on or a context that is too short, DataError for wrong
    files or a missing training split.
    """
    form = form_of(task.name)
    check_whole("--limit-train", limit_train)
    encoder = Encoder(form, tokenizer, first_special=first_special, context=context)
    loaded = load.load(task, RunSettings(limit=limit), data)
    documents = [(document, labelled(form, example)) for document, example in loaded.documents if not example.error]
    unlabelled = [(document, example) for document, example in loaded.documents if example.error]
    if not documents:
        raise DataError(f"{task.name}: {unlabelled[0][1].error}; no other document is within --limit {limit}")
    fingerprints = [task.source.fingerprint(split, data) for split in ("test", "shots")]
    if fingerprints[0] == fingerprints[1]:
        raise DataError(
            f"{task.name}: there is no training split, only the scored one ({task.source.at_hand(data)}); "
            f"put the training file beside it"
        )
    training = _Training(load.examples(task, "shots", data), limit=limit_train)
    encoded = list(encoder.encode(labelled(form, example) for example in training.examples()))
    load.tell_unlabelled(task.name, "shots", training.label_errors, total=training.seen + len(training.label_errors))
    if not encoded:
        raise DataError(f"{task.name}: its training data holds no examples")
    return TaskData(
        task=task,
        form=form,
        documents=documents,
        scored=list(encoder.encode(example for _, example in documents)),
        training=encoded,
        ids=training.ids,
        available=training.seen,
        fingerprint=digest("".join(fingerprints)),
        unlabelled=unlabelled,
    )


class _Training:
    """Passes a training split to the encoder and records what it holds.

    ids: of the examples passed on. seen: number of labelled examples. label_errors: of those left out because their
    labels name no class.
    """

    def __init__(self, pairs: Iterator[tuple[Document, Example]], *, limit: int | None):
        self.ids: list[str] = []
        self.seen = 0
        self.label_errors: list[str] = []
        self._pairs, self._limit = pairs, limit

    def examples(self) -> Iterator[Example]:
        """Yield the examples one by one, so that only their tokens stay in memory, or a subset chosen by their ids."""
        counted = self._counted()
        if self._limit is not None:
            counted = iter(heapq.nsmallest(self._limit, counted, key=lambda pair: _rank(pair[0].id)))
        for document, example in counted:
            self.ids.append(document.id)
            yield example

    def _counted(self) -> Iterator[tuple[Document, Example]]:
        for document, example in self._pairs:
            if example.error:
                self.label_errors.append(example.error)
                continue
            self.seen += 1
            yield document, example


def _rank(name: str) -> bytes:
    """Return the hash that decides whether an example belongs to a subset."""
    return hashlib.sha256(name.encode()).digest()
