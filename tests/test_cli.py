"""The command line as a user meets it: what is printed, what is stored, and every wrong input."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import transformers

from evalkit.cli import main
from evalkit.data import sources
from evalkit.harness import catalog
from evalkit.model import resolve, weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.runs.store import read_records, read_results
from evalkit.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small untrained model: scores are poor, the way through the house is the same."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = Tokenizer.train(["Q: Who has the red box?\nA: Anna and the dog = le chien " * 3], vocab_size=290)
    model = GPT(GPTConfig(n_layer=1, d_model=16, n_head=2, context=256, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    weights.save(model, tokenizer, folder, record={"note": "untrained"})
    return str(folder)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every command runs from an empty folder, with no data at hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    return tmp_path


def run(*words):
    return main([str(word) for word in words])


def results_bytes(folder):
    return (folder / "results.json").read_bytes()


def test_run_stores_everything_and_prints_the_table(checkpoint, elsewhere, capsys):
    code = run("run", "--model", checkpoint, "--tasks", "world_reading,world_en_fr,world_lm", "--shots", "0,1",
               "--limit", 6, "--out", "out", "--markdown", "table.md")  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0, printed.err
    for words in ("reading", "world_reading", "0-shot", "1-shot", "bleu", "ppl_word", "no_passage", "stored in out"):
        assert words in printed.out
    assert "| world_reading | acc | tiny |" in (elsewhere / "table.md").read_text()
    records = list(read_records(elsewhere / "out"))
    # reading: 2 shots x (plain, no_passage); translation: 2 shots; perplexity has no shots.
    assert len(records) == 6 * (4 + 2 + 1)
    assert {r.key for r in records} == {r.key for r in records} and not any(r.error for r in records)
    results = read_results(elsewhere / "out")
    assert {r.task for r in results} == {"world_reading", "world_en_fr", "world_lm"}
    assert all(f"{r.task}.v1|protocol:plain" in r.signature for r in results)
    manifest = json.loads((elsewhere / "out" / "manifest.json").read_text())
    assert manifest["settings"]["model"]["model"] == "tiny"


@pytest.mark.parametrize("broken", [False, True])
def test_the_manifest_says_how_the_model_came_about(checkpoint, elsewhere, broken):
    shutil.copytree(checkpoint, elsewhere / "trained")
    record = {"step": 5, "tokens": 50, "flops": 1e6, "validation_loss": 2.5}
    record |= {"corpus": {"name": "world", "fingerprint": "f"}}
    record |= {"settings": {"seed": 4}, "validation_stderr": 0.02, "validation_tokens": 900}
    (elsewhere / "trained" / "training.json").write_text(json.dumps(record)[: 20 if broken else None])
    run("run", "--model", elsewhere / "trained", "--tasks", "world_lm", "--limit", 2, "--out", "out")
    manifest = json.loads((elsewhere / "out" / "manifest.json").read_text())
    facts = {"corpus": "world", "step": 5, "tokens": 50, "flops": 1e6, "loss": 2.5, "seed": 4, "fingerprint": "f"}
    facts |= {"loss_stderr": 0.02, "loss_tokens": 900}
    assert manifest["training"] == {} if broken else facts.items() <= manifest["training"].items()
    assert "training" not in manifest["settings"]


def test_where_documents_begin_is_a_part_of_the_settings_and_of_the_caches_keys(checkpoint, elsewhere, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE", str(elsewhere / "cache"))
    words = ["run", "--model", checkpoint, "--tasks", "world_lm", "--limit", "9"]
    found = {}
    for name, more in {"plain": [], "every": ["--begin", "every-window"], "again": ["--begin", "document"]}.items():
        assert run(*words, *more, "--out", name) == 0
        model = json.loads((elsewhere / name / "manifest.json").read_text())["settings"]["model"]
        found[name] = (
            model.get("begin"),
            {r.doc_id: r.responses[0].loglikelihood for r in read_records(elsewhere / name)},
        )
    assert found["plain"] == found["again"] and found["every"][0] == "every-window" and found["plain"][0] is None
    assert found["every"][1] != found["plain"][1]
    with pytest.raises(SystemExit):
        run(*words, "--begin", "nowhere")


def test_overlapping_windows_are_an_option_and_part_of_the_settings(checkpoint, elsewhere, capsys):
    words = ["run", "--model", checkpoint, "--tasks", "world_lm", "--limit", "3", "--no-cache"]
    found = {}
    for stride in ("8", "16"):
        assert run(*words, "--stride", stride, "--out", stride) == 0
        settings = json.loads((elsewhere / stride / "manifest.json").read_text())["settings"]["model"]
        assert settings["stride"] == stride
        found[stride] = [r.responses[0].loglikelihood for r in read_records(elsewhere / stride)]
    assert found["8"] != found["16"]
    for wrong in ("0", "100000"):
        assert run(*words, "--stride", wrong, "--out", "wrong") == 2
        assert "--stride must be at " in capsys.readouterr().err
    assert run(*words, "--stride", "8", "--out", "no whole text", "--tasks", "world_pronouns") == 0
    assert "no effect of --stride: none of the tasks scores whole documents" in capsys.readouterr().err


def test_a_second_start_computes_nothing_and_a_new_run_gives_the_same_bytes(checkpoint, elsewhere):
    words = ["run", "--model", checkpoint, "--tasks", "world_qa,world_summary", "--shots", "1", "--limit", "5"]
    assert run(*words, "--out", "a") == 0
    before = results_bytes(elsewhere / "a")
    records = (elsewhere / "a" / "records.jsonl").read_bytes()
    assert run(*words, "--out", "a", "--resume") == 0
    assert (elsewhere / "a" / "records.jsonl").read_bytes() == records
    assert run(*words, "--out", "b") == 0
    assert before == results_bytes(elsewhere / "a") == results_bytes(elsewhere / "b")
    assert (elsewhere / "b" / "records.jsonl").read_bytes() == records


def test_batch_size_limit_and_neighbours_change_no_score(checkpoint, elsewhere):
    base = ["run", "--model", checkpoint, "--shots", "2"]
    assert run(*base, "--tasks", "world_pronouns,world_lastword,world_fr_en", "--limit", 12, "--out", "a") == 0
    assert run(*base, "--tasks", "world_fr_en,world_pronouns,world_lastword", "--limit", 7, "--out", "b",
               "--batch-tokens", 300) == 0  # fmt: skip
    first = {r.key: r for r in read_records(elsewhere / "a")}
    second = {r.key: r for r in read_records(elsewhere / "b")}
    assert len(second) == 3 * 7 and second.keys() < first.keys()
    for key, record in second.items():
        assert record.prompt == first[key].prompt
        assert record.prediction == first[key].prediction
        for name, statistics in record.scores.items():
            assert statistics == pytest.approx(first[key].scores[name], abs=1e-4)


def test_an_interrupted_run_goes_on(checkpoint, elsewhere):
    words = ["run", "--model", checkpoint, "--tasks", "world_cloze,world_qa", "--limit", "8"]
    assert run(*words, "--out", "whole") == 0
    assert run(*words, "--out", "broken") == 0
    path = elsewhere / "broken" / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:9]) + lines[9][:50])  # killed while writing the tenth
    (elsewhere / "broken" / "results.json").unlink()
    assert run(*words, "--out", "broken") == 0
    assert len(list(read_records(elsewhere / "broken"))) == len(lines)
    keys = [r.key for r in read_records(elsewhere / "broken")]
    assert len(set(keys)) == len(keys)
    assert results_bytes(elsewhere / "broken") == results_bytes(elsewhere / "whole")


def test_several_models_in_one_command(checkpoint, elsewhere, capsys, tmp_path):
    other = elsewhere / "other"
    other.mkdir()
    for path in Path(checkpoint).iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert run("run", "--model", f"{checkpoint},{other}", "--tasks", "world_qa", "--limit", 3, "--out", "both") == 0
    assert (elsewhere / "both" / "tiny" / "results.json").is_file()
    assert (elsewhere / "both" / "other" / "results.json").is_file()
    assert "other" in capsys.readouterr().out


def test_a_prompt_longer_than_the_context_is_failed_not_wrong(checkpoint, elsewhere, capsys):
    folder = elsewhere / "short"
    folder.mkdir()
    tokenizer = Tokenizer.load(Path(checkpoint))
    model = GPT(GPTConfig(n_layer=1, d_model=16, n_head=2, context=16, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    weights.save(model, tokenizer, folder, record={})
    assert run("run", "--model", folder, "--tasks", "world_summary", "--limit", 4, "--out", "out") == 1
    printed = capsys.readouterr()
    assert "(!)" in printed.out and "4 of 4 failed" in printed.out
    assert "short: world_summary failed: none of 4 items could be scored at 0 shots: the prompt needs" in printed.err
    assert all("tokens" in r.error and not r.scores for r in read_records(elsewhere / "out"))
    assert all(
        r.n == 0 and r.failed == 4 for r in read_results(elsewhere / "out") if r.source == "model" and not r.level
    )


def test_few_failed_items_are_allowed_and_more_are_not(checkpoint, elsewhere, capsys):
    rows = [{"sentence": f"film {i}", "label": i % 2 if i else -1} for i in range(10)]
    (elsewhere / "sst2.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["run", "--model", checkpoint, "--tasks", "sst2", "--data", "sst2=sst2.jsonl", "--out", "out"]
    assert run(*asked) == 1
    printed = capsys.readouterr()
    assert "(!): more than 5% of the items failed" in printed.out and "1 of 10 failed at 0 shots" in printed.out
    assert "sst2 failed: 1 of 10 items failed at 0 shots: row 1 of its test data" in printed.err
    assert "sst2: 1 of 10 labels name no choice" in printed.err
    for allowed in ("10%", "0.1", "1"):
        assert run(*asked, "--max-failed", allowed) == 0
        assert "(!)" not in capsys.readouterr().out
    assert run(*asked, "--max-failed", "0") == 1
    for wrong in ("x", "-1%", "101%", "nan"):
        assert run(*asked, f"--max-failed={wrong}") == 2
        assert "expected a share, for example 5% or 0.05" in capsys.readouterr().err


def test_train_run_and_generate(elsewhere, capsys):
    (elsewhere / "text.txt").write_text("".join(f"the {i} red boxes and the {i} blue boxes\n" for i in range(3000)))
    train = ["train", "--size", "nano", "--corpus", "text.txt", "--vocab", 300, "--context", 64,
             "--sequences", 4, "--tokens", "5k", "--out", "model"]  # fmt: skip
    assert run(*train) == 0
    assert run(*train) == 2
    assert "--resume" in capsys.readouterr().err
    assert run(*train, "--resume") == 0
    capsys.readouterr()
    assert run("generate", "--model", "model", "--prompt", "the 7 red", "--max-tokens", 5, "--seed", 1) == 0
    first = capsys.readouterr().out
    assert first.startswith("the 7 red")
    assert run("generate", "--model", "model", "--prompt", "the 7 red", "--max-tokens", 5, "--seed", 1) == 0
    assert capsys.readouterr().out == first
    assert run("models", "./model") == 0
    assert '"validation_loss"' in capsys.readouterr().out
    assert run("models", "nano") == 0  # whose loss curve would fill several screens
    assert re.search(r'"loss_curve": "\d+ points"', capsys.readouterr().out)


def test_transformers_runs_the_same_folder_with_the_same_scores(checkpoint, elsewhere, capsys):
    words = ["--tasks", "world_qa,world_lastword,world_lm,world_en_fr", "--shots", "1", "--limit", 4]
    assert run("run", "--model", f"{checkpoint},hf:{checkpoint}", *words, "--out", "out") == 0
    assert "hf:tiny" in capsys.readouterr().out
    ours, theirs = ({r.key: r for r in read_records(elsewhere / "out" / name)} for name in ("tiny", "hf-tiny"))
    assert ours.keys() == theirs.keys()
    for key, record in ours.items():
        assert theirs[key].prompt == record.prompt
        assert theirs[key].prediction == record.prediction
        for name, statistics in record.scores.items():
            assert theirs[key].scores[name] == pytest.approx(statistics, abs=1e-3)


def test_generate_with_beams_and_stop_strings(checkpoint, capsys):
    def text(*words, model=checkpoint):
        assert run("generate", "--model", model, "--prompt", "Who has", "--max-tokens", 12, *words) == 0
        return capsys.readouterr().out

    greedy, beams = text("--top-k", 1), text("--beams", 4)
    assert greedy.startswith("Who has") and greedy.endswith("\n") and beams.startswith("Who has")
    assert text("--beams", 4, "--length-penalty", 0, model=f"hf:{checkpoint}") == text(
        "--beams", 4, "--length-penalty", 0
    )
    stop = greedy[10:12]
    assert text("--top-k", 1, "--until", "no such text", "--until", stop) == (
        "Who has" + greedy.removeprefix("Who has").partition(stop)[0] + "\n"
    )
    assert run("generate", "--model", "nano", "--prompt", "Q: ", "--top-k", 1, "--until", "\\n") == 0
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("name", ["world_reading", "world_patterns", "world_pronouns", "world_lm"])
def test_tasks_shows_a_prompt(name, capsys):
    assert run("tasks", name, "--shots", 0 if name == "world_lm" else 2) == 0
    assert f"{name}:" in capsys.readouterr().out


def test_the_shown_prompt_is_counted_in_tokens(capsys):
    assert run("tasks", "world_qa", "--shots", 1, "--model", "nano") == 0
    said = capsys.readouterr().out.strip().splitlines()[-1]
    tokenizer = Tokenizer.load(resolve.path_of("nano"))
    assert said.endswith("1 after it (nano's tokenizer)") and int(said.split()[0]) > 10
    assert run("tasks", "world_lm", "--model", "nano") == 0
    printed = capsys.readouterr().out
    page = printed.partition("[answer]\n")[2].rpartition("\n\n")[0]
    assert f"0 tokens of context, {len(tokenizer.encode_batch([page])[0]):,} after it" in printed


def test_lists_say_how_large_a_benchmark_is_and_where_it_is_from(elsewhere, monkeypatch, capsys):
    (elsewhere / "lambada").mkdir()
    (elsewhere / "lambada" / "lambada_test.jsonl").write_text('{"text": "one two"}\n' * 1234)
    monkeypatch.setenv("EVALKIT_DATA", str(elsewhere))
    assert run("tasks") == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["lambada"].split() == ["lambada", "lm", "ready,", "1,234"]
    assert rows["world_qa"].split() == ["world_qa", "qa", "ready,", "270"]
    assert rows["nq_open"].split() == ["nq_open", "qa", "missing"]
    assert max(len(line) for name, line in rows.items() if name in catalog.available()) <= 80
    assert run("tasks", "lambada", "-v") == 0
    block = capsys.readouterr().out
    assert "EleutherAI/lambada_openai/default" in block and "lambada_test.jsonl" in block
    assert "protocols gpt2, gpt3, lm-eval" in block


def test_a_glob_a_suite_or_a_family_lists_its_tasks(capsys):
    def listed(*words):
        assert run("tasks", *words) == 0
        return [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]

    assert listed("wmt14_*", "--missing") == ["wmt14_de_en", "wmt14_en_de", "wmt14_en_fr", "wmt14_fr_en"]
    assert listed("world_*", "--missing") == []
    assert "world_qa" in listed("qa") and "world_qa" not in listed("qa", "--missing")
    assert listed("superglue")[0] == "boolq"
    assert run("tasks", "wtm*") == 2


def test_mistyped_commands_and_options_are_named(capsys):
    for words, message in (
        (["rnu", "--model", "nano"], "evalkit: error: unknown command 'rnu'; did you mean 'run'?"),
        (["run", "--models", "nano"], "evalkit run: error: unknown option --models; did you mean --model?"),
        (["run", "--model", "nano", "--taks=x"], "evalkit run: error: unknown option --taks; did you mean --tasks?"),
        (["compare", "a", "b", "--zzz"], "evalkit compare: error: unknown option --zzz"),
        (["compare", "a", "b", "c"], "evalkit compare: error: unknown argument c"),
        (["run"], "evalkit run: error: the following arguments are required: --model"),
        (["run", "--model", "nano", "--begin", "now"], "unknown value 'now' (allowed: document, every-window)"),
    ):
        with pytest.raises(SystemExit) as exit:
            run(*words)
        printed = capsys.readouterr().err
        assert exit.value.code == 2 and message in printed and printed.count("\n") == 1


def test_a_folder_of_runs_is_not_a_run(checkpoint, elsewhere, capsys):
    words = ["run", "--model", f"{checkpoint},nano", "--tasks", "world_lm", "--limit", 1, "--out", "many"]
    assert run(*words) == 0 and capsys.readouterr()
    for base, message in (
        ("many", "many is not a run, but holds the runs nano, tiny; choose one: many/nano"),
        ("none", "there is no run folder none"),
    ):
        assert run("compare", base, "many/nano") == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["float32", "torch.float32", "fp32"])
def test_torchs_names_of_formats_are_accepted(checkpoint, elsewhere, name):
    assert run("run", "--model", checkpoint, "--tasks", "world_lm", "--limit", 1, "--out", "out", "--dtype", name) == 0
    assert json.loads((elsewhere / "out" / "manifest.json").read_text())["settings"]["model"]["dtype"] == "float32"


def test_a_suite_goes_on_without_the_benchmarks_that_are_nowhere(checkpoint, elsewhere, monkeypatch, capsys):
    (elsewhere / "lambada").mkdir()
    (elsewhere / "lambada" / "lambada_test.jsonl").write_text('{"text": "one two"}\n{"text": "three four"}\n')
    monkeypatch.setenv("EVALKIT_DATA", str(elsewhere))
    monkeypatch.setattr(sources, "_hub_dataset", lambda *_: {}["no network"])
    words = ["run", "--model", checkpoint, "--limit", 1, "--out", "out", "--tasks"]
    assert run(*words, "lm") == 0
    assert "left out, because no data was found for them: enwik8, " in capsys.readouterr().err
    assert {r.task for r in read_results(elsewhere / "out")} >= {"world_lm", "lambada", "lambada_filtered"}
    for tasks in ("lm,enwik8", "classification"):
        assert run(*words, tasks) == 2
    assert "error: no data for cola: " in capsys.readouterr().err


def test_calibration_shows_the_most_confident_answers(checkpoint, elsewhere, capsys):
    assert (
        run("run", "--model", checkpoint, "--tasks", "world_qa", "--shots", "0,1", "--limit", 20, "--out", "out") == 0
    )
    capsys.readouterr()
    metric = read_results(elsewhere / "out")[0].metric
    assert run("calibration", "out", "--task", "world_qa", "--shots", 1) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"world_qa, 1 shots, {metric}\n") and "| 100% | 20 | " in shown
    for words, message in (
        (["--task", "world_aq"], "did you mean 'world_qa'"),
        (["--task", "world_qa", "--shots", 3], "out has world_qa with 0, 1"),
        (["--task", "world_qa", "--metric", "x"], "world_qa has no metric 'x'"),
    ):
        assert run("calibration", "out", *words) == 2
        printed = capsys.readouterr()
        assert message in printed.err and not printed.out


TOY = """
from evalkit.data.sources import BenchmarkSource, Hub
from evalkit.harness.task import Protocol, Task
from evalkit.types import Example

def task(name, **about):
    protocol = Protocol(
        kind="choice", query="{input}:", target=" {choice}", metrics=("acc",), answer_context="A:", **about
    )
    return Task(
        name=name, family="qa", title="toy",
        source=BenchmarkSource(name="toy", hub=Hub(id="nobody/toy", splits={"test": "test"})),
        to_example=lambda d: Example(task="t", input=d.row["text"], output="a", choices=("a", "b"), gold=0),
        protocols={"plain": protocol},
    )

TASKS = (task("stated", paper_shots=2, templates={"loud": {"query": "{input}!"}}), task("unstated"))
"""


@pytest.fixture
def toys(checkpoint, elsewhere):
    """Two tasks of a user's own, one of which has the paper's number of shots; and the command that runs them."""
    (elsewhere / "toys.py").write_text(TOY)
    (elsewhere / "toy.jsonl").write_text("".join(f'{{"text": "item {i}"}}\n' for i in range(6)))
    return ["run", "--model", checkpoint, "--tasks", "toys.py", "--data", "toy=toy.jsonl", "--out", "out"]


def test_the_papers_shots_where_the_paper_states_them(toys, elsewhere, capsys):
    assert run(*toys, "--shots", "0,paper") == 0
    assert "the paper states no number for unstated: run with 0 only\n" in capsys.readouterr().err
    assert {(r.task, r.shots) for r in read_results(elsewhere / "out")} == {
        ("stated", 0), ("stated", 2), ("unstated", 0),
    }  # fmt: skip


def test_a_task_without_the_papers_shots_is_left_out(toys, elsewhere, capsys):
    assert run(*toys, "--shots", "paper") == 0
    assert "the paper states no number for unstated: left out\n" in capsys.readouterr().err
    assert {(r.task, r.shots) for r in read_results(elsewhere / "out")} == {("stated", 2)}


def test_templates_are_run_stored_and_summed_up(toys, elsewhere, capsys):
    assert run(*toys, "--templates", "all") == 0
    assert "2 wordings at 0 shots: median" in capsys.readouterr().out
    results = read_results(elsewhere / "out")
    assert {(r.task, r.template) for r in results} == {("stated", ""), ("stated", "loud"), ("unstated", "")}
    assert {r.metric for r in results} == {"acc", "acc_per_token", "acc_per_char", "acc_per_byte", "acc_unconditional"}
    before = results_bytes(elsewhere / "out")
    assert run(*toys, "--templates", "all") == 0
    assert results_bytes(elsewhere / "out") == before
    assert run(*toys, "--templates", "lod") == 2
    assert "unknown template 'lod'; did you mean 'loud'?" in capsys.readouterr().err


def test_lists(capsys):
    assert run("tasks", "-v") == run("models") == 0
    printed = capsys.readouterr().out
    for word in ("world_qa", "closed-book", "suites:", "core_hellaswag_zeroshot", "core, core-fixed"):
        assert word in printed


def test_models_shows_sizes_costs_and_where_the_weights_are(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert run("models") == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert run("models", "-v") == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    for words in (
        ("nano", "2", "64", "308,480", "100,096", "1.23 MB", "0.62 MB", "bundled"),
        ("gpt1", "12", "768", "512", "40,478", "116,534,784", "to be fetched: openai-community/openai-gpt"),
        ("1542M", "48", "1600", "25", "1,557,611,200", "9.81e+09", "6.23 GB", "3.12 GB", "openai-community/gpt2-xl"),
        ("gpt3-175B", "96", "12288", "2048", "174,604,259,328", "not released"),
        ("maxi", "to be trained"),
    ):
        assert all(word in rows[words[0]] for word in words), rows[words[0]]


def test_export_copies_at_a_precision(checkpoint, elsewhere, capsys):
    assert run("export", checkpoint, "--to", "half", "--dtype", "bf16") == 0
    assert "in bf16 to half" in capsys.readouterr().out
    theirs = transformers.AutoModelForCausalLM.from_pretrained(elsewhere / "half")
    ours, _ = weights.load(Path(checkpoint), dtype=torch.bfloat16)
    assert theirs.dtype == torch.bfloat16
    assert torch.equal(theirs.transformer.wte.weight, ours.tokens.weight)
    assert run("export", checkpoint, "--to", "half") == 2
    assert "half already holds a checkpoint" in capsys.readouterr().err


WRONG = {
    "task": (["--tasks", "world_redaing"], "unknown task 'world_redaing'; did you mean 'world_reading'?\n"),
    "model": (["--model", "gpt3-small"], "unknown model 'gpt3-small'"),
    "no model": (["--model", " ,"], "--model names no model"),
    "tokenizer": (["--tokenizer", "gpt3"], "--tokenizer gpt3: unknown model 'gpt3'; did you mean 'gpt2'?"),
    "no hf model": (["--model", "hf:"], "hf: names no model; it takes a folder or a hub ID"),
    "folder": (["--model", "./nowhere"], "no checkpoint file or folder ./nowhere"),
    "file": (["--model", "gone.pt"], "no checkpoint file or folder gone.pt"),
    "hf folder": (["--model", "hf:./nowhere"], "no checkpoint folder ./nowhere"),
    "empty hf folder": (["--model", "hf:."], "config.json is missing"),
    "shots": (["--shots", "two"], "--shots 'two': expected whole numbers"),
    "negative shots": (["--shots=-1"], "--shots: expected whole numbers from 0 up"),
    "too many shots": (["--shots", "5000"], "has only"),
    "the paper's shots": (["--shots", "paper"], "for world_reading under protocol plain the paper states no number"),
    "template": (["--templates", "x"], "unknown template 'x'"),
    "task like no other": (["--tasks", "@"], "unknown task '@' (evalkit tasks lists the"),
    "suites": (["--tasks", "gpt1-zero-shot,gpt2-paperr"], "unknown task"),
    "seeds": (["--seeds", "x"], "--seeds 'x'"),
    "limit": (["--limit", "0"], "--limit must be at least 1"),
    "protocol": (["--protocol", "plane"], "unknown protocol 'plane'; did you mean 'plain'?"),
    "device": (["--device", "tpu"], "unknown device 'tpu'"),
    "dtype": (["--dtype", "fp31"], "unknown dtype 'fp31'; did you mean 'fp"),
    "batch": (["--batch-tokens", "0"], "--batch-tokens must be at least 1"),
    "data pair": (["--data", "coqa"], "expected NAME=PATH"),
    "data path": (["--data", "coqa=gone.json"], "gone.json does not exist"),
    "data name": (["--data", "coqua=file"], "unknown benchmark 'coqua' in --data"),
    "output": (["--out", "file/run"], "cannot write to the folder"),
    "task file": (["--tasks", "gone.py"], "no such Python file"),
    "broken task file": (["--tasks", "broken.py"], "broken.py fails: ZeroDivisionError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_gives_one_clear_line(name, checkpoint, elsewhere, capsys):
    (elsewhere / "file").write_text("")
    (elsewhere / "broken.py").write_text("1 / 0\n")
    changed, message = WRONG[name]
    words = ["run", "--model", checkpoint, "--tasks", "world_reading", "--limit", "2", "--out", "out", *changed]
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("evalkit: error: ") and error.count("\n") == 1, error
    assert not (elsewhere / "out" / "records.jsonl").exists()


def test_no_cuda_is_said(checkpoint, capsys):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert run("run", "--model", checkpoint, "--device", "cuda") == 2
    assert "no CUDA device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--size", "nanoo", "--corpus", "world", "--out", "o"], "did you mean 'nano'?"),
        (["train", "--size", "nano", "--corpus", "gone.txt", "--out", "o"], "no such file or folder"),
        (
            ["train", "--size", "nano", "--corpus", "world", "--tokens", "many", "--out", "o"],
            "expected a count such as",
        ),
        (["train", "--size", "nano", "--corpus", "world", "--dtype", "fp8", "--out", "o"], "unknown dtype 'fp8'"),
        (["train", "--size", "nano", "--corpus", "world", "--device", "gpu", "--out", "o"], "unknown device 'gpu'"),
        (["train", "--size", "nano", "--corpus", "t.txt", "--vocab", "100", "--out", "o"], "need at least 257"),
        (["tasks", "coqua"], "unknown task 'coqua'"),
        (["tasks", "coqa", "--data", "coqua=."], "unknown benchmark 'coqua' in --data; did you mean 'coqa'?"),
        (["tasks", "--data", "coqua=."], "unknown benchmark 'coqua' in --data; did you mean 'coqa'?"),
        (["models", "nanno"], "unknown model 'nanno'"),
        (["export", "MODEL", "--to", "o", "--dtype", "fp8"], "unknown dtype 'fp8'"),
        (["export", "gpt3-125M", "--to", "o"], "the weights of GPT-3 were never released"),
        (["generate", "--model", "MODEL", "--prompt", "x", "--max-tokens", "300"], "context is 256"),
        (["generate", "--model", "MODEL", "--prompt", "x", "--top-p", "2"], "top_p must be"),
        (["generate", "--model", "MODEL", "--prompt", "x", "--temperature", "0"], "temperature must be"),
        (["generate", "--model", "MODEL", "--prompt", "x", "--beams", "0"], "beams must be at least 1"),
        (["generate", "--model", "MODEL", "--prompt", "x", "--beams", "4", "--top-k", "9"], "does not sample"),
    ],
)
def test_wrong_input_of_the_other_commands(words, message, checkpoint, elsewhere, capsys):
    (elsewhere / "t.txt").write_text("some text")
    assert run(*(checkpoint if word == "MODEL" else word for word in words)) == 2
    assert message in capsys.readouterr().err


def test_one_broken_benchmark_does_not_hide_the_others(elsewhere, monkeypatch, capsys):
    (elsewhere / "wmt14").mkdir()
    (elsewhere / "wmt14" / "newstest2014.eng").write_text("half a pair of files\n")
    monkeypatch.setenv("EVALKIT_DATA", str(elsewhere))
    assert run("tasks") == 0
    printed = capsys.readouterr().out
    assert "newstest2014.fra" in printed and "world_qa" in printed and " broken" in printed


def test_a_table_that_cannot_be_written_loses_nothing(checkpoint, elsewhere, capsys):
    words = ["run", "--model", checkpoint, "--tasks", "world_qa", "--limit", 3, "--out", "out"]
    assert run(*words, "--markdown", "nowhere/table.md") == 2
    assert "cannot write nowhere/table.md" in capsys.readouterr().err
    assert (elsewhere / "out" / "results.json").is_file()


def test_seeds_repeat_the_draw_of_shots_and_are_not_new_documents(checkpoint, elsewhere):
    words = ["run", "--model", checkpoint, "--tasks", "world_qa", "--limit", 10, "--shots", "0,2", "--seeds", "1,2,3"]
    assert run(*words, "--out", "out") == 0
    records = list(read_records(elsewhere / "out"))
    assert len(records) == 10 * (1 + 3)  # without shots a seed changes nothing
    prompts = {r.prompt.contexts for r in records if r.cell.shots == 2}
    assert len(prompts) == 30
    assert {r.n for r in read_results(elsewhere / "out") if r.source == "model" and not r.level} == {10}
