"""The results table: the papers' values, the spread over wordings, columns for many numbers of shots, any width."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from evalkit.report import run_table
from evalkit.report.terminal import runs as run_terminal
from evalkit.types import Result

OURS = Result(
    model="gpt2-xl",
    task="coqa",
    family="reading",
    protocol="gpt2",
    shots=0,
    metric="coqa_f1",
    source="model",
    level="",
    value=50.0,
    low=49.0,
    high=51.0,
    n=100,
    failed=0,
    truncated=0,
    chance=None,
    signature="",
)


def _header(results: list[Result]) -> list[str]:
    return run_table.header(run_table.Columns.of(results))[3:-3]


def test_the_papers_value_stands_beside_ours_and_says_where_it_is_from() -> None:
    text = run_table.markdown([OURS, replace(OURS, shots=1)])
    assert "| 50.0 [49.0, 51.0]; paper 55.0 | 50.0 [49.0, 51.0] |" in text
    assert text.endswith("paper: Radford et al. 2019, section 3.5\n")
    console = Console(width=200, record=True, file=io.StringIO())
    run_terminal.show([OURS], console)
    shown = console.export_text()
    assert "; paper 55.0" in shown and "paper: Radford et al. 2019, section 3.5" in shown


def test_a_baseline_has_its_papers_value_too() -> None:
    ours = replace(OURS, model="nano", task="cnn_dailymail", family="summarization", metric="rouge1")
    lead = replace(ours, source="baseline:lead3", value=41.0)
    assert "lead3 41.0 (paper 40.4)" in run_table.markdown([ours, lead])


def test_nothing_is_said_of_papers_where_nothing_matches() -> None:
    assert "paper" not in run_table.markdown([replace(OURS, model="nano")])


def test_wordings_are_summed_up_beside_the_own_one() -> None:
    others = [replace(OURS, template=name, value=value) for name, value in [("a", 40.0), ("b", 70.0), ("c", 45.0)]]
    text = run_table.markdown([OURS, *others])
    assert "| 4 wordings at 0 shots: median 47.5 (40.0 to 70.0) |" in text
    assert text.count("| coqa |") == 1


def test_a_score_of_which_many_items_failed_is_marked() -> None:
    few, many = replace(OURS, failed=5), replace(OURS, failed=6, shots=1)
    text = run_table.markdown([few, many])
    assert "| 50.0 [49.0, 51.0]; paper" in text or "| 50.0 [49.0, 51.0] |" in text
    assert text.count("50.0 [49.0, 51.0] (!)") == 1 and "6 of 106 failed at 1 shots" in text
    assert "(!): more than 5% of the items failed" in text
    assert "(!)" not in run_table.markdown([few]) and "(!)" not in run_table.markdown([few, many], allowed=0.06)
    assert "(!)" in run_table.markdown([replace(OURS, n=0, failed=3)], allowed=1.0)


def test_counts_that_many_tasks_share_have_columns() -> None:
    results = [replace(OURS, task=task, shots=k) for task in ("a", "b") for k in (0, 1, 4)]
    perplexity = replace(OURS, task="lm", shots=0)
    assert _header([*results, perplexity]) == ["0-shot", "1-shot", "4-shot"]


def test_counts_of_a_tasks_own_share_one_column() -> None:
    results = [replace(OURS, task=task, shots=k) for task, own in [("a", 5), ("b", 20), ("c", 64)] for k in (0, own)]
    assert _header(results) == ["0-shot", "K-shot"]
    assert "| 50.0 [49.0, 51.0] | 20: 50.0 [49.0, 51.0] | 100 |" in run_table.markdown(results)


def test_why_a_value_has_no_interval_stands_beside_it() -> None:
    few = replace(OURS, low=math.nan, high=math.nan, n=60, units=1)
    text = run_table.markdown([few, replace(few, shots=1)])
    assert "| 50.0; paper 55.0 | 50.0 |" in text and text.count("1 passage: too few for an interval") == 1
    assert "too few" not in run_table.markdown([replace(OURS, units=60)])


def _terminal(results: list[Result], width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    run_terminal.show(results, console)
    return [line.rstrip() for line in console.export_text().splitlines()]


def _ladder(*shots: int) -> list[Result]:
    models = ["nano", "a-model-with-a-long-name"]
    results = [replace(OURS, model=model, shots=k, chance=25.9, n=12_630) for model in models for k in shots]
    control = [replace(OURS, model=model, source="control:no_passage", value=12.3) for model in models]
    return [*results, *control]


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
@pytest.mark.parametrize("shots", [(0,), (0, 1, 4), (0, 1, 2, 4, 8, 16)])
def test_no_name_and_no_number_is_cut_at_any_width(width: int, shots: tuple[int, ...]) -> None:
    lines = _terminal(_ladder(*shots), width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width and "…" not in text
    assert text.count("50.0 [49.0, 51.0]") == 2 * len(shots)
    for word in ("coqa", "coqa_f1", "nano", "a-model-with-a-long-name", "12,630", "25.9", "no_passage", "12.3"):
        assert word in text


def test_a_narrow_terminal_has_a_block_per_task_and_says_once_what_all_models_share() -> None:
    assert _terminal(_ladder(0, 1), 80) == [
        "reading",
        "coqa coqa_f1, n 12,630, chance 25.9",
        "  model                     0-shot             1-shot",
        "  nano                      50.0 [49.0, 51.0]  50.0 [49.0, 51.0]",
        "  a-model-with-a-long-name  50.0 [49.0, 51.0]  50.0 [49.0, 51.0]",
        "    no_passage 12.3",
    ]


def test_shots_stand_below_each_other_where_they_do_not_fit_and_counts_that_differ_in_columns() -> None:
    results = [replace(r, n=7) if r.model == "nano" else r for r in _ladder(0, 1, 4)]
    lines = _terminal(results, 64)
    assert lines[2].split() == ["model", "shots", "score", "n"]
    assert [line.split()[0] for line in lines[3:6]] == ["nano", "1", "4"]
    assert lines[3].split()[-1] == "7" and lines[6].split()[-1] == "12,630"


def test_figures_stay_short() -> None:
    values = (math.nan, math.inf, 0.4567, 45.67, 4567.8, 9_999_999.0, 2.569e24)
    assert [*map(run_table.figure, values)] == ["-", "inf", "0.46", "45.7", "4,568", "9,999,999", "2.6e+24"]
