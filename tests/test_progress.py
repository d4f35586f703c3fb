"""What is shown while something long runs: what is done before the count moves, and no time left until it is known."""

from __future__ import annotations

import io
import json
import re
import sys
import time

import pytest
from rich.console import Console

from evalkit import costs, progress


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


class Clock:
    """A clock that only this test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


def test_lines_have_rate_tokens_time_left_and_cost(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="evalkit")
    with costs.priced({"core": 0.5, "currency": "EUR"}):
        costs.use("cpu", cores=4)
        with progress.progress("evaluate", total=1000, unit="items") as bar:
            clock.now = 900.0
            bar.advance(250, note="world_qa", tokens=90_000)
        # 4 cores for a quarter of an hour; three times as long is left.
        assert lines(caplog)[0] == (
            "evaluate: 250/1,000 items, 0.28/s, 100 tokens/s, 900 s, 2,700 s left, 1.00 of 4.00 core-hours, "
            "0.50 of 2.00 EUR world_qa"
        )
        about = vars(caplog.records[0])
        assert (about["device"], about["spent_hours"], about["expected_hours"]) == ("core", 1.0, 4.0)
        assert (about["price"], about["currency"], about["tokens"]) == (0.5, "EUR", 90_000)


def test_gpus_are_counted_and_without_a_price_there_is_no_money(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="evalkit")
    with costs.priced({"core": 0.5}):
        costs.use("cuda:0", count=8)
        with progress.progress("train", total=100, unit="tokens") as bar:
            clock.now = 4500.0
            bar.advance(100)
    assert lines(caplog) == ["train: 100/100 tokens, 0.022/s, 4,500 s, 10.0 GPU-hours"] * 2


def test_short_work_has_no_cost(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="evalkit")
    with progress.progress("evaluate", total=100, unit="items") as bar:
        clock.now = 11.0
        bar.advance(50)
        clock.now = 20.0
        bar.advance(50)
    assert [line.partition(" (")[0] for line in lines(caplog)] == [
        "evaluate: 50/100 items, 4.5/s, 11 s, 11 s left",
        "evaluate: 100/100 items, 5/s, 20 s",
    ]


def test_what_was_done_before_counts_for_neither_rate_nor_cost(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="evalkit")
    costs.use("cpu", cores=2)
    with progress.progress("evaluate", total=1000, unit="items") as bar:
        bar.skip(500)
        clock.now = 100.0
        bar.advance(100)
    assert "600/1,000 items, 1/s, 100 s, 400 s left, 0.06 of 0.28 core-hours" in lines(caplog)[0]


def test_the_rate_is_that_of_the_last_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="evalkit")
    with progress.progress("evaluate", total=10_000, unit="items") as bar:
        clock.now = 300.0  # a model was loaded
        for _ in range(100):
            clock.now += 1.0
            bar.advance(20)
    assert "20/s" in lines(caplog)[-1] and "400 s left" in lines(caplog)[-1]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_bar_fits_the_terminal_and_leaves_out_the_least_wanted(
    width: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(progress, "console", lambda **_: Console(file=written, width=width, force_terminal=True))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with costs.priced({"core": 0.5, "currency": "EUR"}):
        costs.use("cpu", cores=2)
        with progress.progress("evaluate", total=50_000, unit="items") as bar:
            clock.now = 600.0
            bar.advance(10_000, note="world_reading", tokens=6_000_000)
    text = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", written.getvalue()).replace("\r", "\n")
    last = [line for line in text.splitlines() if line.strip()][-1].rstrip()
    assert len(last) <= width and "10,000/50,000 items" in last and "40:00 left" in last
    shown = {
        "17/s": 60, "0.17/0.83 EUR": 80, " 10:00 ": 80, "world_reading": 100, "0.33/1.67 core-hours": 140,
        "10,000 tokens/s": 140,
    }  # fmt: skip
    assert {text for text in shown if text in last} == {text for text, least in shown.items() if width >= least}


def test_what_fits_is_chosen_by_rank_and_shown_in_order() -> None:
    parts = [(0, "aaaa"), (3, "bb"), (1, ""), (2, "cccc"), (1, "d")]
    assert progress.fitted(parts, room=14) == "aaaa bb cccc d"
    assert progress.fitted(parts, room=12) == "aaaa cccc d"
    assert progress.fitted(parts, room=9) == "aaaa bb d"
    assert progress.fitted(parts, room=3) == "d"


def test_tokens_of_a_run_are_those_of_its_requests(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    import evalkit

    caplog.set_level("INFO", logger="evalkit")
    evalkit.evaluate("pico", "world_pronouns", limit=4, out=tmp_path / "a", cache=False)
    [last] = [record for record in caplog.records if record.message.startswith("evaluate:")][-1:]
    records = evalkit_records(tmp_path / "a")
    scored = sum(response["tokens"] for record in records for response in record["responses"])
    assert vars(last)["tokens"] > scored > 0


def evalkit_records(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
