"""The learning rate, chosen on held-out training examples; the scored documents are never used."""

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

# Tried by default: the paper's rate, which suits 117M parameters, and 4, 16 and 64 times as much, because smaller
# models take larger steps.
CANDIDATES = (6.25e-5, 2.5e-4, 1e-3, 4e-3)

# Training examples that a choice uses, and the share of them that is held out for scoring.
_EXAMPLES, _HELD_OUT = 2500, 0.2


def choose(
    base: GPT, data: TaskData, config: FinetuneConfig, candidates: Sequence[float], *, seed: int
) -> dict[float, float]:
    """Fine-tune once with each candidate on a part of the training set; return rate -> metric on the held-out part.

    Raises DivergedError if one of them ends without finite scores.
    """
    chosen = data.draw(_EXAMPLES, seed=seed) if len(data.ids) > _EXAMPLES else list(data.training)
    cut = round(len(chosen) * (1 - _HELD_OUT))
    metric_of_rate = {}
    for rate in candidates:
        rate_config = replace(config, learning_rate=rate)
        head = data.head(chosen[:cut])
        model = build(
            base,
            head,
            seed=seed,
            pretrained=rate_config.pretrained,
            dropout=rate_config.dropout,
            head_dropout=rate_config.head_dropout,
        )
        train(model, data.form, chosen[:cut], rate_config, seed=seed, label=f"{data.task.name}: rate {rate:g}")
        answers = judge(model, data.form, chosen[cut:], rate_config)
        if error := next((answer.error for row in answers for answer in row if answer.error), ""):
            raise DivergedError(f"{data.task.name}: at the learning rate {rate:g} {error}; leave it out")
        metric_of_rate[rate] = _score(data, chosen[cut:], answers)
    return metric_of_rate


def best(metric_of_rate: dict[float, float]) -> float:
    """Return the rate with the highest metric; of several, the lowest."""
    return max(metric_of_rate, key=lambda rate: (metric_of_rate[rate], -rate))


def _score(data: TaskData, held_out: Sequence[Encoded], answers: Sequence[Sequence[Response]]) -> float:
    """Return the task's first metric, for held-out examples of which only the target is needed."""
    metric = metrics.get(data.form.metrics[0])
    rows = []
    for encoded, responses in zip(held_out, answers, strict=True):
        names = tuple(map(str, range(len(responses))))
        example = Example(task="", input="", output=str(encoded.target), choices=names, gold=int(encoded.target))
        rows.append(metric.statistics(example, responses))
    table = np.asarray(rows, dtype=np.float64)
    return float(metric.aggregate(table.sum(axis=0), np.asarray(len(table)))) * metric.scale
