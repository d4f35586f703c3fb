"""How much of their tests the GPT-2 and GPT-3 papers found in their training text.

overlap.csv is table 6 of Radford et al. 2019, with LAMBADA's figure of section 4: percent of the test's 8-grams that
are in the benchmark's own training split, and in WebText. contamination.csv is the table of appendix C of Brown et al.
2020: N, and the scores of GPT-3 175B on all, dirty and clean documents. The Winograd row is that of our `winograd`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Percent of a test's 8-grams found in its own training split (None: not given) and in WebText."""

    own: float | None
    webtext: float


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """A row of GPT-3's table: percent of clean documents, scores (NaN where there is no document), change in percent.

    change: of the clean score relative to that of all documents.
    """

    split: str
    metric: str
    n: int
    score: float
    documents: int
    dirty_score: float
    dirty: int
    clean_score: float
    clean: int
    clean_percent: float
    change: float


@cache
def overlaps() -> Mapping[str, Overlap]:
    """Return GPT-2's figures by task."""
    return MappingProxyType(
        {
            row["task"]: Overlap(own=float(row["own"]) if row["own"] else None, webtext=float(row["webtext"]))
            for row in _rows("overlap.csv")
        }
    )


@cache
def contaminations() -> Mapping[str, Contamination]:
    """Return GPT-3's figures by task."""
    return MappingProxyType({row["task"]: _contamination(row) for row in _rows("contamination.csv")})


def _contamination(row: Mapping[str, str]) -> Contamination:
    return Contamination(
        split=row["split"],
        metric=row["metric"],
        n=int(row["n"]),
        score=float(row["score"]),
        documents=int(row["documents"]),
        dirty_score=float(row["dirty_score"] or math.nan),
        dirty=int(row["dirty"]),
        clean_score=float(row["clean_score"]),
        clean=int(row["clean"]),
        clean_percent=float(row["clean_percent"]),
        change=float(row["change_percent"]),
    )


def _rows(name: str) -> list[dict[str, str]]:
    with (resources.files("evalkit.papers") / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
