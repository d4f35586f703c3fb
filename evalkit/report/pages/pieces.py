"""Samples in pieces: documents of a task and number of shots, packed so that a page opens only those that it shows.

What the runs hold may be more than fits in memory: it is sorted in a temporary database, and a page opens one piece at
a time. A piece is the base64 of a zlib stream (RFC 1950), which browsers unpack without a library.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import TracebackType
from typing import Any

from evalkit.files import digest

# Characters: of all packed pieces of a page, at most; of the JSON in one piece.
BUDGET = 64_000_000
_PIECE = 250_000
_LEVEL = 5  # of zlib: half the time of its default, and pages a tenth larger

Group = tuple[str, int, str]  # task, shots, variant


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One model's answer to a document. document: what all models share of it. Both are plain JSON values."""

    group: Group
    doc_id: str
    document: Mapping[str, Any]
    answer: Mapping[str, Any]


@dataclass
class Samples:
    """Samples as the page embeds them.

    models: names, by size. groups: per task, number of shots and control, the number of documents, how many of them the
    page holds, and its pieces as [index, documents]. pieces: packed lists of documents. tokens: whether some answers
    come with the scores of their tokens.
    """

    models: list[str] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    tokens: bool = False

    @property
    def cut(self) -> bool:
        """Whether documents are left out, because all of them would make the page too large."""
        return self.held < self.documents

    @property
    def held(self) -> int:
        """How many documents the page holds; one counts again at each number of shots and in each control."""
        return sum(group["held"] for group in self.groups)

    @property
    def documents(self) -> int:
        """How many documents the runs hold, counted in the same way."""
        return sum(group["documents"] for group in self.groups)

    def script(self) -> str:
        """Return the index as JSON that is safe inside a script element: no character can end the element."""
        body = _json({"models": self.models, "groups": self.groups, "tokens": self.tokens})
        for mark in "<>&\u2028\u2029":
            body = body.replace(mark, f"\\u{ord(mark):04x}")
        return body.encode("utf-8", "replace").decode("utf-8")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Pieces:
    """Sorts the rows of runs by document and packs them. A context manager: its temporary database is closed."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("")  # a private file, which sqlite removes
        self._rows.execute(
            "CREATE TABLE answers (task, shots, variant, rank, id, run, document, answer, "
            "PRIMARY KEY (task, variant, shots, rank, id, run))"
        )
        self._models: dict[int, int] = {}
        self._groups: set[Group] = set()
        self._tokens = False

    def __enter__(self) -> Pieces:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()

    def add(self, run: int, rows: Iterable[Row]) -> set[Group]:
        """Add the rows of a run, all or (where reading them raises) none; return the groups that it has."""
        groups: set[Group] = set()

        def values() -> Iterator[tuple[Any, ...]]:
            for row in rows:
                groups.add(row.group)
                task, shots, variant = row.group
                key = (_bytes(task), shots, _bytes(variant), digest(row.doc_id), _bytes(row.doc_id), run)
                yield *key, _bytes(_json(row.document)), _bytes(_json(row.answer))

        with self._rows:
            self._rows.executemany("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values())
        self._groups |= groups
        return groups

    def name(self, run: int, model: int) -> None:
        """Say which model's answers a run holds."""
        self._models[run] = model

    def first(self, count: int, metrics: Mapping[str, str]) -> dict[Group, set[str]]:
        """Return the ids of each group's first documents: of all, and of those whose scores differ between models.

        count: of either. Controls are left out.
        """
        chosen: dict[Group, set[str]] = {}
        differing: Counter[Group] = Counter()
        rows = self._rows.execute(
            "SELECT task, shots, id, answer FROM answers WHERE variant = ? ORDER BY task, shots, rank, id, run", (b"",)
        )
        for (task, shots, name), same in groupby(rows, key=lambda row: row[:3]):
            group = (_text(task), shots, "")
            ids = chosen.setdefault(group, set())
            if len(ids) >= count and differing[group] >= count:
                continue
            scores = {json.loads(_text(row[3]))["scores"].get(metrics[group[0]]) for row in same}
            if len(ids) < count or len(scores) > 1:
                ids.add(_text(name))
                differing[group] += len(scores) > 1
        return chosen

    def add_tokens(self, run: int, group: Group, doc_id: str, tokens: Sequence[Any] | str) -> None:
        """Add what is known of the tokens of one answer."""
        self._tokens = True
        place = "task = ? AND variant = ? AND shots = ? AND rank = ? AND id = ? AND run = ?"
        key = (_bytes(group[0]), _bytes(group[2]), group[1], digest(doc_id), _bytes(doc_id), run)
        [(answer,)] = self._rows.execute(f"SELECT answer FROM answers WHERE {place}", key).fetchall()
        body = _json({**json.loads(_text(answer)), "tokens": tokens})
        self._rows.execute(f"UPDATE answers SET answer = ? WHERE {place}", (_bytes(body), *key))

    def samples(
        self,
        *,
        models: Sequence[str],
        metrics: Mapping[str, str],
        tasks: Sequence[str],
        documents: Mapping[Group, int],
        falling: Collection[str] = (),
        budget: int | None = None,
    ) -> Samples:
        """Pack the documents, tasks in the given order; each group has a share of the budget, and what others leave.

        documents: how many each group has, those that were not added included. falling: tasks whose metric is better
        where it is smaller. budget: characters of all pieces (default: BUDGET).
        """
        samples = Samples(models=list(models), tokens=self._tokens)
        order = {task: i for i, task in enumerate(tasks)}
        groups = sorted(
            (group for group in self._groups if group[0] in order),
            key=lambda group: (order[group[0]], group[2], group[1]),
        )
        left = BUDGET if budget is None else budget
        for i, group in enumerate(groups):
            pieces = self._pack(group, left // (len(groups) - i), samples.pieces)
            left -= sum(len(samples.pieces[index]) for index, _ in pieces)
            samples.groups.append(
                {
                    "task": group[0], "shots": group[1], "variant": group[2], "metric": metrics[group[0]],
                    "falling": group[0] in falling,
                    "documents": documents[group], "held": sum(size for _, size in pieces), "pieces": pieces,
                }
            )  # fmt: skip
        return samples

    def _pack(self, group: Group, allowed: int, pieces: list[str]) -> list[list[int]]:
        """Append a group's pieces until they reach the allowed characters, one at least; return [index, documents]."""
        packed: list[list[int]] = []
        batch: list[str] = []
        used = 0

        def flush() -> None:
            nonlocal used
            body = f"[{','.join(batch)}]".encode("utf-8", "replace")
            pieces.append(base64.b64encode(zlib.compress(body, _LEVEL)).decode())
            packed.append([len(pieces) - 1, len(batch)])
            used += len(pieces[-1])
            batch.clear()

        size = 0
        for document in self._documents(group):
            if batch and size + len(document) > _PIECE:
                flush()
                size = 0
                if used >= allowed:
                    return packed
            batch.append(document)
            size += len(document)
        flush()
        return packed

    def _documents(self, group: Group) -> Iterator[str]:
        """Yield a group's documents as JSON, by the hash of their ids: every model's answers to it by its index."""
        task, shots, variant = group
        rows = self._rows.execute(
            "SELECT rank, id, run, document, answer FROM answers WHERE task = ? AND variant = ? AND shots = ? "
            "ORDER BY rank, id, run",
            (_bytes(task), _bytes(variant), shots),
        )
        for _, same in groupby(rows, key=lambda row: row[:2]):
            answers = {}
            document = ""
            for _, _, run, document_text, answer in same:
                document = document or _text(document_text)
                answers[self._models[run]] = _text(answer)
            inner = ",".join(f'"{model}":{answer}' for model, answer in sorted(answers.items()))
            yield f'{document[:-1]},"answers":{{{inner}}}}}'


def _bytes(text: str) -> bytes:
    """Return text as bytes; half of a surrogate pair, which sqlite's own text cannot hold, stays as it is."""
    return text.encode("utf-8", "surrogatepass")


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")
