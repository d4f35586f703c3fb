"""What is shown while something long runs: what is done before the count moves, and no time left until it is known."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from evalkit import progress


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    shown = Console(file=written, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "console", lambda **_: shown)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    return written


def test_what_is_being_done_is_shown_until_the_count_moves(terminal: io.StringIO) -> None:
    with progress.progress("evaluate", total=10, unit="items") as bar:
        progress.doing("loading nano")
        bar._rich.refresh()  # type: ignore[attr-defined]
        before = terminal.getvalue()
        bar.advance(5, note="world_qa")
    assert "loading nano" in before and "left" not in before
    last = terminal.getvalue().removeprefix(before)
    assert "5/10 items" in last and "world_qa" in last and "loading" not in last.rpartition("world_qa")[2]


def test_without_a_bar_nothing_is_shown(terminal: io.StringIO) -> None:
    progress.doing("loading nano")
    with progress.silent(), progress.progress("evaluate", total=10, unit="items"):
        progress.doing("loading nano")
    assert terminal.getvalue() == ""
