"""Laws of the loss in a report: one per ladder, weighted by what is known of the losses, and said to be flat if so."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.report.measurements import read
from evalkit.report.selection import Selection, select
from evalkit.report.trends import fits, scaling, twostep
from tests.report.test_identity import run

LADDERS = {"bytes": (0.6, 90.0, 0.4), "words": (1.9, 300.0, 0.35)}  # E, A, alpha
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)


def ladder(root: Path, losses: dict[int, float], *, word="x", **known) -> list[Path]:
    """Store a run per size with these held-out losses; accuracy follows the loss."""
    return [
        run(
            root / word / f"m{size}", name=f"m{size}", content=f"{word}{size}", size=size, loss=loss, recipe=str(size),
            fingerprint=word, value=90 - 20 * loss, flops=size, **known,
        )
        for size, loss in losses.items()
    ]  # fmt: skip


def law_of(word: str) -> dict[int, float]:
    e, a, alpha = LADDERS[word]
    return {size: e + a * size**-alpha for size in SIZES}


def selected(runs: list[Path], **options) -> Selection:
    found, problems = read(runs)
    assert not problems
    return select(found, **options)


def test_two_tokenizers_get_two_laws(tmp_path):
    runs = [path for word in LADDERS for path in ladder(tmp_path, law_of(word), word=word)]
    selection = selected(runs)
    found = [law for law in fits.laws(selection) if law.law]
    assert [(law.symbol, law.ladder) for law in found] == [
        (symbol, f"c ({word})") for word in LADDERS for symbol in ("N", "C")
    ]
    for law in found:
        assert law.law.values == pytest.approx(LADDERS[law.ladder[3:-1]], rel=0.01)
        assert max(map(abs, law.law.residuals)) < 1e-3
    assert law.of == "C of c (words)"
    table = fits.law_table(found)
    assert table and table.header[:2] == ["law", "ladder"] and next(row[1].text for row in table.rows) == "c (bytes)"


def test_loss_to_score_has_a_curve_per_ladder_too(tmp_path):
    runs = [path for word in LADDERS for path in ladder(tmp_path, law_of(word), word=word)]
    selection = selected(runs)
    found = twostep.fitted(selection)
    assert [two.ladder for two in found] == ["c (bytes)", "c (words)"]
    assert all({p.measurement.model.family for p in two.pairs} == {two.ladder} for two in found)
    assert "ladder" in twostep.table(selection, found, fits.laws(selection)).header


def test_one_ladder_has_one_law_and_no_column_for_it(tmp_path):
    table = fits.law_table(fits.laws(selected(ladder(tmp_path, law_of("bytes")))))
    assert table and "ladder" not in table.header and "ladder" not in table.title


def test_held_out_losses_bring_their_standard_errors(tmp_path):
    runs = ladder(tmp_path, law_of("bytes"), loss_stderr=0.004, loss_tokens=1_000_000)
    out = tmp_path / "report"
    assert main(["report", *map(str, runs), "--out", str(out)]) == 0
    text = (out / "report.md").read_text()
    assert f"{law_of('bytes')[10_000]:.3f} <sub>± 0.004 (1,000,000 tokens)</sub>" in text
    first = (out / "results.csv").read_text().splitlines()
    named = dict(zip(first[0].split(","), first[1].split(","), strict=True))
    assert (named["loss_stderr"], named["loss_tokens"]) == ("0.004", "1000000")
    [point, *_] = fits.losses(selected(runs), "c")[1]
    assert point.stderr == 0.004


def test_a_loss_known_badly_weighs_less():
    sizes, losses = list(SIZES), list(law_of("bytes").values())
    losses[2] *= 1.05
    wrong = [0.002, 0.002, 0.2, 0.002, 0.002, 0.002]
    plain, weighted = (scaling.power_law(sizes, losses, stderr=e, refits=0) for e in (None, wrong))
    truth = LADDERS["bytes"][2]
    assert abs(weighted["alpha"] - truth) < abs(plain["alpha"] - truth) / 3
    equal = scaling.power_law(sizes, losses, stderr=[0.01 * loss for loss in losses], refits=0)
    assert equal.values == pytest.approx(plain.values, rel=1e-3), "losses known equally well weigh equally"
    with pytest.raises(scaling.DataError, match="standard errors"):
        scaling.power_law(sizes, losses, stderr=[0.1, -1, 0, 0, 0, 0])


def test_points_on_a_curve_are_no_better_known_than_their_errors():
    sizes, losses = list(SIZES), list(law_of("bytes").values())
    plain, known = (scaling.power_law(sizes, losses, stderr=e) for e in (None, [0.02] * 6))
    widths = [law.interval("alpha")[1] - law.interval("alpha")[0] for law in (plain, known)]
    assert widths[1] > 10 * widths[0]


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([2.0, 2.1, 2.2, 2.3, 2.4, 2.5], "does not fall with N"),
        ([2.0] * 6, "does not fall with N"),
        ([2.0, 2.02, 1.98, 2.01, 1.97, 2.0], r"does not fall|falls by 0\.\d% with N"),
        ([3.0, 2.6, 2.4, 2.2, 2.1, 2.0], ""),
    ],
)
def test_losses_that_do_not_fall_are_warned_of(losses, said):
    law = scaling.power_law(SIZES, losses, refits=10)
    assert re.search(said, law.flat) if said else not law.flat
    assert law.flat in law.warning


def test_of_two_quantities_the_one_without_a_fall_is_named():
    n, d = [10.0**k for k in (6, 7, 8) for _ in range(4)], [10.0**k for _ in range(3) for k in (8, 9, 10, 11)]
    law = scaling.chinchilla(n, d, [1.5 + 100 * t**-0.28 for t in d], refits=0)
    assert "with N" in law.flat and "with D" not in law.flat


def test_a_flat_law_is_told_on_the_page_in_the_table_and_on_the_terminal(tmp_path, capsys):
    runs = ladder(tmp_path, {size: 2.0 + 0.1 * i for i, size in enumerate(SIZES)})
    out = tmp_path / "report"
    assert main(["report", *map(str, runs), "--out", str(out)]) == 0
    said = "the loss does not fall with N"
    assert said in capsys.readouterr().err
    text = (out / "report.md").read_text()
    head, table = text.split("## How ability grows", 1)
    assert said in head and said in table.split("## Laws of the loss")[-1]
    assert text.count(said) > 1 and said in (out / "report.html").read_text()
    assert "does not fall" in (out / "figures" / "laws.svg").read_text()


def test_a_standard_error_that_is_no_number_is_a_broken_run(tmp_path):
    found, problems = read([run(tmp_path / "a", loss_stderr=math.inf), run(tmp_path / "b", loss_stderr=-0.1)])
    assert not found and all("is not a number from 0" in problem.reason for problem in problems)
