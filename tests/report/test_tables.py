"""Long tables of anyone: what is recognised, mapped and refused, and what `evalkit import` makes of every source."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from evalkit.cli import main
from evalkit.errors import DataError, UsageError
from evalkit.report import measurements
from evalkit.report.imports import tables
from evalkit.report.imports.columns import COLUMNS
from evalkit.report.imports.layout import Layout
from evalkit.report.selection import select

LONG = """model,family,params,tokens,flops,step,seed,task,metric,value,n,standard error,loss,num_fewshot
a,mine,70M,300B,1.3e20,1000,0,arc_easy,acc,0.375,2376,0.0099,3.1,0
b,mine,1.4e9,300B,,1000,0,arc_easy,acc,0.606,2376,,2.4,0
b,mine,,,,500,0,lambada_openai,perplexity,6.09,,0.16,,5
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_long_table_carries_size_tokens_compute_step_seed_loss_and_noise(tmp_path):
    [a, b, c], faults = tables.read(written(tmp_path / "t.csv", LONG))
    assert faults == []
    facts = a.model
    assert (facts.name, facts.family, facts.parameters, facts.tokens) == ("a", "mine", 70_000_000, 300_000_000_000)
    assert (facts.flops, facts.step, facts.seed, facts.loss) == (1.3e20, 1000, 0, 3.1)
    assert (a.task, a.family, a.metric, a.shots, a.n) == ("arc_easy", "qa", "acc", 0, 2376)
    assert (a.value, a.stderr, a.chance, a.ceiling) == (37.5, pytest.approx(0.99), 25.0, 100.0)
    # Without a standard error, that of a share of n trials.
    assert b.stderr == pytest.approx(100 * math.sqrt(0.606 * 0.394 / 2376), rel=0.01)
    # A model has one size; another checkpoint has tokens and a loss of its own.
    assert (c.model.parameters, c.model.tokens, c.model.loss) == (1_400_000_000, None, None)
    assert (c.value, c.ceiling, c.higher_is_better, c.shots) == (6.09, None, False, 5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,mine,big,,,,,t,acc,0.5,,,,", "line 5, column params: 'big' is not a number above 0, such as 1400000000"),
        ("a,mine,,-3,,,,t,acc,0.5,,,,", "line 5, column tokens: '-3' is not a number of at least 0"),
        ("a,mine,,,,1.5,,t,acc,0.5,,,,", "line 5, column step: '1.5' is not a whole number of at least 0"),
        ("a,mine,,,,,,t,acc,high,,,,", "line 5, column value: 'high' is not a number"),
        ("a,mine,,,,,,t,acc,-0.1,,,,", "line 5, column value: -0.1 is not a number from 0 to 1"),
        ("a,mine,,,,,,t,acc,inf,,,,", "line 5, column value: 'inf' is not a number"),
        ("a,mine,,,,,,t,acc,0.5,,-1,,", "line 5, column standard error: '-1.0' is not a number of at least 0"),
        (",mine,,,,,,t,acc,0.5,,,,", "line 5, column model: is empty; expected a name"),
        (
            "a,mine,80M,,,,0,t,acc,0.5,,,,",
            "line 5, column parameters: 8e[+]07 is not 7e[+]07, which line 2 says of the ",
        ),
        (
            "a,mine,,,,1000,0,t,acc,0.5,,,3.2,",
            "line 5, column loss: 3.2 is not 3.1, which line 2 says of the same check",
        ),
        (
            "a,mine,,,,1000,0,arc_easy,acc,0.5,,,,0",
            "line 5, column value: 0.5 is not 0.375, which line 2 says of the s",
        ),
        ("a,mine", "line 5: expected 14 fields, found 2"),
    ],
)
def test_a_wrong_cell_is_named_by_file_line_column_and_what_is_allowed(tmp_path, line, message):
    path = written(tmp_path / "t.csv", f"{LONG}{line}\n")
    with pytest.raises(DataError, match=rf"t\.csv {message}"):
        tables.measured(path)
    assert measurements.read([path])[1][0].reason.startswith(str(path))


def test_what_no_column_says_is_asked_for(tmp_path):
    path = written(tmp_path / "t.csv", "name,task,score\nx,t,0.5\n")
    with pytest.raises(DataError, match=r"no column metric or model, only name, .*--map metric=HEADER"):
        tables.read(path)
    layout = Layout(names={"model": "name"}, constants={"metric": "acc"})
    [measurement], _ = tables.read(path, layout)
    assert (measurement.model.name, measurement.metric, measurement.value) == ("x", "acc", 50.0)
    for wrong in (Layout(names={"modle": "name"}), Layout(names={"model": "nam"})):
        with pytest.raises(UsageError, match="did you mean"):
            tables.read(path, wrong)


def test_shares_are_percentages_where_a_value_is_above_one_or_the_ceiling_says_so(tmp_path):
    head = "model,task,metric,value,ceiling\n"
    low, high = tables.measured(written(tmp_path / "a.csv", f"{head}a,t,acc,0.9,\nb,t,acc,45,\n"))
    assert (low.value, high.value, high.ceiling) == (0.9, 45.0, 100.0)
    [share] = tables.measured(written(tmp_path / "b.csv", f"{head}a,t,win_rate,0.25,1\n"))
    assert (share.value, share.ceiling, share.unit) == (25.0, 100.0, "%")
    [points] = tables.measured(written(tmp_path / "c.csv", f"{head}a,t,judge,7.5,10\n"))
    assert (points.value, points.ceiling, points.scale) == (7.5, 10.0, 1.0)


def test_a_metric_that_may_be_negative_is_no_share(tmp_path):
    table = written(tmp_path / "m.csv", "model,task,metric,value\na,t,mcc,-0.1\nb,t,mcc,0.4\n")
    assert [(m.value, m.ceiling) for m in tables.measured(table)] == [(-0.1, None), (0.4, None)]


WIDE = """"Name","params","train/tokens","eval/arc_easy/acc","eval/arc_easy/acc_stderr","eval/hellaswag/acc_norm","lr"
"small","10M","1B",0.30,0.02,0.26,0.1
"large","20M","2B",0.40,0.01,,0.1
"""


def test_a_wide_table_becomes_a_long_one_by_a_pattern(tmp_path):
    layout = Layout(names={"model": "Name", "tokens": "train/tokens"}, wide=("eval/{task}/{metric}",))
    found, faults = tables.read(written(tmp_path / "w.csv", WIDE), layout)
    assert not faults
    assert [(m.model.name, m.model.tokens, m.task, m.metric, m.value) for m in found] == [
        ("small", 10**9, "arc_easy", "acc", 30.0),
        ("small", 10**9, "hellaswag", "acc_norm", 26.0),
        ("large", 2 * 10**9, "arc_easy", "acc", 40.0),  # no cell, no value
    ]
    assert [m.stderr for m in found][::2] == [pytest.approx(2.0), pytest.approx(1.0)]


def test_a_chart_of_wandb_names_the_model_in_its_headers(tmp_path):
    text = (
        '"Step","run-a - eval/arc_easy_acc_norm","run-a - eval/arc_easy_acc_norm__MIN","run-b - eval/arc_easy_acc_norm"'
    )
    path = written(tmp_path / "chart.csv", f"{text}\n100,0.3,0.3,0.35\n200,0.4,0.4,\n")
    found, _ = tables.read(path, Layout(wide=("{model} - eval/{task}_{metric}",)))
    assert [(m.model.name, m.model.step, m.task, m.metric) for m in found] == [
        ("run-a", 100, "arc_easy", "acc_norm"), ("run-b", 100, "arc_easy", "acc_norm"),
        ("run-a", 200, "arc_easy", "acc_norm"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("eval/{tsk}", "unknown column 'tsk'; did you mean 'task'"),
        ("eval/x", "expected a pattern such as eval/{task}/{metric}"),
        ("train-{task}", "fits none of the headers Name, params"),
    ],
)
def test_a_pattern_that_cannot_be_is_refused(tmp_path, pattern, message):
    with pytest.raises(UsageError, match=message):
        tables.read(written(tmp_path / "w.csv", WIDE), Layout(names={"model": "Name"}, wide=(pattern,)))


def test_a_data_frame_is_a_table(tmp_path):
    path = written(tmp_path / "t.csv", LONG)
    assert [m.value for m in tables.from_frame(pd.read_csv(path))] == [m.value for m in tables.measured(path)]
    with pytest.raises(DataError, match="data frame row 0, column value: 'x' is not a number"):
        tables.from_frame(pd.DataFrame([{"model": "a", "task": "t", "metric": "acc", "value": "x"}]))


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_import_writes_a_table_that_says_the_same_when_it_is_read_again(tmp_path, ending):
    source = written(tmp_path / "t.csv", LONG)
    first, again = tmp_path / f"one.{ending}", tmp_path / "again.csv"
    assert main(["import", str(source), "--out", str(first)]) == 0
    assert main(["import", str(first), "--out", str(again)]) == 0
    assert main(["import", str(source), "--out", str(tmp_path / "direct.csv")]) == 0
    assert again.read_text() == (tmp_path / "direct.csv").read_text()
    assert rows_of(again)[0] | {"value": "37.5", "ceiling": "100", "parameters": "70000000"} == rows_of(again)[0]


def test_import_writes_nothing_and_lists_every_fault_where_there_is_one(tmp_path, capsys):
    bad = written(tmp_path / "bad.csv", f"{LONG}a,mine,,,,x,,t,acc,y,,,,\n")
    assert main(["import", str(bad), "--out", str(tmp_path / "out.csv")]) == 2
    errors = capsys.readouterr().err
    assert "line 5, column step: 'x'" in errors
    assert "line 5, column value: 'y'" in errors
    assert "nothing was written: 2 faults" in errors
    assert not (tmp_path / "out.csv").exists()


def test_import_of_runs_and_of_a_reports_own_table_agree(runs, report, tmp_path):
    assert main(["import", *(str(runs / name) for name in ("nano", "micro")), "--out", str(tmp_path / "runs.csv")]) == 0
    assert main(["import", str(report / "results.csv"), "--out", str(tmp_path / "report.csv")]) == 0

    def values(path: Path) -> dict[tuple[str, ...], list[float]]:
        names = ("model", "family", "parameters", "tokens", "step", "seed", "task", "shots", "metric", "task_family")
        return {
            tuple(row[name] for name in names): [float(row[name]) for name in ("value", "stderr", "compute", "loss")]
            for row in rows_of(path)
        }

    ours, theirs = values(tmp_path / "runs.csv"), values(tmp_path / "report.csv")
    assert all(numbers == pytest.approx(theirs[key], rel=1e-4) for key, numbers in ours.items())
    assert len(ours) == 14  # two models, two tasks at three numbers of shots and one at none


LM_EVAL = {
    "results": {"arc_easy": {"acc,none": 0.41, "acc_stderr,none": 0.01, "alias": "arc_easy"}},
    "config": {"model_args": "pretrained=org/llm-1b,revision=step2000", "model_num_parameters": 1_100_000_000},
    "n-shot": {"arc_easy": 0},
}


def test_results_of_lm_eval_take_what_they_lack_from_a_table_of_models(tmp_path):
    source = written(tmp_path / "results.json", json.dumps(LM_EVAL))
    models = written(tmp_path / "m.csv", "model,step,tokens,compute,seed,family,loss\nllm-1b,2000,4B,2e19,1,llm,2.9\n")
    out = tmp_path / "t.csv"
    assert main(["import", str(source), "--models", str(models), "--out", str(out)]) == 0
    [row] = rows_of(out)
    about = {"parameters": "1100000000", "tokens": "4000000000", "compute": "2e+19", "step": "2000", "seed": "1"}
    assert row | about | {"family": "llm", "loss": "2.9", "value": "41", "stderr": "1"} == row


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,tokens\nllm-2b,1B\n", "unknown model 'llm-2b' in .*m.csv; did you mean 'llm-1b'"),
        ("model,tokens\nllm-1b,many\n", "m.csv line 2, column tokens: 'many' is not a number"),
        ("name,x\nllm-1b,1\n", "expected a column model and at least one of family, parameters"),
    ],
)
def test_a_wrong_table_of_models_is_refused(tmp_path, capsys, text, message):
    source = written(tmp_path / "results.json", json.dumps(LM_EVAL))
    models = written(tmp_path / "m.csv", text)
    assert main(["import", str(source), "--models", str(models), "--out", str(tmp_path / "t.csv")]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_report_is_made_from_a_table_as_from_runs(runs, tmp_path):
    assert main(["import", str(runs), "--out", str(tmp_path / "t.csv")]) == 2  # a stopped and a broken run
    names = [str(path) for path in sorted(runs.iterdir()) if path.name not in ("stopped", "broken")]
    assert main(["import", *names, "--out", str(tmp_path / "t.csv")]) == 0
    assert main(["report", str(tmp_path / "t.csv"), "--out", str(tmp_path / "out")]) == 0
    assert "predictions" in (tmp_path / "out" / "tables.tex").read_text()
    selection = select(tables.measured(tmp_path / "t.csv"))
    assert selection.sizes == ["atto", "femto", "pico", "nano", "micro"]
    assert {len(series.points) for series in selection.series} == {5}  # checkpoints are not ends


def test_checkpoints_without_steps_are_told_apart_by_their_tokens(tmp_path):
    text = "model,parameters,tokens,task,metric,value\n"
    text += "".join(
        f"{m},{n},{t},t,acc,{v}\n" for m, n, t, v in (("a", 10, 1, 0.1), ("a", 10, 2, 0.2), ("b", 20, 2, 0.3))
    )
    selection = select(tables.measured(written(tmp_path / "t.csv", text)))
    assert [m.value for m in selection.final] == [20.0, 30.0]


def test_two_trainings_of_one_size_in_one_table_stay_two(tmp_path):
    text = "model,parameters,tokens,task,metric,value\na,10,2,t,acc,0.1\nb,10,2,t,acc,0.3\n"
    assert len(select(tables.measured(written(tmp_path / "t.csv", text))).final) == 2


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", "x" * 300, "nul\0", "=1+1", "ü m"])
def test_any_name_of_a_model_will_do(tmp_path, name):
    frame = pd.DataFrame(
        [{"model": n, "parameters": 10, "task": "t", "metric": "acc", "value": 0.5} for n in (name, "b")]
    )
    found = tables.from_frame(frame)
    assert [m.model.name for m in select(found).final] == [name, "b"]
    tables.write(tmp_path / "t.csv", tables.rows(found))
    again = measurements.read([tmp_path / "t.csv"])[0]
    assert again[0].model.name == name.replace("\0", "\N{REPLACEMENT CHARACTER}") and len(again) == 2


def test_the_documentation_lists_every_column():
    page = (Path(__file__).parents[2] / "docs" / "forecasts.md").read_text(encoding="utf-8")
    for column in COLUMNS.values():
        assert f"| `{column.name}` |" in page
        assert " ".join(column.meaning.split()) in " ".join(page.split())
