"""evalkit report as files: complete, the same every time, and nobody's text taken for markup."""

from __future__ import annotations

import base64
import csv
import html
import json
import re
import shutil
import zlib

import pytest

from evalkit.cli import main
from tests.comparison.made import unbind

SIZES = ("atto", "femto", "pico", "nano", "micro")


def test_every_file_is_there(report):
    names = {str(path.relative_to(report)) for path in report.rglob("*") if path.is_file()}
    figures = {
        f"figures/{name}.{kind}"
        for name in ("trend", "shots", "laws", "tasks", "curves", "forecasts")
        for kind in ("svg", "png")
    }
    assert names == {"report.html", "report.md", "tables.tex", "results.csv"} | figures


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(report, runs, tmp_path):
    again = tmp_path / "again"
    main(["report", str(runs), "--out", str(again), "--title", "The <i>invented</i> ladder"])
    for path in sorted(report.rglob("*")):
        if path.is_file():
            # The command in the head names the folder.
            one, two = (
                p.read_bytes().replace(str(f).encode(), b"")
                for p, f in ((path, report), (again / path.relative_to(report), again))
            )
            assert one == two, path


def test_what_cannot_be_used_is_named(report):
    text = (report / "report.md").read_text()
    assert re.search(r"stopped`: .*half-written", text)
    assert re.search(r"broken`: .*not valid JSON", text)
    assert "zepto" not in (report / "results.csv").read_text()


def test_damaged_runs_are_told_on_the_terminal(runs, tmp_path, capsys):
    damaged = tmp_path / "runs" / "damaged"
    shutil.copytree(runs / "atto", damaged)
    (damaged / "records.jsonl").write_text("{]\n")
    unbind(damaged)
    given = [str(damaged.parent), str(runs / "broken")]
    assert main(["report", *given, "--out", str(tmp_path / "r")]) == 0
    said = capsys.readouterr().err
    assert f"left out: {runs / 'broken'}" in said and f"{damaged}: no samples" in said


def test_the_long_form_holds_every_value(report):
    rows = list(csv.DictReader((report / "results.csv").read_text().splitlines()))
    assert {row["model"] for row in rows} == set(SIZES)
    [row] = [r for r in rows if (r["model"], r["task"], r["shots"], r["level"]) == ("micro", "reading_a", "4", "hard")]
    assert float(row["value"]) == pytest.approx(50 + 8 * 2.40824 + 8 - 5, abs=1e-3)
    assert (row["n"], row["chance"], row["parameters"]) == ("400", "50", "2560000")
    steps = {row["step"] for row in rows if row["model"] == "nano"}
    assert steps == {"10", "20", "40", "60", "80", "100"}


def test_the_markdown_has_the_trend_first_and_a_verdict(report):
    text = (report / "report.md").read_text()
    assert text.index("figures/trend.png") < text.index("figures/shots.png") < text.index("## Results by task")
    [line] = [line for line in text.splitlines() if line.startswith(r"| reading_a | acc | 0 |")][:1]
    assert "trend" in line and "**69.3** <sub>\\[67.3, 71.3\\]</sub>" in line


def test_the_largest_is_predicted_and_the_error_is_their_difference(report):
    text = (report / "report.md").read_text()
    held = text[text.index("## Held out") :].partition("\n## ")[0]
    lines = [[cell.split("<sub>")[0].strip() for cell in line.split("|")] for line in held.splitlines()[4:]]
    rows = [cells for cells in lines if len(cells) > 7 and cells[4] == "micro"]
    assert len(rows) == 7  # two tasks with 0, 1 and 4 shots, and one without
    for cells in rows:
        predicted, actual, error = (float(cell.replace("−", "-")) for cell in cells[5:8])
        assert error == pytest.approx(predicted - actual, abs=0.11)


def test_the_latex_escapes(report):
    text = (report / "tables.tex").read_text()
    assert r"reading\_a" in text and "reading_a" not in text.replace(r"reading\_a", "")
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") > 5


def test_no_text_becomes_markup(report):
    page = (report / "report.html").read_text()
    blocks = re.findall(r'<script type="text/plain" id="piece-\d+">([A-Za-z0-9+/=]+)</script>', page)
    unpacked = [zlib.decompress(base64.b64decode(block)).decode() for block in blocks]
    assert any("pwned" in piece for piece in unpacked), "the wicked sample is in the browser's data"
    assert "<script>document.title" not in page and "<img" not in page and "<i>invented" not in page
    assert page.count("<script") == page.count("</script>") == 2 + len(blocks)  # the index and the page's own


def test_the_page_asks_for_nothing(report):
    page = (report / "report.html").read_text()
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"|<!DOCTYPE[^>]*>', "", page)
    assert not re.search(r'(src|href)="(?!#|data:,)', without_namespaces)
    assert "default-src 'none'" in html.unescape(page) and "@import" not in page and "url(http" not in page


def test_one_model_alone_still_makes_a_report(runs, tmp_path, capsys):
    assert main(["report", str(runs / "nano"), "--out", str(tmp_path / "r")]) == 0
    said = capsys.readouterr().out
    assert said.count("no figure of") == 1 and "laws of the loss" in said and "learning curves" in said
    text = (tmp_path / "r" / "report.md").read_text()
    assert text.count("several checkpoints of one training") == text.count("at least 3 sizes of one ladder") == 1
    assert "No law" not in text and "too few sizes" not in text and "## Held out" not in text
    assert "1 model, nano (640k parameters): 3 tasks in 3 families" in text
    assert "cannot be judged from one size: that takes at least 4" in text


def test_two_models_have_a_summary_and_no_column_that_says_nothing(runs, tmp_path):
    assert main(["report", str(runs / "atto"), str(runs / "micro"), "--out", str(tmp_path / "r")]) == 0
    text = (tmp_path / "r" / "report.md").read_text()
    assert "- reading: micro is best (reading_a, acc 69.3; next atto 50.0)." in text
    assert "cannot be judged from 2 sizes" in text
    assert "verdict" not in text and "too few sizes" not in text and "Forecasts" not in text
    page = (tmp_path / "r" / "report.html").read_text()
    assert 'href="#fits"' not in page and 'id="fits"' not in page
    collapsed = page[page.index('<details class="missing"') :].partition("</details>")[0]
    assert "laws of the loss" in collapsed and '<details class="missing" id="missing" open' not in page


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--predict", "nan"], "unknown model 'nan' to predict; did you mean 'nano'"),
        (["--family", "readin"], "unknown family 'readin'; did you mean 'reading'"),
        (["--metric", "ac"], "unknown metric 'ac'; did you mean 'acc'"),
        (["--predict", ",".join(SIZES)], "names every model"),
    ],
)
def test_wrong_options_say_what_is_allowed(runs, tmp_path, capsys, option, message):
    assert main(["report", str(runs), "--out", str(tmp_path / "r"), *option]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_nothing_to_report_on(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty"), "--out", str(tmp_path / "r")]) == 2
    assert "none of the given runs holds a result" in capsys.readouterr().err


def test_runs_of_one_model_stand_together_unless_they_ask_the_same(tmp_path):
    from evalkit.report import measurements
    from evalkit.report.pages import samples
    from evalkit.report.selection import select
    from tests.report.conftest import make_run

    first = make_run(tmp_path / "first", "atto", 10_000)
    again = make_run(tmp_path / "again", "atto", 10_000)
    for run, shots in ((first, 0), (again, 1)):
        path = run / "records.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["cell"]["shots"] == shots]
        path.write_text("".join(kept))
        unbind(run)

    def models(*runs):
        return samples.collect(select(measurements.read(runs)[0]))[0].models

    assert models(first, again) == ["atto"]
    path.write_text((first / "records.jsonl").read_text())
    assert models(first, again) == ["atto", "atto #2"]
