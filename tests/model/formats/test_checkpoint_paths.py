"""What --model takes: files, folders, FOLDER@STEP; and what the commands do with a file of another trainer."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import transformers

import evalkit
from evalkit.cli import main
from evalkit.errors import CheckpointError, UsageError
from evalkit.model import formats, resolve
from evalkit.model.formats.transformers import training_of
from tests.model.formats.trainers import (
    TEXT,
    gpt2_state,
    litgpt_folder,
    litgpt_settings,
    litgpt_state,
    llmc_file,
    meta_file,
    nanogpt_file,
)

NANO = resolve.bundled()["nano"]


@pytest.fixture
def out(tmp_path):
    """A folder of nanoGPT's with one checkpoint, trained with nano's tokenizer."""
    path = nanogpt_file(tmp_path / "out", gpt2_state(vocabulary=3000), vocabulary=3000)
    shutil.copy(NANO / "tokenizer.json", tmp_path / "out")
    return path.parent


def test_a_folder_stands_for_the_only_checkpoint_in_it(out):
    assert resolve.path_of(str(out)) == resolve.path_of(str(out / "ckpt.pt")) == out / "ckpt.pt"
    assert resolve.label_of(str(out), out / "ckpt.pt") == resolve.label_of(str(out / "ckpt.pt"), out / "ckpt.pt")
    assert resolve.label_of(str(out), out / "ckpt.pt") == "out/ckpt.pt"


def nanogpts(folder):
    return {step: nanogpt_file(folder, gpt2_state(), name=f"ckpt_{step}.pt", step=step) for step in (5, 40, 100)}


def llmcs(folder):
    folder.mkdir()
    (folder / "DONE_00000100").touch()
    (folder / "state_00000100_00000.bin").write_bytes(b"state")
    return {step: llmc_file(folder / f"model_{step:08}.bin", gpt2_state()) for step in (5, 40, 100)}


def litgpts(folder):
    settings = litgpt_settings("llama")
    state = litgpt_state(settings)
    litgpt_folder(folder / "final", settings, state)
    return {step: litgpt_folder(folder / f"step-{step:08}", settings, state) for step in (5, 40, 100)}


def trainers_own(folder):
    """transformers' Trainer keeps checkpoint-N; the files of the optimizer are beside them."""
    for step in (5, 40):
        shutil.copytree(NANO, folder / f"checkpoint-{step}", ignore=shutil.ignore_patterns("training.json"))
    (folder / "checkpoint-40" / "optimizer.pt").write_bytes(b"x")
    return {step: folder / f"checkpoint-{step}" for step in (5, 40)}


def ours(folder):
    """Our trainer's folder is itself the newest checkpoint."""
    shutil.copytree(NANO, folder)
    shutil.copytree(NANO, folder / "step-1000")
    return {1000: folder / "step-1000", json.loads((NANO / "training.json").read_text())["step"]: folder}


@pytest.mark.parametrize("made", [nanogpts, llmcs, litgpts, trainers_own, ours])
def test_a_step_of_a_folder_with_many_checkpoints(made, tmp_path):
    folder = tmp_path / "many"
    steps = made(folder)
    for step, path in steps.items():
        assert resolve.path_of(f"{folder}@{step}") == path
        assert resolve.label_of(f"{folder}@{step}", path) == f"many@{step}"
    assert resolve.path_of(f"{folder}@last") == steps[max(steps)]
    assert resolve.label_of(f"{folder}@last", steps[max(steps)]) == f"many@{max(steps)}"
    for wrong in ("7", "-5", "best", ""):
        with pytest.raises(CheckpointError, match=rf"many has no checkpoint of step {wrong} \(it has: (5|1000), "):
            resolve.path_of(f"{folder}@{wrong}")
    if made is ours:
        assert resolve.path_of(str(folder)) == folder
    else:
        with pytest.raises(CheckpointError, match=r"many holds \d checkpoints \(.*: give one of them, or .*many@STEP"):
            resolve.path_of(str(folder))


def test_a_step_may_be_that_of_the_training(out):
    assert resolve.path_of(f"{out}@40") == resolve.path_of(f"{out}@last") == out / "ckpt.pt"
    assert resolve.label_of(f"{out}@last", out / "ckpt.pt") == "out@40"
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 9{200} \(it has: 40; or last\)"):
        resolve.path_of(f"{out}@{'9' * 200}")


@pytest.mark.parametrize("name", ["9" * 5000, "out@" + "9" * 300])
def test_a_name_that_no_file_can_have_is_one_clear_error(name):
    with pytest.raises(CheckpointError, match="no checkpoint file or folder"):
        resolve.path_of(name)


def test_parts_of_a_checkpoint_are_no_steps(tmp_path):
    for name in ("model-00001-of-00002.safetensors", "tokenizer.json", "events.out.tfevents.17", ".ckpt_3.pt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"it has: none"):
        resolve.path_of(f"{tmp_path}@17")


def said(capsys, *words):
    capsys.readouterr()
    assert main([*map(str, words)]) == 0
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def test_models_says_what_a_file_is_and_what_it_would_do(out, capsys):
    printed = said(capsys, "models", out)
    for words in (
        "ckpt.pt", "nanogpt (nanoGPT's ckpt.pt)", "run by evalkit", "2 layers, d_model 48; 3 heads of 16",
        "perceptrons of 192 with gelu;", "3,000 token ids", "3,000 tokens; texts begin with nothing",
        f"end of text is 0; generation ends at 0; from {out}", "201,792; 56,640 without embeddings",
        "step 40", "tokens read 19,200",
        "corpus chars", "held-out loss 1.5000 nats per token", "writes transformers' layout of gpt2",
    ):  # fmt: skip
        assert words in printed
    (out / "tokenizer.json").unlink()
    assert "tokenizer none: " in said(capsys, "models", out)
    assert f"from {NANO}" in said(capsys, "models", out, "--tokenizer", "nano")


def test_run_generate_export_and_python_take_the_file(out, tmp_path, capsys):
    printed = said(capsys, "run", "--model", out, "--tasks", "world_lm", "--limit", "2", "--out", tmp_path / "run")
    assert "out/ckpt.pt" in printed
    assert said(capsys, "generate", "--model", out, "--prompt", "the red", "--max-tokens", "3")
    said(capsys, "export", out, "--to", tmp_path / "folder", "--dtype", "fp32")
    requests = ["world_lastword"]
    of_file, of_folder = (
        evalkit.evaluate(str(path), requests, limit=6, cache=False, out=tmp_path / f"r{i}")
        for i, path in enumerate((out, tmp_path / "folder"))
    )
    assert [r.value for r in of_file.results] == [r.value for r in of_folder.results]
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "folder")("the red")["input_ids"]
    assert main(["export", str(out), "--to", str(tmp_path / "folder")]) == 2
    assert "already holds a checkpoint" in capsys.readouterr().err


def test_the_user_s_tokenizer_wherever_it_is(out, tmp_path):
    (out / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    characters = meta_file(tmp_path / "meta.pkl", TEXT)
    for tokenizer in ("nano", NANO, tmp_path / "tokenizer.json", tmp_path, formats.vocabulary_at(NANO).tokenizer):
        model = evalkit.open_model(str(out), tokenizer=tokenizer)
        assert model.engine(None).tokenizer.size == 3000
    model = evalkit.open_model(str(out), tokenizer=tmp_path / "meta.pkl")
    assert model.engine(None).tokenizer.encode("be") == [characters.index("b"), characters.index("e")]
    with pytest.raises(UsageError, match="transformers runs this model, with its own tokenizer"):
        evalkit.open_model(f"hf:{NANO}", tokenizer="nano")
    with pytest.raises(UsageError, match="cannot be used"):
        evalkit.open_model(str(out), tokenizer=3)


def test_a_file_in_a_folder_of_transformers_points_to_the_folder():
    with pytest.raises(CheckpointError, match=f"give the folder {NANO}, which is one"):
        formats.open(NANO / "model.safetensors")


def test_the_trainer_state_of_transformers_tells_the_step(tmp_path):
    shutil.copytree(NANO, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("training.json"))
    assert training_of(tmp_path) == {}
    state = {"global_step": 500, "num_input_tokens_seen": 9000, "total_flos": 1e9, "log_history": []}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    assert training_of(tmp_path) == {"step": 500, "tokens": 9000, "flops": 1e9}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state | {"num_input_tokens_seen": 0, "total_flos": 0}))
    assert evalkit.open_model(str(tmp_path)).training == {"step": 500}


def test_only_the_items_with_unknown_characters_fail(tmp_path):
    """Wherever they are: in the text, in a choice, in a shot."""
    characters = meta_file(tmp_path / "out" / "meta.pkl", TEXT + "QA")
    path = nanogpt_file(tmp_path / "out", gpt2_state(vocabulary=len(characters)), vocabulary=len(characters))
    good = [{"text": f"is it {'so' * i}", "answer": "to be"} for i in range(1, 7)]
    task = evalkit.task_from_rows(
        "made", [*good, {"text": "is it 7", "answer": "to be"}], query="Q: {text}\nA: ", answer="answer",
        choices=["to be", "not to be"],
    )  # fmt: skip
    run = evalkit.evaluate(str(path), [task], cache=False, out=tmp_path / "run", max_failed=0.5)
    [result] = [r for r in run.results if r.source == "model" and not r.level and r.metric == "acc"]
    assert (result.n, result.failed) == (6, 1)
    records = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    assert [r["error"] for r in records if r["error"]] == [
        f"the tokenizer {tmp_path / 'out' / 'meta.pkl'} has no token for '7'"
    ]
