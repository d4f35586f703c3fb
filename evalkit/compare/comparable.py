"""Whether two runs may be compared, and which of their documents stand side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.compare.evidence import Evidence, Sheet
from evalkit.compare.paired import Units, gather
from evalkit.errors import CompareError, unknown

# What --allow may name, and what it then does.
FIELDS = {
    "tasks": "tasks or numbers of shots that only one run has are left out",
    "documents": "documents that only one run has scored are left out",
    "seeds": "the seeds of the two runs are paired in order",
    "metric": "metrics are compared although their rules differ; those that one run lacks are left out",
    "task": "versions of a task are compared although they differ",
    "protocol": "protocols are compared although they differ",
    "data": "documents of one id are compared although the data's hash differs",
}

# Of a long list of differences the message names the first few.
_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that makes two runs incomparable unless the user allows its field."""

    field: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two sheets of one task and number of shots, and which of their scores stand side by side.

    base_rows, new_rows: (n,) rows of documents that both have. shared: (n, seeds), scored in both.
    """

    base: Sheet
    new: Sheet
    base_rows: NDArray[np.intp]
    new_rows: NDArray[np.intp]
    shared: NDArray[np.bool_]

    @property
    def documents(self) -> int:
        """Return how many documents are compared."""
        return int(self.shared.any(axis=1).sum())

    @property
    def metrics(self) -> list[str]:
        """Return the metrics that both have; the first is the primary one."""
        return [name for name in self.base.statistics if name in self.new.statistics]

    def units(self, metric: str) -> Units:
        """Return a metric's statistics on what may be exchanged between the systems."""
        seeds = self.shared.shape[1]
        base = self.base.statistics[metric][self.base_rows, :seeds]
        new = self.new.statistics[metric][self.new_rows, :seeds]
        return gather(base, new, self.shared, self.base.clusters[self.base_rows])


def pair_up(base: Evidence, new: Evidence, *, allow: Sequence[str] = ()) -> tuple[list[Pair], list[str]]:
    """Pair the sheets of two runs, and say in words what was allowed to differ.

    Raises CompareError when they differ in anything that `allow` does not name; UsageError for a name in `allow` that
    no difference can have.
    """
    found = list(differences(base, new))
    for name in allow:
        if name not in FIELDS and name not in {d.field for d in found}:
            raise unknown("field in --allow", name, FIELDS)
    refused = [d for d in found if d.field not in allow]
    if refused:
        fields = ", ".join(dict.fromkeys(d.field for d in refused))
        named = "; ".join(d.text for d in refused[:_NAMED])
        more = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        raise CompareError(f"cannot compare {new.path} with {base.path} ({fields} differ): {named}{more}")
    pairs = [_pair(base.sheets[key], new.sheets[key]) for key in base.sheets if key in new.sheets]
    pairs = [pair for pair in pairs if pair.documents and pair.metrics]
    if not pairs:
        raise CompareError(f"cannot compare {new.path} with {base.path}: they share no scored document")
    return pairs, [d.text for d in found]


def differences(base: Evidence, new: Evidence) -> Iterator[Difference]:
    """Yield everything but the model in which two runs differ, in the order of the base's tasks."""
    for key in [*base.sheets, *(key for key in new.sheets if key not in base.sheets)]:
        if key in base.sheets and key in new.sheets:
            yield from _of_sheets(base.sheets[key], new.sheets[key])
        else:
            side = "BASE" if key in base.sheets else "NEW"
            yield Difference(field="tasks", text=f"{key[0]} at {key[1]} shots is in {side} only")


def _of_sheets(base: Sheet, new: Sheet) -> Iterator[Difference]:
    where = f"{base.task} at {base.shots} shots"
    for name in dict.fromkeys([*base.signature, *new.signature]):
        ours, theirs = base.signature.get(name, "none"), new.signature.get(name, "none")
        if ours != theirs:
            yield Difference(field=name, text=f"{where}: {name} {ours} in BASE, {theirs} in NEW")
    if base.seeds != new.seeds:
        yield Difference(field="seeds", text=f"{where}: seeds {_listed(base.seeds)} and {_listed(new.seeds)}")
    if list(base.statistics) != list(new.statistics):
        text = f"{where}: metrics {_listed(base.statistics)} and {_listed(new.statistics)}"
        yield Difference(field="metric", text=text)
    for metric in base.rules.keys() & new.rules.keys():
        ours, theirs = base.rules[metric], new.rules[metric]
        if ours != theirs:
            yield Difference(field="metric", text=f"{where}: {metric} by {ours or 'none'} and by {theirs or 'none'}")
    yield from _of_documents(base, new, where)


def _of_documents(base: Sheet, new: Sheet, where: str) -> Iterator[Difference]:
    """Compare which documents the runs hold and which of them they have scored."""
    for side, sheet in (("BASE", base), ("NEW", new)):
        if len(sheet.ids) < sheet.expected:
            text = f"{where}: {side} holds {len(sheet.ids):,} of its {sheet.expected:,} documents"
            yield Difference(field="documents", text=text)
    ours, theirs = (sheet.ids[sheet.scored.all(axis=1)] for sheet in (base, new))
    only_base, only_new = len(np.setdiff1d(ours, theirs)), len(np.setdiff1d(theirs, ours))
    if only_base or only_new:
        text = f"{where}: {only_base:,} documents scored in BASE only, {only_new:,} in NEW only"
        yield Difference(field="documents", text=text)


def _pair(base: Sheet, new: Sheet) -> Pair:
    _, base_rows, new_rows = np.intersect1d(base.ids, new.ids, assume_unique=True, return_indices=True)
    seeds = min(len(base.seeds), len(new.seeds))
    shared = base.scored[base_rows, :seeds] & new.scored[new_rows, :seeds]
    return Pair(base=base, new=new, base_rows=base_rows, new_rows=new_rows, shared=shared)


def _listed(values: Iterable[object]) -> str:
    return ",".join(map(str, values)) or "none"
