"""A table of models: sizes, tokens, compute, seeds and losses that the results of others do not carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.data.readers import read_sheet
from evalkit.errors import DataError, unknown
from evalkit.report.imports.layout import Layout, columns_of, long_rows
from evalkit.report.imports.tables import check, parsed
from evalkit.report.measurements import Measurement

# Our columns -> the fields of ModelFacts.
_FACTS = {
    "family": "family", "parameters": "parameters", "tokens": "tokens", "compute": "flops", "step": "step",
    "seed": "seed", "loss": "loss",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FactsRow:
    """What a row says: about all checkpoints of a model, or about one step."""

    model: str
    step: int | None
    facts: dict[str, Any]

    def fits(self, measurement: Measurement) -> bool:
        """Whether the row is about the model and checkpoint of a measurement."""
        model = measurement.model
        return model.name == self.model and (self.step is None or model.step in (None, self.step))


def read(path: Path) -> list[FactsRow]:
    """Read a CSV or TSV file with a column `model` and columns of facts.

    Raises DataError naming wrong cells and a column that is missing.
    """
    lines = list(read_sheet(path))
    columns = columns_of([*(lines[0][1] if lines else ())], Layout(), where=str(path))
    if "model" not in columns or not columns.keys() & _FACTS.keys():
        raise DataError(f"{path}: expected a column model and at least one of {', '.join(_FACTS)}")
    columns = {name: header for name, header in columns.items() if name in {"model", *_FACTS}}
    faults: list[str] = []
    rows = []
    for line, row in lines:
        for cells in long_rows(row, columns, {}, {}):
            values = parsed(cells, f"{path} line {line}", faults)
            facts = {_FACTS[name]: value for name, value in values.items() if name in _FACTS and value is not None}
            rows.append(FactsRow(model=values["model"], step=values.get("step"), facts=facts))
    check(faults)
    return rows


def applied(measurements: Iterable[Measurement], rows: Sequence[FactsRow], *, where: str) -> list[Measurement]:
    """Give measurements the facts of their models; what a row says counts more than what the results say.

    Raises UsageError for a model of the table that has no result. where: the table, for messages.
    """
    given = list(measurements)
    names = {m.model.name for m in given}
    for row in rows:
        if row.model not in names:
            raise unknown("model", row.model, names, where=f"in {where}")
    described = []
    for m in given:
        for row in rows:
            if row.fits(m):
                m = replace(m, model=replace(m.model, **row.facts))
        described.append(m)
    return described
