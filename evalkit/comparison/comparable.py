"""Whether two runs may be compared, and which of their documents are paired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.comparison.evidence import Evidence, Key, Sheet
from evalkit.errors import CompareError, unknown
from evalkit.metrics.base import Array
from evalkit.stats.paired import Units, gather

# What --allow may name, and its effect.
FIELDS = {
    "tasks": "tasks or numbers of shots that only one run has are left out",
    "documents": "documents that only one run has scored are left out",
    "seeds": "seeds that only one run has are left out",
    "metric": "metrics are compared although their rules differ; those that one run lacks are left out",
    "task": "versions of a task are compared although they differ",
    "protocol": "protocols are compared although they differ",
    "data": "documents of one id are compared although the data's hash differs",
}

# How many differences the message names.
_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that makes two runs incomparable unless the user allows its field."""

    field: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two sheets of one task, wording and number of shots, and which of their scores are compared.

    base_rows, new_rows: (n,) rows of documents that both have. base_seeds, new_seeds: (seeds,) columns of the seeds
    that both have. shared: (n, seeds), scored in both.
    """

    base: Sheet
    new: Sheet
    base_rows: NDArray[np.intp]
    new_rows: NDArray[np.intp]
    base_seeds: NDArray[np.intp]
    new_seeds: NDArray[np.intp]
    shared: NDArray[np.bool_]

    @property
    def documents(self) -> int:
        """Return how many documents are compared."""
        return int(self.shared.any(axis=1).sum())

    @property
    def identical(self) -> bool:
        """Return whether all responses of both are known to be the same, likelihoods included."""
        base, new = self.base, self.new
        return bool(base.answers) and base.answers == new.answers and np.array_equal(base.ids, new.ids)

    @property
    def metrics(self) -> list[str]:
        """Return the metrics that both have; the first is the primary one."""
        return [name for name in self.base.statistics if name in self.new.statistics]

    def units(self, metric: str) -> Units:
        """Return a metric's statistics, per unit that may be exchanged between the systems."""
        return gather(*self.statistics(metric), self.shared, self.base.clusters[self.base_rows])

    def statistics(self, metric: str) -> tuple[Array, Array]:
        """Return a metric's statistics in both systems, paired -> two (n, seeds, k)."""
        base = self.base.statistics[metric][np.ix_(self.base_rows, self.base_seeds)]
        new = self.new.statistics[metric][np.ix_(self.new_rows, self.new_seeds)]
        return base, new


def pair_up(base: Evidence, new: Evidence, *, allow: Sequence[str] = ()) -> tuple[list[Pair], list[str]]:
    """Pair the sheets of two runs -> the pairs, and the differences that were allowed, in words.

    Raises CompareError when they differ in anything that `allow` does not name; UsageError for a name in `allow` that
    no difference can have.
    """
    differing = list(differences(base, new))
    for name in allow:
        if name not in FIELDS and name not in {d.field for d in differing}:
            raise unknown("field", name, FIELDS, where="in --allow")
    refused = [d for d in differing if d.field not in allow]
    if refused:
        fields = ", ".join(dict.fromkeys(d.field for d in refused))
        named = "; ".join(d.text for d in refused[:_NAMED])
        others = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        raise CompareError(
            f"cannot compare {new.path} with {base.path} ({fields} differ): {named}{others} "
            f"(--allow {fields.replace(', ', ' --allow ')} compares them nevertheless)"
        )
    pairs = [_pair(ours, theirs) for ours, theirs in _matched(base, new) if ours and theirs]
    pairs = [pair for pair in pairs if pair.documents and pair.metrics]
    if not pairs:
        raise CompareError(
            f"cannot compare {new.path} with {base.path}: they share no scored document of the same seed"
        )
    return pairs, [d.text for d in differing]


def differences(base: Evidence, new: Evidence) -> Iterator[Difference]:
    """Yield every difference between two runs except the model, in the order of the base's tasks."""
    for ours, theirs in _matched(base, new):
        if ours and theirs:
            yield from _of_sheets(ours, theirs)
        elif alone := ours or theirs:
            yield Difference(field="tasks", text=f"{alone.key} is in {'BASE' if ours else 'NEW'} only")


def _matched(base: Evidence, new: Evidence) -> Iterator[tuple[Sheet | None, Sheet | None]]:
    """Yield matching sheets of both runs in the base's order, with None for a sheet that only one run has.

    Sheets that differ only in their protocol match where each run has just one; the protocol is then a difference.
    """
    unmatched = dict(new.sheets)
    for key, sheet in base.sheets.items():
        other = unmatched.pop(key, None)
        if other is None:
            ours, theirs = (_protocols(sheets, key) for sheets in (base.sheets, new.sheets))
            other = unmatched.pop(theirs[0], None) if len(ours) == len(theirs) == 1 else None
        yield sheet, other
    yield from ((None, sheet) for sheet in unmatched.values())


def _protocols(sheets: Mapping[Key, Sheet], key: Key) -> list[Key]:
    return [k for k in sheets if k._replace(protocol=key.protocol) == key]


def _of_sheets(base: Sheet, new: Sheet) -> Iterator[Difference]:
    where = str(base.key)
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
    """Compare which documents the runs hold, and which of these they have scored."""
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
    _, base_seeds, new_seeds = np.intersect1d(base.seeds, new.seeds, assume_unique=True, return_indices=True)
    if not base.shots and len(base.seeds) == len(new.seeds) == 1:  # the seed only drew sampled texts
        base_seeds = new_seeds = np.zeros(1, dtype=np.intp)
    shared = base.scored[np.ix_(base_rows, base_seeds)] & new.scored[np.ix_(new_rows, new_seeds)]
    return Pair(
        base=base, new=new, base_rows=base_rows, new_rows=new_rows, base_seeds=base_seeds, new_seeds=new_seeds,
        shared=shared,
    )  # fmt: skip


def _listed(values: Iterable[object]) -> str:
    return ",".join(map(str, values)) or "none"
