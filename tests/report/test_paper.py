"""Tables and figures for paper: never wider than the column or page, values as measured, fonts embedded."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.errors import UsageError
from evalkit.report.figures import canvas
from evalkit.report.measurements import Measurement
from evalkit.report.models import ModelFacts
from evalkit.report.pages import compact, typesetting
from evalkit.report.pages.compact import Paper
from evalkit.report.selection import Selection, select

PDFLATEX = shutil.which("pdflatex")
NAMES = {"period": ".", "comma": ",", "bracketleft": "[", "bracketright": "]", "hyphen": "-", "slash": "/",
         "parenleft": "(", "parenright": ")", "space": " ", "colon": ":", "percent": "%"} | {
    name: str(digit)
    for digit, name in enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
}  # fmt: skip


def metrics(font: str) -> dict[str, float]:
    """The widths of a font's characters in em, from Adobe's font metrics, which matplotlib brings."""
    import matplotlib

    text = (Path(matplotlib.get_data_path()) / "fonts" / "afm" / f"{font}.afm").read_text(encoding="latin-1")
    widths = {name: float(width) / 1000 for width, name in re.findall(r"WX (\S+) ; N (\S+) ;", text)}
    return {NAMES.get(name, name): width for name, width in widths.items() if len(name) == 1 or name in NAMES}


def made(models: int, tasks: int = 3, *, name: str = "pythia-{}m-deduped", shots: tuple[int, ...] = (0,)) -> Selection:
    """A selection of invented values: value 10 x task + model, from half 2 below to 4 above."""
    return select(
        [
            Measurement(
                model=ModelFacts(name=name.format(10 * (model + 1)), family="f", parameters=10**6 * (model + 1)),
                task=f"a_long_task_name_{task}", family="qa", metric="exact_match" if task else "acc", shots=k,
                value=10.0 * task + model + k, low=10.0 * task + model + k - 2, high=10.0 * task + model + k + 4,
                scale=100.0, ceiling=100.0, n=100,
            )
            for model in range(models) for task in range(1, tasks + 1) for k in shots
        ],
        predict=None,
    )  # fmt: skip


@pytest.mark.parametrize("font", ["cmr10", "ptmr8a"])
def test_no_character_is_wider_than_estimated(font):
    measured = metrics(font)
    texts = [*(c for c in measured if c != " "), "reading_a"[:7], "[17.3, 29.4]", "90.6", "WMT14 Fr-En (bleu)"]
    for text in texts:
        real = 10 / typesetting.POINTS * sum(measured.get(c, 0.0) for c in text)
        assert real <= typesetting.width(text, 10) + 1e-9, (font, text)
    digits = "".join(map(str, range(10)))
    real = 10 / typesetting.POINTS * sum(measured[c] for c in digits)
    assert typesetting.width(digits, 10) <= real * 1.01, "figures, most of a table, are not overestimated"


def test_bold_is_not_wider_than_estimated():
    measured = metrics("ptmb8a")
    for text in ("90.6", "exact", "Winograd"):
        real = 10 / typesetting.POINTS * sum(measured[c] for c in text)
        assert real <= typesetting.width(text, 10, bold=True)


@pytest.mark.parametrize("width", [3.25, 5.5, 6.75])
@pytest.mark.parametrize("models", [1, 2, 5, 9, 20])
@pytest.mark.parametrize("ends", [False, True])
def test_every_model_is_there_once_and_no_block_is_too_wide(models, width, ends):
    selection, paper = made(models), Paper(width=width, ends=ends)
    rows = [compact._row(selection, group, paper, [False, False]) for group in compact._groups(selection, paper)]
    names = [selection.labels[name] for name in selection.sizes]
    points, small, blocks = compact._layout(["Task"], rows, names, width)
    assert [i for block in blocks for i in block] == list(range(models))
    for block in blocks:
        assert sum(compact._widths(["Task"], rows, names, block, points, small)) <= width
    text = compact.latex(selection, paper)
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == len(blocks)
    assert len(blocks) == 1 or points == 7, "divided only where the smallest size is too large"
    for block, tabular in zip(blocks, text.split(r"\begin{tabular}")[1:], strict=True):
        body = [line for line in tabular.splitlines() if line.startswith("a\\_")]
        assert len(body) == 3 and all(line.count("&") == len(block) for line in body)


def test_values_with_half_their_intervals_or_their_ends():
    selection = made(2, 1)
    half = compact.latex(selection, Paper(width=6.75))
    assert r"10.0\,{\fontsize{7}{7}\selectfont $\pm$3.0}" in half
    assert r"\textbf{11.0}" in half and r"\textbf{10.0}" not in half
    ends = compact.latex(selection, Paper(width=6.75, ends=True))
    assert "[8.00, 14.0]" in ends and "pm" not in ends
    assert r"\caption{Results by task (exact\_match, 0-shot)" in half and "Metric" not in half and "Shots" not in half
    assert "too few sizes" not in half


def test_the_fewest_shots_or_the_chosen_ones():
    selection = made(2, 2, shots=(0, 1, 4))
    assert compact.latex(selection, Paper(width=6.75)).count("a\\_long") == 2
    two = compact.latex(selection, Paper(width=6.75, shots=(1, 4)))
    rows = re.findall(r"a\\_long\\_task\\_name\\_(\d) & (\d) & (\d+\.\d)", two.replace(r"\textbf{", ""))
    assert rows == [("1", "1", "11.0"), ("1", "4", "14.0"), ("2", "1", "21.0"), ("2", "4", "24.0")]
    with pytest.raises(UsageError, match=r"no task was asked with 3 examples \(there are: 0, 1, 4\)"):
        compact.latex(selection, Paper(width=6.75, shots=(3,)))


@pytest.mark.parametrize("text", ["colum", "1.9", "20.5", "nan", "-3", ""])
def test_an_impossible_width_is_refused(text):
    with pytest.raises(UsageError, match="expected column"):
        typesetting.inches(text)


@pytest.mark.parametrize(("width", "panels", "pages"), [(3.25, 7, 3), (6.75, 7, 2), (6.75, 1, 1), (3.25, 2, 1)])
def test_figures_are_as_wide_as_asked_and_have_their_fonts(width, panels, pages):
    panel = canvas.Panel(title="A title", draw=lambda axes: axes.plot([1, 2], [3, 4]))
    figure = canvas.Figure(name="x", title="x", caption="", panels=[panel] * panels)
    sheets = canvas.pdf(figure, width=width)
    assert len(sheets) == pages and sheets == canvas.pdf(figure, width=width), "the same bytes each time"
    for sheet in sheets:
        [box] = re.findall(rb"/MediaBox \[ 0 0 (\S+) (\S+) \]", sheet)
        assert float(box[0]) == pytest.approx(72 * width) and float(box[1]) <= 72 * 9
        fonts = sheet.count(b"/Type /FontDescriptor")
        assert fonts == sheet.count(b"/FontFile2 ") > 0 and b"/Type3" not in sheet, "each font is in the file"


def test_the_command_writes_the_table_and_the_figures(runs, tmp_path, capsys):
    given = ["report", str(runs / "atto"), str(runs / "micro"), "--out", str(tmp_path / "r")]
    assert main([*given, "--latex", "compact", "--width", "column", "--shots", "0"]) == 0
    text = (tmp_path / "r" / "tables.tex").read_text()
    assert text.count(r"\begin{table}") == 1 and "longtable" not in text and r"reading\_a & acc" in text
    assert text.startswith("% Made by: evalkit report") and "--latex compact --width column --shots 0" in text
    assert list((tmp_path / "r" / "figures").glob("trend*.pdf"))
    assert main([*given, "--shots", "0"]) == 2
    assert "--shots is for the compact table: add --latex compact" in capsys.readouterr().err


@pytest.mark.skipif(not PDFLATEX, reason="no pdflatex here")
@pytest.mark.parametrize("models", [2, 9])
@pytest.mark.parametrize("width", [3.25, 6.75])
def test_it_compiles_without_an_overfull_line(tmp_path, models, width):
    assert PDFLATEX
    table = compact.latex(made(models, shots=(0, 1)), Paper(width=width, shots=(0, 1)))
    (tmp_path / "paper.tex").write_text(
        "\\documentclass[10pt]{article}\\usepackage{booktabs,array}\n"
        f"\\setlength{{\\textwidth}}{{{width}in}}\\setlength{{\\columnwidth}}{{{width}in}}\n"
        f"\\begin{{document}}\n{table}\n\\end{{document}}\n"
    )
    ran = subprocess.run(
        [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "Overfull \\hbox" not in ran.stdout


@pytest.mark.skipif(not PDFLATEX, reason="no pdflatex here")
def test_all_tables_of_a_report_compile(report, tmp_path):
    assert PDFLATEX
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,longtable}\\begin{document}\n"
        + (report / "tables.tex").read_text()
        + "\\end{document}\n"
    )
    ran = subprocess.run(
        [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:]


def test_every_sign_of_a_table_is_one_that_latex_knows(report):
    text = (report / "tables.tex").read_text()
    assert sorted({c for c in text if ord(c) > 126}) == []
