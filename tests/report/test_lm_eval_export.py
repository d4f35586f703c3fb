"""Export in lm-evaluation-harness's layout: what is written, and that it is read back with the same numbers."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from evalkit.cli import main
from evalkit.lm_eval import export as lm_eval_export
from evalkit.lm_eval import results as lm_eval
from evalkit.lm_eval.export import export
from evalkit.lm_eval.samples import read_samples, sample_files
from evalkit.report import measurements
from evalkit.runs.store import read_records
from evalkit.types import Result


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of task files of lm-eval (a choice with a group, filters, whole texts) and of evalkit's own tasks."""
    folder = tmp_path_factory.mktemp("exported")
    made = folder / "made"
    made.mkdir()
    rows = [{"q": f"the dog {i} is", "c": ["red", "a big house"], "gold": i % 2, "page": "the dog " * i} for i in
            range(1, 9)]  # fmt: skip
    (made / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {made / 'rows.jsonl'}}}}}\ntest_split: test\n"
    choice = 'doc_to_text: "{{q}}"\ndoc_to_target: "{{gold}}"\ndoc_to_choice: "{{c}}"\noutput_type: multiple_choice\n'
    metrics = "metric_list: [{metric: acc}, {metric: acc_norm}]\nmetadata: {version: 3}\n"
    (made / "pick.yaml").write_text(f"task: pick\n{data}{choice}{metrics}")
    (made / "all.yaml").write_text(
        "group: everything\ntask: [pick]\naggregate_metric_list: [{metric: acc}, {metric: acc_norm}]\n"
    )
    (made / "say.yaml").write_text(
        f'task: say\n{data}doc_to_text: "{{{{q}}}}"\ndoc_to_target: "{{{{c[0]}}}}"\n'
        'generation_kwargs: {until: ["\\n"], max_gen_toks: 4}\nmetric_list: [{metric: exact_match}]\n'
        "filter_list:\n- {name: strict, filter: [{function: take_first}]}\n"
        "- {name: loose, filter: [{function: lowercase}, {function: take_first}]}\n"
    )
    (made / "page.yaml").write_text(
        f'task: page\n{data}output_type: loglikelihood_rolling\ndoc_to_text: ""\ndoc_to_target: "{{{{page}}}}"\n'
        "metric_list: [{metric: word_perplexity}]\n"
    )
    tasks = ",".join([*(str(made / f"{name}.yaml") for name in ("all", "say", "page")), "world_cloze", "world_en_fr"])
    words = ["run", "--model", "pico", "--tasks", tasks, "--shots", "0,2", "--limit", "8", "--no-cache"]
    assert main([*words, "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run):
    return export(run, run.parent / "out")


def results_of(exported):
    return [json.loads(path.read_text()) for path in exported.files if path.name.startswith("results_")]


def test_one_file_of_results_for_each_number_of_shots(exported):
    none, two = results_of(exported)
    assert none["n-shot"] == {"pick": 0, "everything": 0, "say": 0, "page": 0, "world_cloze": 0, "world_en_fr": 0}
    assert two["n-shot"] == {"pick": 2, "everything": 2, "say": 2, "world_cloze": 2, "world_en_fr": 2}
    assert none["group_subtasks"] == {"everything": ["pick"]}
    assert none["groups"]["everything"] == none["results"]["everything"]
    assert (none["versions"]["pick"], none["n-samples"]["pick"]) == (3, {"original": 8, "effective": 8})
    assert none["configs"]["pick"]["output_type"] == "multiple_choice" and two["configs"]["pick"]["num_fewshot"] == 2
    assert set(none["results"]["say"]) >= {"exact_match,strict", "exact_match_stderr,loose"}
    assert none["results"]["page"]["word_perplexity_stderr,none"] == "N/A"
    assert "acc_norm,none" in none["results"]["world_cloze"] and exported.folder.name == "pico"


def test_the_training_of_the_model_comes_along(run, exported):
    [ours] = {m.model for m in measurements.read([run])[0]}
    [theirs] = {m.model for m in measurements.read([exported.folder])[0]}
    names = ("name", "family", "parameters", "tokens", "flops", "step", "seed", "loss")
    assert [getattr(theirs, name) for name in names] == [getattr(ours, name) for name in names]
    assert ours.tokens and ours.flops and ours.loss


def test_standard_errors_are_those_of_lm_eval(run, exported):
    records = [r for r in read_records(run) if (r.cell.task, r.cell.shots, r.cell.variant) == ("pick", 0, "")]
    values = [r.scores["acc"][0] for r in records]
    row = results_of(exported)[0]["results"]
    assert row["pick"]["acc,none"] == np.mean(values)
    assert row["pick"]["acc_stderr,none"] == pytest.approx(np.std(values, ddof=1) / math.sqrt(8))
    assert row["everything"]["acc_stderr,none"] == row["pick"]["acc_stderr,none"]


def test_results_are_read_back_with_the_same_numbers(run, exported):
    back = {}
    for path in exported.files:
        if path.name.startswith("results_"):
            back |= {(m.task, m.shots, m.metric): m for m in lm_eval.read(json.loads(path.read_text()), path)}
    own, problems = measurements.read([run])
    assert not problems
    names = {"acc_norm": "acc_per_char", "word_perplexity": "ppl_word_lm_eval"}
    own = [m for m in own if m.source == "model" and not m.level]
    assert len(own) == len(back)
    for m in own:
        plain, _, filtered = m.metric.partition(",")
        name = names.get(plain, plain) + (f" ({filtered})" if filtered else "")
        found = back[m.task, m.shots, name]
        assert found.value / found.scale == pytest.approx(m.value / m.scale), (m.task, m.metric)
        assert (found.n, found.higher_is_better) == (m.n, m.higher_is_better)


def test_samples_are_read_back_as_the_records_they_were(run, exported):
    results = next(path for path in exported.files if path.name.startswith("results_"))
    files = sample_files(results)
    assert files.keys() == {"pick", "say", "page", "world_cloze", "world_en_fr"}
    for task, path in files.items():
        ours = {r.doc_id: r for r in read_records(run) if (r.cell.task, r.cell.shots, r.cell.variant) == (task, 0, "")}
        read = list(read_samples(path, task))
        assert {record.doc_id for record in read} == ours.keys()
        for record in read:
            told, mine = record.responses, ours[record.doc_id].responses
            if task in ("say", "world_en_fr"):
                assert [r.text for r in told] == [r.text for r in mine]
            else:
                assert [r.loglikelihood for r in told] == [r.loglikelihood for r in mine]


def test_samples_say_which_option_is_right(exported):
    path = next(path for path in exported.files if path.name.startswith("samples_pick"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["doc_id"] for line in lines] == list(range(8))
    assert [line["target"] for line in lines] == ["1", "0"] * 4
    assert lines[0]["arguments"]["gen_args_1"] == {"arg_0": "the dog 1 is", "arg_1": " a big house"}
    assert lines[0]["metrics"] == ["acc", "acc_norm"] and lines[0]["filter"] == "none"


def test_an_export_is_the_same_each_time(run, exported):
    before = {path: path.read_bytes() for path in exported.files}
    assert export(run, run.parent / "out").files == exported.files
    assert before == {path: path.read_bytes() for path in exported.files}


def test_the_command(run, tmp_path, capsys):
    assert main(["export-results", str(run), "--to", "lm-eval", "--out", str(tmp_path), "--bootstrap-iters", "0"]) == 0
    said = capsys.readouterr().out
    assert f"files in {tmp_path / 'pico'}" in said and "left out:" in said
    (first, *_) = sorted((tmp_path / "pico").glob("results_*"))
    assert json.loads(first.read_text())["results"]["pick"]["acc_stderr,none"] == "N/A"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "lm-evil"], "unknown format 'lm-evil'; did you mean 'lm-eval'?"),
        (["--to", "lm-eval", "--bootstrap-iters", "-1"], "--bootstrap-iters must be at least 0"),
    ],
)
def test_wrong_words(run, capsys, words, message):
    assert main(["export-results", str(run), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_run_that_is_not_finished_is_refused(run, tmp_path, capsys):
    (tmp_path / "manifest.json").write_bytes((run / "manifest.json").read_bytes())
    for folder, message in ((tmp_path, "half-written"), (tmp_path / "none", "there is no run folder")):
        assert main(["export-results", str(folder), "--to", "lm-eval"]) == 2
        assert message in capsys.readouterr().err


def test_a_groups_error_is_over_the_members_that_have_the_metric(monkeypatch):
    def row(task, metric):
        return Result(
            model="m", task=task, family="qa", protocol="lm-eval", shots=0, metric=metric, source="model", level="",
            value=50, low=40, high=60, n=50, failed=0, truncated=0, chance=None, signature="",
        )  # fmt: skip

    errors = {"a": 0.05, "b": 0.07, "c": 0.12}
    monkeypatch.setattr(lm_eval_export, "_error", lambda row, *_, **__: errors[row.task])
    rows = [row("a", "acc"), row("b", "f1"), row("c", "acc"), row("g", "acc")]
    settings = {"tasks": {}, "groups": {"g": {"tasks": ["a", "b", "c"], "metrics": {"acc": "equal"}}}}
    found = lm_eval_export._values(rows, {}, settings, iterations=0)
    assert found["g"]["acc_stderr,none"] == pytest.approx(0.13 / 2)
    errors["c"] = None
    found = lm_eval_export._values(rows, {}, settings, iterations=0)
    assert found["g"]["acc_stderr,none"] == "N/A", "c has the metric, and no error"
