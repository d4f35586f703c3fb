"""evalkit forecast: targets, the table, a sealed file, its scores and figures; the ledger of a report."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

import evalkit
from evalkit.cli import main
from evalkit.errors import UsageError
from evalkit.forecasts import sealed
from evalkit.report import forecasting, measurements, models, observed
from evalkit.report.selection import select

SMALLER = ("atto", "femto", "pico", "nano")


@pytest.fixture(scope="module")
def sealed_file(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "f.json"
    names = [str(runs / name) for name in SMALLER]
    assert main(["forecast", *names, "--at", "N=2.56M,D=100M", "--out", str(path)]) == 0
    return path


def test_a_target_is_read_from_letters_and_counts():
    target = forecasting.target_of("N=12B, D=300B,family=mine")
    assert (target.parameters, target.tokens, target.compute, target.family) == (12e9, 3e11, None, "mine")
    assert forecasting.target_name(target) == "N 12B, D 300B"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("12B", "expected N=SIZE"),
        ("D=300B", "expected N=SIZE"),
        ("N=12B,N=13B", "expected N=SIZE"),
        ("N=12B,T=1", "expected N=SIZE"),
        ("N=large", "parameters is a number above 0, such as .*, not large"),
        ("N=0", "parameters is a number above 0"),
    ],
)
def test_a_target_that_cannot_be_is_refused(text, message):
    with pytest.raises(UsageError, match=rf"--at {re.escape(text)}: {message}"):
        forecasting.target_of(text)


def test_the_terminal_shows_at_most_80_columns(runs, capsys):
    names = [str(runs / name) for name in SMALLER]
    assert main(["forecast", *names, "--at", "N=2.56M,D=100M", "--at", "N=10M"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "N 2.56M, D 100M" in out and "N 10M" in out and "from 4 sizes of 10k to 640k" in out
    assert re.search(r"reading_a acc 0 +\d", out)


def test_the_file_names_its_inputs_by_their_digests_and_has_every_series(runs, sealed_file):
    content = sealed.read(sealed_file)
    assert set(content.inputs) == {str(runs / name) for name in SMALLER}
    assert len(content.series) == 7 and {p.model for series in content.series for p in series.points} == set(SMALLER)
    assert content.command.startswith("evalkit forecast")


def test_it_is_scored_by_the_new_model(runs, sealed_file, tmp_path, capsys):
    words = ["forecast", "score", str(sealed_file), str(runs / "micro"), "--json", str(tmp_path / "s.json")]
    assert main([*words, "--figure", str(tmp_path / "f.svg")]) == 0
    out = capsys.readouterr().out.partition("drew ")[0]
    assert max(map(len, out.splitlines())) <= 80
    assert "measured micro" in out and "CRPS" in out and "Brier" in out
    scores = json.loads((tmp_path / "s.json").read_text())
    assert {row["model"] for row in scores["scores"]} == {"micro"} and len(scores["scores"]) == 7
    row = scores["scores"][0]
    assert row["error"] == pytest.approx(row["forecast"] - row["actual"])
    assert "<svg" in (tmp_path / "f.svg").read_text()


def test_wrong_uses_are_one_clear_line(runs, sealed_file, tmp_path, capsys):
    nano = str(runs / "nano")
    wrong = {
        ("forecast", nano): "give --at N=SIZE,D=TOKENS",
        ("forecast", nano, "--at", "N=1B", "--out", str(sealed_file)): "exists already",
        ("forecast", nano, "--at", "N=1B", "--json", "x.json"): "--json belongs to",
        ("forecast", nano, "--at", "N=1B", "--figure", "x.pdf"): r"ends with \.png or \.svg",
        ("forecast", "score", str(sealed_file)): "evalkit forecast score FILE RUN",
        ("forecast", "score", str(sealed_file), str(runs / "atto")): "none of the runs is of a model that .* forecasts",
        ("forecast", "score", str(runs / "nano" / "results.json"), nano): "not a sealed forecast",
        ("forecast", str(tmp_path / "gone"), "--at", "N=1B"): "no such run folder",
        ("report", nano, "--out", str(tmp_path / "r"), "--forecasts", str(tmp_path / "gone")): "no such folder",
    }
    for words, message in wrong.items():
        assert main([*words]) == 2, words
        assert re.search(message, capsys.readouterr().err), words


def test_a_report_has_a_ledger_of_sealed_forecasts(runs, sealed_file, tmp_path, capsys):
    folder = tmp_path / "forecasts"
    folder.mkdir()
    (folder / "good.json").write_bytes(sealed_file.read_bytes())
    (folder / "edited.json").write_text(sealed_file.read_text().replace('"sizes": 4', '"sizes": 5'))
    names = [str(runs / name) for name in (*SMALLER, "micro")]
    assert main(["report", *names, "--out", str(tmp_path / "r"), "--forecasts", str(folder)]) == 0
    assert "edited.json: its seal is broken" in capsys.readouterr().err
    text = (tmp_path / "r" / "report.md").read_text()
    ledger = text[text.index("## Sealed forecasts") :].partition("\n## ")[0]
    assert "good.json" in ledger and sealed.read(sealed_file).seal[:12] in ledger and "edited.json" not in ledger
    assert {"sealed.png", "forecasts.svg"} <= {path.name for path in (tmp_path / "r" / "figures").iterdir()}


def test_from_python_the_same_forecast_can_be_sealed(runs, sealed_file, tmp_path):
    forecasts = evalkit.forecast([runs / name for name in SMALLER], at="N=2.56M,D=100M")
    frame = forecasts.to_pandas()
    assert list(frame["predicted"]) == [f.value for s in sealed.read(sealed_file).series for f in s.forecasts]
    assert frame["actual"].isna().all()
    forecasts.seal(tmp_path / "f.json")
    assert sealed.read(tmp_path / "f.json").series == sealed.read(sealed_file).series
    with pytest.raises(UsageError, match="exists already"):
        forecasts.seal(tmp_path / "f.json")


def test_a_data_frame_is_forecast_like_the_table_it_came_from(runs, tmp_path):
    import pandas as pd

    names = [str(runs / name) for name in SMALLER]
    assert main(["import", *names, "--out", str(tmp_path / "t.csv")]) == 0
    [one, other] = [
        evalkit.forecast(source, at="N=2.56M,D=100M").to_pandas()
        for source in (tmp_path / "t.csv", pd.read_csv(tmp_path / "t.csv"))
    ]
    pd.testing.assert_frame_equal(one, other)


def test_bleu_has_a_best_value_although_it_is_no_share():
    model = models.ModelFacts(name="m", parameters=10)
    one = measurements.Measurement(model=model, task="t", family="translation", metric="bleu", value=30.0)
    assert (one.ceiling, observed.observation(one).ceiling) == (None, 100.0)
    assert observed.observation(replace(one, metric="ppl")).ceiling is None


def test_what_is_held_out_is_forecast_without_it(runs):
    selection = select(measurements.read([runs / name for name in (*SMALLER, "micro")])[0])
    result = forecasting.predicted(selection)
    assert result
    content, scored = result
    assert {s.actual.model for s in scored} == {"micro"} and len(scored) == 7
    assert all(p.model != "micro" for series in content.series for p in series.points)
