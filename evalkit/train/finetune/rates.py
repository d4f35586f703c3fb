"""The learning rate, chosen on training examples that are held out for it; the scored documents are never looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evalkit import metrics
from evalkit.model.gpt import GPT
from evalkit.train.finetune.data import TaskData
from evalkit.train.finetune.inputs import Encoded
from evalkit.train.finetune.loop import FinetuneConfig, judge, train
from evalkit.train.finetune.model import build
from evalkit.train.spikes import DivergedError
from evalkit.types import Example, Response

# Tried if none are named: the paper's rate, which suits 117M parameters, and 4, 16 and 64 times it, for smaller models
# take larger steps.
CANDIDATES = (6.25e-5, 2.5e-4, 1e-3, 4e-3)

# Training examples that a choice uses, and the share of them that is held out to judge by.
_EXAMPLES, _HELD_OUT = 2500, 0.2


def choose(
    base: GPT, data: TaskData, config: FinetuneConfig, candidates: Sequence[float], *, seed: int
) -> dict[float, float]:
    """Fine-tune once with each candidate on a part of the training set; return its metric on the held-out part.

    Raises DivergedError where one of them ends without finite scores.
    """
    chosen = data.draw(_EXAMPLES, seed=seed) if len(data.ids) > _EXAMPLES else list(data.training)
    cut = round(len(chosen) * (1 - _HELD_OUT))
    found = {}
    for rate in candidates:
        own = replace(config, learning_rate=rate)
        head = data.head(chosen[:cut])
        model = build(
            base, head, seed=seed, pretrained=own.pretrained, dropout=own.dropout, head_dropout=own.head_dropout
        )
        train(model, data.form, chosen[:cut], own, seed=seed, label=f"{data.task.name}: rate {rate:g}")
        answers = judge(model, data.form, chosen[cut:], own)
        if error := next((answer.error for row in answers for answer in row if answer.error), ""):
            raise DivergedError(f"{data.task.name}: at the learning rate {rate:g} {error}; leave it out")
        found[rate] = _score(data, chosen[cut:], answers)
    return found


def best(found: dict[float, float]) -> float:
    """Return the rate with the highest metric, of equals the lowest."""
    return max(found, key=lambda rate: (found[rate], -rate))


def _score(data: TaskData, held_out: Sequence[Encoded], answers: Sequence[Sequence[Response]]) -> float:
    """Return the task's first metric; what is held out is known by its target alone."""
    metric = metrics.get(data.form.metrics[0])
    rows = []
    for encoded, responses in zip(held_out, answers, strict=True):
        names = tuple(map(str, range(len(responses))))
        example = Example(task="", input="", output=str(encoded.target), choices=names, gold=int(encoded.target))
        rows.append(metric.statistics(example, responses))
    table = np.asarray(rows, dtype=np.float64)
    return float(metric.aggregate(table.sum(axis=0), np.asarray(len(table)))) * metric.scale
