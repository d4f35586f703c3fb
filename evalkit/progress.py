"""Progress of long work: a live bar on a terminal, a line in a notebook, messages elsewhere (CI, a log file)."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.costs import Cost
from evalkit.streams import console

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

log = logging.getLogger(__name__)

# Seconds over which a rate is measured, and from which on work is called long and its cost is shown.
_WINDOW, _LONG = 60.0, 60.0
# From this width of a terminal on a bar is wide.
_WIDE = 100

# A short text beside the count (a loss, a task's name); a function is called when the text is shown.
Note = str | Callable[[], str]


class Progress(Protocol):
    """Counts towards a total."""

    def advance(self, amount: int, *, note: Note = "", tokens: int = 0) -> None:
        """Add to the count. tokens: that a model has read or written for it."""
        ...

    def skip(self, amount: int) -> None:
        """Add what was done before; it does not count for the rate."""
        ...

    def doing(self, what: str) -> None:
        """Show what is being done until the count moves again."""
        ...


class _Meter:
    """A count, how fast it grows, when it will reach the total, and what that costs."""

    def __init__(self, label: str, total: int, unit: str, start: int):
        self.label, self.total, self.unit = label, total, unit
        self.count, self.tokens = start, 0
        self.note: Note = ""
        self._start = start
        self._began = time.monotonic()
        self._recent = deque([(self._began, start)])

    def advance(self, amount: int, *, note: Note = "", tokens: int = 0) -> None:
        """Add to the count."""
        self.count += amount
        self.tokens += tokens
        self.note = note or self.note
        now = time.monotonic()
        if now - self._recent[-1][0] >= _WINDOW / 100:
            self._recent.append((now, self.count))
        # The first stretch goes soon: a model is loaded in it.
        while len(self._recent) > 2 and (self._recent[0][0] == self._began or now - self._recent[1][0] > _WINDOW):
            self._recent.popleft()

    def skip(self, amount: int) -> None:
        """Add what was done before."""
        self.count += amount
        self._start += amount
        self._recent = deque((when, count + amount) for when, count in self._recent)

    @property
    def seconds(self) -> float:
        """The time since the beginning."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """The count per second of the last minute, or of all the time once the total is reached."""
        when, count = (self._began, self._start) if self.count >= self.total else self._recent[0]
        spent = time.monotonic() - when
        return (self.count - count) / spent if spent else 0.0

    @property
    def left(self) -> float | None:
        """The seconds until the total is reached; None if that cannot be told."""
        remaining = self.total - self.count
        return None if not self.total or not self.rate else max(0, remaining) / self.rate

    @property
    def cost(self) -> Cost | None:
        """What the work costs; None if it is short."""
        long = self.seconds + (self.left or 0) >= _LONG
        return Cost.of(self.seconds, left=self.left) if long else None

    @property
    def counted(self) -> str:
        """The count, the total and the unit."""
        return f"{self.count:,}" + (f"/{self.total:,}" if self.total else "") + f" {self.unit}"

    @property
    def token_rate(self) -> str:
        """The tokens per second, where they are counted."""
        return f"{self.tokens / self.seconds:,.0f} tokens/s" if self.tokens and self.seconds else ""


class _Bar:
    """A rich progress bar with what fits beside it."""

    def __init__(self, label: str, total: int, unit: str, start: int):
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._meter = _Meter(label, total, unit, start)
        screen = console(stderr=True)
        wide = screen.width >= _WIDE
        room = screen.width - len(label) - (20 if wide else 10) - 3
        self._rich = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20 if wide else 10),
            _details(self._meter, room=room),
            console=screen,
        )
        self._task = self._rich.add_task(label, total=total or None, completed=start)
        self._rich.start()

    def advance(self, amount: int, *, note: Note = "", tokens: int = 0) -> None:
        self._meter.advance(amount, note=note, tokens=tokens)
        self._rich.update(self._task, completed=self._meter.count)

    def doing(self, what: str) -> None:
        self._meter.note = what

    def skip(self, amount: int) -> None:
        self._meter.skip(amount)
        self._rich.update(self._task, completed=self._meter.count)

    def close(self) -> None:
        self._rich.stop()


def _details(meter: _Meter, *, room: int) -> ProgressColumn:
    """Return the column beside a bar: the parts that fit into `room` characters, the most wanted first."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Details(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(fitted(_parts(meter), room=room))

    return Details()


def _parts(meter: _Meter) -> list[tuple[int, str]]:
    """Return what can stand beside a bar, in order, each with its rank: the lower, the more wanted."""
    rate, left, cost = meter.rate, meter.left, meter.cost
    moved = bool(rate)
    return [
        (0, meter.counted if moved or meter.count else ""),
        (2, _per_second(rate) if moved else ""),
        (7, meter.token_rate),
        (6, _clock(meter.seconds)),
        (1, f"{_clock(left)} left" if left else ""),
        (4, cost.hours(between="/") if cost else ""),
        (3, cost.money(between="/") if cost else ""),
        (5, _text(meter.note)),
    ]


def fitted(parts: Sequence[tuple[int, str]], *, room: int) -> str:
    """Return the texts that fit into a number of characters side by side. parts: (rank, text), the lowest first."""
    chosen: set[int] = set()
    for place, (_, text) in sorted(enumerate(parts), key=lambda part: part[1][0]):
        needed = sum(len(parts[i][1]) + 1 for i in chosen) + len(text)
        if text and needed <= room:
            chosen.add(place)
    return " ".join(parts[place][1] for place in sorted(chosen))


def _per_second(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 or not rate else f"{rate:.2g}/s"


def _clock(seconds: float) -> str:
    """Write a time as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Lines:
    """A message every `every` seconds and one at the end."""

    def __init__(self, label: str, total: int, unit: str, start: int, every: float = 10.0):
        self._meter, self._every = _Meter(label, total, unit, start), every
        self._printed = time.monotonic()

    def skip(self, amount: int) -> None:
        self._meter.skip(amount)

    def advance(self, amount: int, *, note: Note = "", tokens: int = 0) -> None:
        self._meter.advance(amount, note=note, tokens=tokens)
        if time.monotonic() - self._printed >= self._every:
            self._print()

    def doing(self, what: str) -> None:
        pass

    def _print(self) -> None:
        meter, self._printed = self._meter, time.monotonic()
        left, cost = meter.left, meter.cost
        parts = [
            f"{meter.label}: {meter.counted}", _per_second(meter.rate), meter.token_rate, f"{meter.seconds:,.0f} s",
            f"{left:,.0f} s left" if left else "", cost.hours() if cost else "", cost.money() if cost else "",
        ]  # fmt: skip
        facts = {"done": meter.count, "total": meter.total, "seconds": round(meter.seconds, 1)}
        facts |= ({"tokens": meter.tokens} if meter.tokens else {}) | (cost.facts() if cost else {})
        self._say(f"{', '.join(filter(None, parts))} {_text(meter.note)}".rstrip(), facts)

    def _say(self, text: str, facts: Mapping[str, Any]) -> None:
        log.info("%s", text, extra=facts)

    def close(self) -> None:
        self._print()


class _Cell(_Lines):
    """One line below a notebook's cell, rewritten as the count grows."""

    def __init__(self, label: str, total: int, unit: str, start: int):
        from IPython.display import display

        super().__init__(label, total, unit, start, every=0.5)
        self._shown = display({"text/plain": label}, raw=True, display_id=True)

    def doing(self, what: str) -> None:
        self._say(f"{self._meter.label}: {what}", {})

    def _say(self, text: str, facts: Mapping[str, Any]) -> None:
        self._shown.update({"text/plain": text}, raw=True)


def _text(note: Note) -> str:
    return note if isinstance(note, str) else note()


def _can_redraw() -> bool:
    """Whether standard error is a terminal whose lines can be written again."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def _in_notebook() -> bool:
    """Whether this code runs in a notebook's kernel, which can display things."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class _Nothing:
    """Shows nothing."""

    def advance(self, amount: int, *, note: Note = "", tokens: int = 0) -> None:
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
        kind = _Cell if _in_notebook() else _Bar if _can_redraw() else _Lines
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
