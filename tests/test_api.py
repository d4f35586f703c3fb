"""The Python API: the same runs as the command line's, from notebooks, threads and training loops."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch

import evalkit
from evalkit.cli import main
from evalkit.errors import CheckpointError, DataError, UsageError
from evalkit.harness.task import FAMILIES
from tests.engine.test_live import Bigrams

ROWS = [{"country": c, "capital": k} for c, k in [("France", "Paris"), ("Italy", "Rome"), ("Spain", "Madrid")]]
QUERY = "Q: What is the capital of {country}?\nA:"
TASKS = ["world_pronouns", "world_lm", "world_qa"]


@pytest.fixture
def capitals():
    return evalkit.task_from_rows("capitals", ROWS, query=QUERY, answer="capital")


def test_everything_named_can_be_had_and_is_documented():
    for name in set(evalkit.__all__) - {"__version__"}:
        assert getattr(evalkit, name).__doc__, name
    assert sorted(evalkit.__all__) == evalkit.__all__ and set(evalkit.__all__) <= set(dir(evalkit))
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        evalkit.evaluat  # noqa: B018


def test_importing_takes_neither_torch_nor_long():
    code = "import sys, evalkit; sys.exit(any(name in sys.modules for name in ('torch', 'pandas', 'numpy')))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_is_that_of_the_command_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = evalkit.evaluate("pico", TASKS, shots=[0, 2], limit=10, out="api")
    command = "run --model pico --tasks world_pronouns,world_lm,world_qa --shots 0,2 --limit 10".split()
    assert main([*command, "--out", "cli"]) == 0
    for name in ("results.json", "records.jsonl"):
        assert (tmp_path / "api" / name).read_bytes() == (tmp_path / "cli" / name).read_bytes()
    assert main(command) == 0  # the usual folder is the same too
    assert evalkit.evaluate("pico", TASKS, shots=[0, 2], limit=10).folder in Path("runs").iterdir()
    assert run.folder == Path("api") and len(list(Path("runs").iterdir())) == 1


def test_results_are_a_table_a_frame_and_a_sequence(tmp_path):
    run = evalkit.evaluate("pico", ["world_qa"], limit=10, out=tmp_path / "run")
    frame = run.results.to_pandas()
    assert set(frame["task"]) == {"world_qa"} and len(frame) == len(run.results)
    assert frame["value"].iloc[0] == run.results[0].value
    assert "world_qa" in repr(run) and str(tmp_path / "run") in repr(run)
    assert run._repr_html_().count("<tr>") == run.results.to_markdown().count("\n|")
    assert [r.doc_id for r in run.records(task="world_qa", shots=0)]
    with pytest.raises(UsageError, match="unknown task 'world_qq' in this run"):
        run.records(task="world_qq")
    with pytest.raises(UsageError, match="unknown number of shots '3' in this run"):
        run.records(shots=3)


def test_a_live_module_scores_as_the_same_weights_in_a_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    from evalkit.model import resolve

    folder = resolve.path_of("pico")
    module = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    module.train()
    model = evalkit.open_model(module, tokenizer="pico")
    live = evalkit.evaluate(model, TASKS, limit=8, out=tmp_path / "live")
    named = evalkit.evaluate("pico", TASKS, limit=8, out=tmp_path / "named")
    for ours, theirs in zip(live.results, named.results, strict=True):
        assert ours.value == pytest.approx(theirs.value, rel=1e-4) or (ours.value != ours.value)
    assert module.training


def test_a_module_is_read_anew_at_each_evaluation(tmp_path):
    from evalkit.engine.encoders import encoder_of

    tokenizer = encoder_of("pico")
    module = Bigrams(tokenizer.size)
    model = evalkit.open_model(module, tokenizer=tokenizer, context_length=128)
    tasks = evalkit.load_tasks("world_lm", limit=2)
    first = evalkit.evaluate(model, tasks, out=tmp_path / "1")
    with torch.no_grad():
        module.table.weight *= 2
    second = evalkit.evaluate(model, tasks, out=tmp_path / "2")
    assert first.results[0].value != second.results[0].value
    with pytest.raises(evalkit.EvalkitError, match="holds a run with other settings"):
        evalkit.evaluate(model, tasks, out=tmp_path / "1")


@pytest.fixture
def bigrams():
    """A module, and what evaluate() takes for it."""
    from evalkit.engine.encoders import encoder_of

    tokenizer = encoder_of("pico")
    module = Bigrams(tokenizer.size)
    return module, evalkit.open_model(module, tokenizer=tokenizer, context_length=128)


def test_steps_within_a_time_score_the_same_documents_and_compare_in_pairs(tmp_path, bigrams, monkeypatch):
    module, model = bigrams
    runs = []
    for step in range(3):
        with torch.no_grad():
            module.table.weight.mul_(1 + step)
        # Names and settings: the tasks are loaded and the subset is chosen at the first call alone.
        runs.append(evalkit.evaluate(model, TASKS[:2], shots=[0, 1], seconds=0.1, out=tmp_path / str(step)))
        monkeypatch.setattr("evalkit.harness.affordable._seconds_per_document", None)
        monkeypatch.setattr("evalkit.api.load_tasks", None)
    documents = [{(r.cell, r.doc_id) for r in run.records()} for run in runs]
    assert documents[0] == documents[1] == documents[2] and set(runs[0].limit) <= set(TASKS)
    assert {r.n for r in runs[0].results if r.task == "world_lm" and not r.level} == {runs[0].limit["world_lm"]}
    assert "world_lm 0-shot ppl_word" in evalkit.compare(runs[0], runs[2]).verdicts


def test_a_subset_is_given_again_by_its_numbers(tmp_path, bigrams):
    tasks = evalkit.load_tasks(TASKS[:2])
    first = evalkit.evaluate(bigrams[1], tasks, seconds=0.1, out=tmp_path / "first")
    again = evalkit.evaluate("pico", TASKS[:2], limit=first.limit, out=tmp_path / "again")
    assert [r.doc_id for r in again.records()] and again.limit == first.limit
    assert {(r.cell, r.doc_id) for r in again.records()} == {(r.cell, r.doc_id) for r in first.records()}
    assert evalkit.evaluate("pico", tasks, seconds=0.1, out=tmp_path / "other").limit == first.limit
    with pytest.raises(UsageError, match="unknown task 'world_lmm' in limit; did you mean 'world_lm'"):
        evalkit.load_tasks(TASKS, limit={"world_lmm": 3})
    with pytest.raises(UsageError, match="seconds must be a number above 0, not 0"):
        evalkit.evaluate("pico", tasks, seconds=0)


def test_the_weights_of_a_module_are_hashed_once_in_an_evaluation(tmp_path, bigrams, monkeypatch):
    from evalkit.engine import live

    hashed = []
    monkeypatch.setattr(live, "_content_hash", lambda *_: hashed.append(1) or "0")
    evalkit.evaluate(bigrams[1], TASKS, limit=2, out=tmp_path / "run")
    assert len(hashed) == 1


def test_it_works_in_a_thread(tmp_path):
    model, found = evalkit.open_model("pico"), []
    thread = threading.Thread(
        target=lambda: found.append(evalkit.evaluate(model, ["world_lm"], limit=6, out=tmp_path / "thread"))
    )
    thread.start()
    thread.join()
    assert found and found[0].results[0].n == 6
    assert evalkit.evaluate(model, ["world_lm"], limit=6, out=tmp_path / "main").results[0] == found[0].results[0]


def test_a_benchmark_of_rows_is_asked_as_written(tmp_path, capitals):
    run = evalkit.evaluate("pico", [capitals, "world_lm"], shots=[0, 1], limit=3, out=tmp_path / "run")
    asked = {r.doc_id: r.prompt.contexts[0] for r in run.records(task="capitals", shots=0)}
    assert asked["0"] == "Q: What is the capital of France?\nA:"
    [one] = [r for r in run.records(task="capitals", shots=1) if r.doc_id == "2"]
    assert one.prompt.contexts[0] in [
        f"Q: What is the capital of {c}?\nA: {k}\n\nQ: What is the capital of Spain?\nA:"
        for c, k in (("France", "Paris"), ("Italy", "Rome"))
    ]


@pytest.mark.parametrize("answers", [["Paris", "Rome", "Madrid"], [0, 1, 2], [0.0, 1.0, 2.0], ["0", "1", "2"]])
def test_choices_are_named_by_text_or_number(tmp_path, answers):
    frame = pd.DataFrame([{**row, "capital": answer} for row, answer in zip(ROWS, answers, strict=True)])
    task = evalkit.task_from_rows("capitals", frame, query=QUERY, answer="capital", choices=["Paris", "Rome", "Madrid"])
    run = evalkit.evaluate("pico", task, out=tmp_path / "run")
    assert {r.doc_id: r.gold for r in run.records()} == {"0": "Paris", "1": "Rome", "2": "Madrid"}
    assert {r.continuations for r in run.records()} == {(" Paris", " Rome", " Madrid")}


def test_a_row_whose_answer_is_no_choice_fails_and_the_others_count(tmp_path):
    rows = [*ROWS, {"country": "Norway", "capital": "Oslo "}]
    task = evalkit.task_from_rows("capitals", rows, query=QUERY, answer="capital", choices=["Paris", "Rome", "Madrid"])
    result = evalkit.evaluate("pico", task, out=tmp_path / "run").results[0]
    assert (result.n, result.failed) == (3, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": "{contry}?"}, "unknown column 'contry' in the template .* did you mean 'country'"),
        ({"query": "{country"}, "not valid for str.format"),
        ({"answer": "capitol"}, "unknown column 'capitol' for answer .* did you mean 'capital'"),
        ({"choices": "options"}, "unknown column 'options' for choices"),
        ({"family": "geography"}, "unknown family"),
        ({"cluster": "passage"}, "unknown column 'passage' for cluster"),
    ],
)
def test_what_the_rows_do_not_have_is_an_error(change, message):
    with pytest.raises(UsageError, match=message):
        evalkit.task_from_rows("capitals", ROWS, **{"query": QUERY, "answer": "capital", **change})


def test_no_rows_are_an_error():
    with pytest.raises(DataError, match="no rows"):
        evalkit.task_from_rows("capitals", [], query=QUERY, answer="capital")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evalkit.open_model(3), "neither a name, a folder nor a torch module|needs its tokenizer"),
        (lambda: evalkit.open_model(torch.nn.Linear(2, 2)), "needs its tokenizer"),
        (lambda: evalkit.open_model("pico", context_length=8), "belong to a live module"),
        (lambda: evalkit.open_model("pico", dtype="fp8"), "unknown dtype 'fp8'"),
        (lambda: evalkit.open_model("pikko"), "unknown model 'pikko'; did you mean 'pico'"),
        (lambda: evalkit.open_model(""), "an empty name of a model or tokenizer"),
        (lambda: evalkit.open_model("pico", stride=1.5), "--stride must be a whole number, not 1.5"),
        (lambda: evalkit.open_model("pico", batch_tokens="8"), "--batch-tokens must be a whole number, not '8'"),
        (lambda: evalkit.evaluate("pico", "world_qa", limit=2.5), "--limit must be a whole number, not 2.5"),
        (lambda: evalkit.evaluate("pico", "world_qa", limit=True), "--limit must be a whole number, not True"),
        (lambda: evalkit.evaluate("pico", "world_qa", limit={"world_qa": "3"}), "limit of world_qa must be a whole"),
        (lambda: evalkit.evaluate("pico", "world_qa", seeds=["a"]), "each of --seeds must be a whole number, not 'a'"),
        (lambda: evalkit.evaluate(torch.nn.Linear(2, 2)), "is not a model; open it first"),
        (lambda: evalkit.evaluate("pico", [3]), "3 is neither a name, a path nor a Task"),
        (lambda: evalkit.evaluate("pico", "world_qq"), "unknown task 'world_qq'"),
        (lambda: evalkit.evaluate("pico", "world_qa", shots=["many"]), "expected whole numbers or 'paper', not 'many'"),
        (lambda: evalkit.evaluate("pico", evalkit.load_tasks("world_lm", limit=1), limit=2), "already have settings"),
    ],
)
def test_wrong_values_are_one_clear_error(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_a_missing_folder_is_an_error():
    with pytest.raises(CheckpointError, match=r"no checkpoint file or folder \./gone"):
        evalkit.open_model("./gone")


def test_two_runs_are_compared(tmp_path):
    runs = [evalkit.evaluate("pico", ["world_pronouns", "world_qa"], limit=12, out=tmp_path / name) for name in "ab"]
    comparison = evalkit.compare(*runs, margin=1.0)
    assert {"world_pronouns 0-shot acc", "world_qa 0-shot exact_match"} <= set(comparison.verdicts)
    assert list(comparison.to_pandas()["verdict"]) == list(comparison.verdicts.values())
    assert "world_qa" in comparison._repr_html_()
    for margin in (-1.0, {"world_qa": "2"}, float("nan")):
        with pytest.raises(UsageError, match=r"expected points such as 1.0, not below 0"):
            evalkit.compare(*runs, margin=margin)
    assert evalkit.compare(tmp_path / "a", str(tmp_path / "b"), margin={"world_qa": 2}).verdicts.keys()


def test_held_out_sizes_are_forecast_beside_what_was_measured(tmp_path):
    tasks = evalkit.load_tasks(["world_cloze"], limit=10)
    runs = [evalkit.evaluate(name, tasks, out=tmp_path / name) for name in ("pico", "nano", "micro", "mini")]
    forecasts = evalkit.forecast(runs, predict=["mini"])
    frame = forecasts.to_pandas()
    assert set(frame["model"]) == {"mini"} and set(frame["task"]) == {"world_cloze"}
    assert frame["error"].iloc[0] == pytest.approx(frame["predicted"].iloc[0] - frame["actual"].iloc[0])
    assert frame["actual"].iloc[0] == pytest.approx(runs[3].results[0].value)
    assert "mini" in repr(forecasts) and "<table" in forecasts._repr_html_()
    assert "three sizes" in repr(evalkit.forecast(runs[0]))
    with pytest.raises(UsageError, match="no such run folder"):
        evalkit.forecast(tmp_path / "gone")


class Length(evalkit.Metric):
    """Mean number of letters of what was generated."""

    name = "length"

    def statistics(self, example, responses):
        return (float(len(responses[0].text)),)


def test_what_is_registered_is_known_everywhere(tmp_path, capitals, monkeypatch):
    evalkit.register_metric("length", Length)
    evalkit.register_family("geography", "capitals and rivers")
    evalkit.register_model("my-pico", lambda: "pico")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "rivers.py").write_text(
        "import evalkit\n"
        "TASKS = (evalkit.task_from_rows('rivers', [{'q': 'a', 'a': 'b'}], query='{q}', answer='a',\n"
        "         metrics=['length'], family='geography'),)\n"
    )
    evalkit.register_tasks("mine", tmp_path / "tasks")
    try:
        run = evalkit.evaluate("my-pico", ["rivers"], out=tmp_path / "run")
        assert (run.results[0].metric, run.results[0].family, run.results[0].model) == (
            "length",
            "geography",
            "my-pico",
        )
        assert "geography" in repr(run)
        assert main(["run", "--model", "my-pico", "--tasks", "geography", "--out", str(tmp_path / "cli")]) == 0
        with pytest.raises(UsageError, match="evalkit's own"):
            evalkit.register_metric("acc", Length)
    finally:
        from evalkit.engine.open import MODELS
        from evalkit.harness.catalog import TASK_FOLDERS
        from evalkit.metrics import METRICS

        for registry in (MODELS, TASK_FOLDERS, METRICS, FAMILIES):
            registry._added.clear()
