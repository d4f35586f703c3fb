"""What `evalkit tasks` lists: each task with its family and whether its data is here, and more on request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evalkit import tables
from evalkit.data.sources import DataPaths
from evalkit.errors import DataError
from evalkit.harness.load import count_documents
from evalkit.harness.task import Task

MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A task and its data: place is where it would be read from, "" if it is not here; error: why it cannot be."""

    task: Task
    place: str = ""
    documents: int | None = None
    error: str = ""

    @property
    def state(self) -> str:
        """Return ready, missing or broken, and the number of documents where counting them is quick."""
        if self.error:
            return "broken"
        if not self.place:
            return MISSING
        return "ready" if self.documents is None else f"ready, {self.documents:,}"


def entries(tasks: Iterable[Task], data: DataPaths) -> list[Entry]:
    """Find the data of each task. A broken benchmark does not hide the others."""
    found = []
    for task in tasks:
        try:
            place = task.source.at_hand(data)
            found.append(Entry(task=task, place=place, documents=count_documents(task, data)))
        except DataError as error:
            found.append(Entry(task=task, error=str(error)))
    return found


def table(listed: Sequence[Entry]) -> Table:
    """Return a row per task: its name, its family, the state of its data."""
    rows = tables.table(("task", "family", "data, documents"), left=("task", "family", "data, documents"))
    for entry in listed:
        style = "red" if entry.error else "dim" if not entry.place else ""
        rows.add_row(entry.task.name, entry.task.family, Text(entry.state, style=style))
    return rows


def show_details(listed: Sequence[Entry], console: Console) -> None:
    """Print a block per task: what it is, its metric, protocols and licence, where its data comes from or is."""
    for entry in listed:
        task = entry.task
        console.print(Text.assemble((task.name, "bold"), f"  {task.family}; {entry.state}"))
        metric = next(iter(task.protocols.values())).reported[0]
        licence = f"licence of the data: {task.licence or 'not stated'}"
        lines = [task.title, f"metric {metric}; protocols {', '.join(task.protocols)}", licence, _data(entry)]
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, 4), expand=False))


def _data(entry: Entry) -> str:
    """Say where the data is, or where it could come from."""
    if entry.error:
        return entry.error
    hub = getattr(entry.task.source, "hub", None)
    dataset = "/".join(filter(None, (hub.id, hub.config))) if hub else ""
    if entry.place:
        return f"data: {entry.place}" + (f" ({dataset})" if dataset else "")
    name = entry.task.source.name
    return f"data: --data {name}=FILE, {name} in EVALKIT_DATA, or the hub's {dataset}"
