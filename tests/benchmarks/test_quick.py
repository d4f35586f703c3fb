"""The quick table measures each work in turn; its history draws a point per commit."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.benchmarks.quick import __main__ as quick
from tests.benchmarks.quick import history, lines
from tests.benchmarks.quick.lines import Line


def test_works_take_turns_and_medians_are_kept(monkeypatch):
    done, clock = [], itertools.accumulate(itertools.cycle([0.0, 1.0]))
    monkeypatch.setattr(quick.time, "perf_counter", lambda: next(clock))
    line = Line(area="a", work="w", ours=lambda: done.append("ours"), peer=lambda: done.append("peer"), peer_name="p")
    measured = quick._in_turn(line, 3)
    assert done == ["ours", "peer"] * 4  # once to warm up
    assert (measured["ours"], measured["peer"], measured["limit"]) == (1.0, 1.0, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "metrics,metrcs"], "unknown area 'metrcs' in --only; did you mean 'metrics'?"),
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_measured(words, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["quick", *words])
    assert quick.main() == 2
    assert message in capsys.readouterr().err


def test_the_areas_are_those_of_the_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_corpora", lambda folder: [])  # which trains a tokenizer
    monkeypatch.setattr(lines, "trainings", lambda folder: [])
    assert [*dict.fromkeys(line.area for line in lines.lines(tmp_path))] == [
        area for area in lines.AREAS if area not in ("engine", "corpora", "training")
    ]


def test_the_history_has_a_point_per_commit(tmp_path, monkeypatch):
    line = {"area": "metrics", "work": "w", "ours": 1.0, "peer": 3.0, "limit": None}
    for day, seconds in ((2, 0.5), (1, 1.0)):
        entry = {
            "date": f"2026-11-0{day}",
            "commit": f"{day}" * 40,
            "processor": "one",
            "lines": [{**line, "ours": seconds}],
        }
        (tmp_path / f"{day}.json").write_text(json.dumps(entry))
    entries = sorted((json.loads(path.read_text()) for path in tmp_path.glob("*.json")), key=lambda e: e["date"])
    [curve] = history.figure(entries).axes[0].lines
    assert list(curve.get_ydata()) == [3.0, 6.0]
    monkeypatch.setattr("sys.argv", ["history", str(tmp_path)])
    history.main()
    assert (tmp_path / "history.svg").stat().st_size > 1000


def test_no_history_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["history", str(tmp_path)])
    with pytest.raises(SystemExit, match="holds no figures"):
        history.main()
