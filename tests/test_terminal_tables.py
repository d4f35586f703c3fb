"""Tables that fit the terminal: side by side, or a block per row; nothing is ever shortened."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from evalkit import tables
from evalkit.report.terminal import models


def printed(table, width: int) -> list[str]:
    written = io.StringIO()
    tables.show(table, Console(file=written, width=width))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def scores():
    return tables.table(
        ("task", "shots", "score"), [("world_qa", "0", "54.0"), ("world_reading", "16", "57.1 [53, 61]")]
    )


def test_a_table_that_fits_has_its_numbers_on_the_right() -> None:
    assert printed(scores(), 40) == [
        "task           shots          score",
        "world_qa           0           54.0",
        "world_reading     16  57.1 [53, 61]",
    ]


def test_a_narrow_terminal_gets_a_block_per_row() -> None:
    assert not tables.fits(scores(), Console(width=30))
    assert printed(scores(), 30) == [
        "world_qa",
        "  shots 0, score 54.0",
        "world_reading",
        "  shots 16",
        "  score 57.1 [53, 61]",
    ]


def test_names_of_columns_and_cells_are_texts_and_not_markup() -> None:
    table = tables.table(("task", "[bold]"), [("[red]x", "[/]")])
    assert printed(table, 40) == ["task    [bold]", "[red]x     [/]"]


@pytest.mark.parametrize("width", [10, 23, 40, 80])
def test_parts_are_broken_between_them(width: int) -> None:
    parts = ["shots 16", "metric exact_match", "n 60", "alike -"]
    laid_out = list(tables.lines(parts, width=width))
    assert ", ".join(laid_out) == ", ".join(parts)
    assert all(len(line) <= width or line in parts for line in laid_out)


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("verbose", [False, True])
def test_no_number_of_a_model_is_shortened(verbose: bool, width: int) -> None:
    lines = printed(models.table(verbose=verbose), width)
    text = "\n".join(lines)
    assert "…" not in text and "1,557,611,200" in text and max(map(len, lines)) <= width
    assert any(line.startswith("model ") for line in lines) == (width >= (160 if verbose else 80))
