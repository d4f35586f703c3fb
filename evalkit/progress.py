"""Progress of long work: a live bar on a terminal, a line in a notebook, messages elsewhere (CI, a log file)."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from evalkit.streams import console

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

log = logging.getLogger(__name__)


# A short text beside the count (a loss, a task's name); a function is called when the text is shown.
Note = str | Callable[[], str]


class Progress(Protocol):
    """Counts towards a total."""

    def advance(self, amount: int, *, note: Note = "") -> None:
        """Add to the count."""
        ...

    def skip(self, amount: int) -> None:
        """Add what was done before; it does not count for the rate."""
        ...

    def doing(self, what: str) -> None:
        """Show what is being done until the count moves again."""
        ...


class _Bar:
    """A rich progress bar with rate and time left."""

    def __init__(self, label: str, total: int, unit: str, start: int):
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            _time_left(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console(stderr=True),
        )
        self._total, self._unit = total, unit
        self._task = self._rich.add_task(label, total=total or None, completed=start, count="", rate="", note="")
        self._note = ""
        self._rich.start()

    def advance(self, amount: int, *, note: Note = "") -> None:
        done = self._rich.tasks[self._task].completed + amount
        count = f"{done:,.0f}" + (f"/{self._total:,}" if self._total else "") + f" {self._unit}"
        speed = self._rich.tasks[self._task].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        self._note = _text(note) or self._note
        self._rich.update(self._task, advance=amount, count=count, rate=rate, note=self._note)

    def doing(self, what: str) -> None:
        self._rich.update(self._task, note=what)

    def skip(self, amount: int) -> None:
        self._rich.tasks[self._task].completed += amount  # unlike update(), without a sample for the speed

    def close(self) -> None:
        self._rich.stop()


def _time_left() -> ProgressColumn:
    """Return a column that is empty until the rate is known."""
    from rich.progress import Task, TimeRemainingColumn
    from rich.text import Text

    class Left(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            return Text() if task.time_remaining is None else Text.assemble("left ", super().render(task))

    return Left()


class _Lines:
    """A message every `every` seconds and one at the end."""

    def __init__(self, label: str, total: int, unit: str, start: int, every: float = 10.0):
        self._label, self._total, self._unit, self._every = label, total, unit, every
        self._count, self._start = start, start
        self._note: Note = ""
        self._began = self._printed = time.monotonic()

    def skip(self, amount: int) -> None:
        self._count += amount
        self._start += amount

    def advance(self, amount: int, *, note: Note = "") -> None:
        self._count += amount
        self._note = note or self._note
        if time.monotonic() - self._printed >= self._every:
            self._print()

    def doing(self, what: str) -> None:
        pass

    def _print(self) -> None:
        self._printed = time.monotonic()
        spent = self._printed - self._began
        rate = (self._count - self._start) / spent if spent else 0.0
        remaining = f", {(self._total - self._count) / rate:,.0f} s left" if rate and self._count < self._total else ""
        total = f"/{self._total:,}" if self._total else ""
        note = _text(self._note)
        text = f"{self._label}: {self._count:,}{total} {self._unit}, {rate:,.0f}/s, {spent:,.0f} s{remaining} {note}"
        self._say(text.rstrip(), spent)

    def _say(self, text: str, spent: float) -> None:
        log.info("%s", text, extra={"done": self._count, "total": self._total, "seconds": round(spent, 1)})

    def close(self) -> None:
        self._print()


class _Cell(_Lines):
    """One line below a notebook's cell, rewritten as the count grows."""

    def __init__(self, label: str, total: int, unit: str, start: int):
        from IPython.display import display

        super().__init__(label, total, unit, start, every=0.5)
        self._shown = display({"text/plain": label}, raw=True, display_id=True)

    def doing(self, what: str) -> None:
        self._say(f"{self._label}: {what}", 0.0)

    def _say(self, text: str, spent: float) -> None:
        self._shown.update({"text/plain": text}, raw=True)


def _text(note: Note) -> str:
    return note if isinstance(note, str) else note()


def _in_notebook() -> bool:
    """Whether this code runs in a notebook's kernel, which can display things."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class _Nothing:
    """Shows nothing."""

    def advance(self, amount: int, *, note: Note = "") -> None:
        pass

    def skip(self, amount: int) -> None:
        pass

    def doing(self, what: str) -> None:
        pass

    def close(self) -> None:
        pass


_silent: ContextVar[bool] = ContextVar("silent", default=False)
_shown: ContextVar[Progress] = ContextVar("shown", default=_Nothing())  # noqa: B039


@contextmanager
def silent() -> Iterator[None]:
    """Let `progress` show nothing while the block runs, because other work shows its own."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


@contextmanager
def progress(label: str, *, total: int, unit: str, start: int = 0) -> Iterator[Progress]:
    """Show progress on standard error while the block runs."""
    bar: _Bar | _Lines | _Nothing = _Nothing()
    if not _silent.get():
        kind = _Cell if _in_notebook() else _Bar if sys.stderr.isatty() else _Lines
        bar = kind(label, total, unit, start)
    token = _shown.set(bar)
    try:
        yield bar
    finally:
        _shown.reset(token)
        bar.close()


def doing(what: str) -> None:
    """Show beside the bar, if there is one, what is being done until its count moves: the loading of a model."""
    _shown.get().doing(what)
