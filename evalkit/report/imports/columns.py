"""The columns of a long table of results: their names, what a cell may hold, and what it means."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.report.models import MOST

Parse = Callable[[Any], Any]
_UNITS = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_COUNT = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:[eE]\+?[0-9]{1,2})?|\.[0-9]+)\s*([kKmMbBtT]?)")
_FORMULA = re.compile(r"'(?=[=+\-@\t\r])")  # how a table keeps a spreadsheet from evaluating a text
_NONE = ("", "na", "n/a", "nan", "none", "null", "-")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column. allowed: what a cell may hold, in words. parse: raises ValueError for anything else."""

    name: str
    allowed: str
    meaning: str
    parse: Parse
    required: bool = False
    others: tuple[str, ...] = ()  # further names by which it is recognised


def is_missing(cell: Any) -> bool:
    """Whether a cell holds nothing."""
    if isinstance(cell, float):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in _NONE)


def _text(cell: Any) -> str:
    if isinstance(cell, bytes | list | dict):
        raise ValueError
    return _FORMULA.sub("", str(cell).strip())


def _number(cell: Any) -> float:
    if isinstance(cell, bool):
        raise ValueError
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError
    return value


def _above(cell: Any) -> float:
    if (value := _number(cell)) <= 0:
        raise ValueError
    return value


def _least(cell: Any) -> float:
    if (value := _number(cell)) < 0:
        raise ValueError
    return value


def count(cell: Any) -> int:
    """Parse a count: a number of at least 0, possibly with a unit. Raises ValueError for anything else.

    >>> count("12B"), count("1.5e9"), count(70)
    (12000000000, 1500000000, 70)
    """
    if isinstance(cell, str):
        parts = _COUNT.fullmatch(cell.strip().replace(",", ""))
        if not parts:
            raise ValueError
        cell = float(parts[1]) * _UNITS.get(parts[2].lower(), 1.0)
    value = _least(cell)
    if value > MOST:
        raise ValueError
    return round(value)


def _size(cell: Any) -> int:
    if (value := count(cell)) < 1:
        raise ValueError
    return value


def _whole(cell: Any) -> int:
    value = _least(cell)
    if value % 1 or value > MOST:
        raise ValueError
    return int(value)


def _truth(cell: Any) -> bool:
    text = str(cell).strip().lower()
    if text not in ("true", "false", "yes", "no", "1", "0"):
        raise ValueError
    return text in ("true", "yes", "1")


_COUNTED = "a number of at least 0, such as 300000000000 or 300B"
_WHOLE = "a whole number of at least 0"

COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column(
            name="model", allowed="a name", parse=_text, required=True, others=("model_name",),
            meaning="The model's name; its checkpoints and tasks share it.",
        ),
        Column(
            name="family", allowed="a name", parse=_text, others=("ladder", "series", "recipe"),
            meaning="The ladder or recipe: models that differ only in size, tokens and seed. Empty: all rows without a "
            "family are one.",
        ),
        Column(
            name="parameters", allowed="a number above 0, such as 1400000000 or 1.4B", parse=_size,
            others=("params", "n_params", "num_parameters"),
            meaning="N, with embeddings. Rows without it are shown, but neither fitted nor forecast.",
        ),
        Column(
            name="tokens", allowed=_COUNTED, parse=count, others=("train_tokens", "tokens_seen"),
            meaning="D, the tokens seen in training up to this checkpoint.",
        ),
        Column(
            name="compute", allowed="a number of FLOPs, such as 1e20", parse=_least, others=("flops",),
            meaning="C, the FLOPs of training up to this checkpoint. Empty: 6ND.",
        ),
        Column(
            name="step", allowed=_WHOLE, parse=_whole, others=("global_step", "_step", "train_step"),
            meaning="The step of the checkpoint.",
        ),
        Column(
            name="seed", allowed=_WHOLE, parse=_whole, others=("train_seed",), meaning="The seed of the training."
        ),
        Column(
            name="loss", allowed="a number above 0", parse=_above, others=("val_loss", "eval_loss", "validation_loss"),
            meaning="The held-out loss of the checkpoint in nats per token, on one text for all models of a family.",
        ),
        Column(name="task", allowed="a name", parse=_text, required=True, meaning="The task."),
        Column(
            name="task_family", allowed="a name", parse=_text,
            meaning="What the task measures (reading, qa, ...), for the figures.",
        ),
        Column(
            name="protocol", allowed="a name", parse=_text,
            meaning="How the prompts were built, where that may differ.",
        ),
        Column(
            name="shots", allowed=_WHOLE, parse=_whole, others=("num_fewshot", "n_shot", "fewshot"),
            meaning="Solved examples in the prompt.",
        ),
        Column(
            name="metric", allowed="a name", parse=_text, required=True,
            meaning="The metric; lm-evaluation-harness's and evalkit's names are known by their range and direction.",
        ),
        Column(
            name="value", allowed="a number", parse=_number, required=True, others=("score",),
            meaning="The score. Shares may be given from 0 to 1 or in percent (see `ceiling`).",
        ),
        Column(
            name="stderr", allowed="a number of at least 0", parse=_least,
            others=("standard_error", "std_err", "se", "value_stderr"),
            meaning="The standard error of the value, in its unit. Empty: of a share, from n; otherwise unknown.",
        ),
        Column(
            name="n", allowed="a number above 0", parse=_size, others=("n_samples", "documents", "num_examples"),
            meaning="The documents that were scored.",
        ),
        Column(
            name="chance", allowed="a number", parse=_number,
            meaning="What a guess gets, in the value's unit. Empty: of a well-known task, its usual one.",
        ),
        Column(
            name="ceiling", allowed="a number above 0", parse=_above,
            meaning="The best possible value: 1 for shares from 0 to 1, 100 for percentages. Empty: of a known share, "
            "1 where no value of the metric in the file is above 1, otherwise 100; of other metrics, none.",
        ),
        Column(
            name="higher_is_better", allowed="true or false", parse=_truth,
            meaning="The direction. Empty: by the metric's name; of an unknown metric, true.",
        ),
    )
}  # fmt: skip


def column_of(header: str) -> str | None:
    """Return the column that a header names, in any case; None for another one."""
    plain = re.sub(r"[\s-]+", "_", header.strip().lower())
    if plain in COLUMNS:
        return plain
    return next((column.name for column in COLUMNS.values() if plain in column.others), None)
