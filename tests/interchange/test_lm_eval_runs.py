"""lm-evaluation-harness's results and samples as a run folder: real files of version 0.4.13, and our own read back."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from grouped import grouped

from evalkit.cli import main
from evalkit.comparison.comparable import differences
from evalkit.comparison.evidence import read_run
from evalkit.errors import DataError
from evalkit.lm_eval.export import export
from evalkit.lm_eval.imported import import_run
from evalkit.runs.store import open_run

# Written by `lm_eval --model hf --model_args pretrained=models/pico,dtype=float32 --tasks pick,say,page --num_fewshot 0
# --log_samples` on eight made documents; the description of the machine and the paths are cut.
THEIRS = Path(__file__).parent / "lm_eval_0.4.13"


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    return import_run([THEIRS], tmp_path_factory.mktemp("imported") / "run")


def rows(results):
    return {(r.task, r.metric, r.shots): r for r in results if r.source == "model" and not r.level}


def test_values_are_those_in_their_results(imported):
    [path] = THEIRS.glob("results_*.json")
    theirs = json.loads(path.read_text())["results"]
    ours = rows(imported.results)
    assert not imported.left_out and len(ours) == 5
    assert ours["pick", "acc_norm", 0].value == 100 * theirs["pick"]["acc_norm,none"]
    assert ours["say", "exact_match,strict", 0].value == 100 * theirs["say"]["exact_match,strict"]
    assert ours["page", "word_perplexity", 0].value == pytest.approx(theirs["page"]["word_perplexity,none"], rel=1e-9)
    # Of 8 documents 4 are right: the mid-p interval, not 1.96 standard errors.
    assert (ours["pick", "acc", 0].low, ours["pick", "acc", 0].chance) == (pytest.approx(18.4, abs=0.05), 50.0)


def test_the_run_holds_prompts_answers_and_the_model(imported):
    run = open_run(imported.folder)
    assert run.settings["model"]["model"] == "pico" and run.settings["model"]["parameters"] == "129664"
    assert (run.settings["model"]["dtype"], run.settings["imported"]["version"]) == ("float32", "0.4.13")
    records = {(r.cell.task, r.doc_id): r for r in run.records()}
    first = records["pick", "0"]
    assert (first.prompt.contexts, first.continuations) == (("the dog 1 is",), (" red", " a big house"))
    assert first.responses[0].loglikelihood == pytest.approx(-5.633447647094727) and first.cell.seed == 1
    assert set(records["say", "0"].scores) == {"exact_match,strict", "exact_match,loose"}
    assert run.timing["items"] == 24


def test_every_command_reads_it(imported, tmp_path, capsys):
    run = str(imported.folder)
    assert main(["report", run, "--out", str(tmp_path / "report")]) == 0
    assert main(["records", run, "--out", str(tmp_path / "records.csv")]) == 0
    assert len((tmp_path / "records.csv").read_text().splitlines()) == 25
    assert main(["baseline", "save", run, str(tmp_path / "base.json")]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "base.json"), run]) == 0
    assert "identical" in capsys.readouterr().out


def changed(folder: Path, task: str, change):
    """Copy their files with a change to each sample of a task."""
    shutil.copytree(THEIRS, folder)
    [path] = folder.glob(f"samples_{task}_*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_metric_whose_samples_do_not_give_the_reported_value_is_left_out(tmp_path):
    folder = changed(tmp_path / "theirs", "pick", lambda line: line.update(acc=1.0))
    imported = import_run([folder], tmp_path / "run")
    assert imported.left_out == ["pick: acc of the samples is 1, but 0.5 in the results"]
    assert ("pick", "acc", 0) not in rows(imported.results) and ("pick", "acc_norm", 0) in rows(imported.results)
    run = open_run(imported.folder)
    assert run.settings["tasks"]["pick"]["metrics"] == ["acc_norm"]
    assert all("acc" not in record.scores for record in run.records())


@pytest.mark.parametrize("value", [[1.0, 2.0], "right", math.nan, None])
def test_a_value_that_is_no_number_leaves_its_metric_out(tmp_path, value):
    folder = changed(tmp_path / "theirs", "pick", lambda line: line.update(acc=value))
    imported = import_run([folder], tmp_path / "run")
    assert len(imported.left_out) == 1 and imported.left_out[0].startswith("pick: acc is ")


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A run of evalkit with a group, filters, levels, counts of n-grams, shots and seeds, and the same read back."""
    folder = tmp_path_factory.mktemp("there-and-back")
    lines = [{"q": f"the dog {i} is", "c": ["red", "a big house"], "gold": i % 2} for i in range(1, 7)]
    tasks = f"{grouped(folder, lines, metrics=['acc', 'mcc', 'f1'])},world_reading,world_en_fr"
    words = ["--model", "pico", "--tasks", tasks, "--shots", "0,2", "--seeds", "1,2", "--limit", "6", "--no-cache"]
    assert main(["run", *words, "--out", str(folder / "run")]) == 0
    export(folder / "run", folder / "theirs", iterations=0)
    return folder / "run", import_run([folder / "theirs"], folder / "back")


def test_there_and_back_values_intervals_and_counts_are_the_same(ours):
    run, back = ours
    before = {key: r for key, r in rows(open_run(run).results).items() if not math.isnan(r.value)}
    after = rows(back.results)
    assert not back.left_out and before.keys() == after.keys() and len(before) >= 18
    for key, row in before.items():
        numbers = (row.value, row.low, row.high)
        assert (after[key].value, after[key].low, after[key].high) == pytest.approx(numbers, rel=1e-12, nan_ok=True)
        for name in ("n", "units", "family", "protocol", "signature"):
            assert getattr(after[key], name) == getattr(row, name), (key, name)


def test_there_and_back_the_runs_may_be_compared_as_they_are(ours):
    run, back = ours
    assert not list(differences(read_run(run), read_run(back.folder)))


def test_levels_and_seeds_come_back(ours):
    run, back = ours

    def documents(folder):
        return {(r.cell, r.doc_id, r.level, r.cluster, r.prediction) for r in open_run(folder).records()
                if not r.cell.variant}  # fmt: skip

    assert {key[:4] for key in documents(back.folder)} == {key[:4] for key in documents(run)}


def test_what_cannot_be_one_run(ours, tmp_path):
    run, _ = ours
    with pytest.raises(DataError, match=r"several models \(.*pico"):
        shutil.copytree(THEIRS, tmp_path / "theirs")
        [path] = (tmp_path / "theirs").glob("results_*.json")
        path.write_text(path.read_text().replace("models/pico", "models/other"))
        import_run([THEIRS, tmp_path / "theirs"], tmp_path / "run")
    shutil.copytree(THEIRS, tmp_path / "again")
    with pytest.raises(DataError, match=r"pick at 0 shots is in .* and in .*; import one of them"):
        import_run([THEIRS, tmp_path / "again"], tmp_path / "run")
    with pytest.raises(DataError, match="no results file of lm-evaluation-harness"):
        import_run([run], tmp_path / "run")
    with pytest.raises(DataError, match=r"there is no file or folder .*nowhere"):
        import_run([THEIRS, tmp_path / "nowhere"], tmp_path / "run")
    for path in (tmp_path / "again").glob("samples_*"):
        path.unlink()
    with pytest.raises(DataError, match="--log_samples"):
        import_run([tmp_path / "again"], tmp_path / "run")


def test_the_command(tmp_path, capsys):
    assert main(["import", str(THEIRS), "--run", str(tmp_path / "run")]) == 0
    assert "stored in" in capsys.readouterr().out
    assert main(["import", str(THEIRS), "--run", str(tmp_path / "b"), "--map", "model=x"]) == 2
    with pytest.raises(SystemExit, match="2"):
        main(["import", str(THEIRS)])
