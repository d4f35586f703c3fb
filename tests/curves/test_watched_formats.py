"""evalkit watch with the checkpoints of other trainers: every one once, and none before it is whole."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from dataclasses import replace

import pytest
import torch.distributed.checkpoint as dcp
from small_checkpoints import COLOURS, TOKENIZER

from evalkit.cli import main
from evalkit.curves.checkpoints import SETTLED, complete, look, snapshot
from evalkit.model import formats
from tests.model.formats import test_nanochat as nanochat
from tests.model.formats.trainers import (
    CONTEXT,
    HEADS,
    gpt2_state,
    litgpt_folder,
    litgpt_settings,
    litgpt_state,
    llmc_file,
    meta_file,
    nanogpt_file,
)

TASK = f"""import evalkit
ROWS = {COLOURS}
TASKS = (evalkit.task_from_rows("colours", ROWS, query="{{q}}", answer="a", choices=["blue", "red"], metrics=["acc"]),)
"""
LITGPT = litgpt_settings("llama")


def add_nanogpt(folder, step):
    TOKENIZER.save(folder, context=CONTEXT)
    return nanogpt_file(folder, gpt2_state(), step=step)


def add_nanochat(folder, step):
    return nanochat.write(folder, nanochat.random_weights(), step=step)


def add_llmc(folder, step):
    TOKENIZER.save(folder, context=CONTEXT)
    return llmc_file(folder / f"model_{step:08}.bin", gpt2_state())


def add_litgpt(folder, step):
    made = litgpt_folder(folder / f"step-{step:08}", LITGPT, litgpt_state(LITGPT))
    TOKENIZER.save(made, context=CONTEXT)
    return made


def add_distributed(folder, step):
    TOKENIZER.save(folder, context=CONTEXT)
    (folder / "params.json").write_text(json.dumps({"n_head": HEADS}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is one process
        dcp.save(gpt2_state(), checkpoint_id=folder / f"step-{step}")
    return folder / f"step-{step}"


TRAINERS = {
    "nanogpt": add_nanogpt,
    "nanochat": add_nanochat,
    "llm.c": add_llmc,
    "litgpt": add_litgpt,
    "distributed": add_distributed,
}
# What is large in a checkpoint, and the files that are written before the last one.
WEIGHTS = {"litgpt": "lit_model.pth", "distributed": "__0_0.distcp"}


@pytest.fixture
def training(tmp_path):
    (tmp_path / "colours.py").write_text(TASK)
    (tmp_path / "base" / "training").mkdir(parents=True)
    return tmp_path / "base" / "training"


def watch(training, *more):
    tasks = training.parent.parent / "colours.py"
    return main(["watch", str(training), "--tasks", str(tasks), "--once", *map(str, more)])


def steps(training):
    text = (training / "eval" / "curve.jsonl").read_text()
    return [json.loads(line)["step"] for line in text.splitlines()]


def older(path, seconds=100.0):
    for file in [path, *path.rglob("*")]:
        then = file.stat().st_mtime - seconds
        os.utime(file, (then, then))


@pytest.mark.parametrize("trainer", TRAINERS)
def test_each_checkpoint_is_evaluated_once_at_its_step(training, trainer, monkeypatch):
    for step in (40, 5):
        assert formats.find(TRAINERS[trainer](training, step)).name == trainer
        older(training)
        if trainer == "nanogpt":
            assert watch(training) == 0
    assert watch(training) == 0
    assert sorted(steps(training)) == [5, 40]
    line = json.loads((training / "eval" / "curve.jsonl").read_text().splitlines()[0])
    manifest = json.loads((training / "eval" / line["run"] / "manifest.json").read_text())
    assert manifest["settings"]["model"]["model"] == "training" and line["colours/0-shot/acc/n"] == len(COLOURS)
    monkeypatch.setattr("evalkit.curves.watching.Watch._evaluate", None)
    assert watch(training) == 0
    assert not (training / "eval" / ".checkpoint").exists()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_part_of_one_is_never_seen(training, trainer):
    path = TRAINERS[trainer](training, 40)
    weights = path / WEIGHTS[trainer] if trainer in WEIGHTS else path
    content = weights.read_bytes()
    for size in (0, 1, 40, 1024, len(content) // 2, len(content) - 1):
        weights.write_bytes(content[:size])
        assert complete(training) == [] and complete(training, settled=0.0) == [], size
        older(training)  # nothing but its content says that it is cut
        assert complete(training) == [], size
    weights.write_bytes(content)
    older(training)
    assert [(c.step, c.path) for c in complete(training)] == [(40, path)]


@pytest.mark.parametrize(
    ("trainer", "last"),
    [("nanochat", "meta_000040.json"), ("litgpt", "model_config.yaml"), ("distributed", ".metadata")],
)
def test_the_file_that_is_written_last_must_be_there_and_whole(training, trainer, last):
    path = TRAINERS[trainer](training, 40)
    last = path / last if path.is_dir() else path.with_name(last)
    content = last.read_bytes()
    last.unlink()
    older(training)
    assert complete(training) == []
    last.write_bytes(b"")
    older(training)
    assert complete(training) == []
    last.write_bytes(content)
    older(training)
    assert [c.step for c in complete(training)] == [40]


@pytest.mark.parametrize("trainer", ["nanochat", "distributed"])
def test_weights_that_are_newer_than_the_last_file_may_be_those_of_a_save_that_goes_on(training, trainer):
    path = TRAINERS[trainer](training, 40)
    assert [c.step for c in complete(training)] == [40]  # no need to wait
    weights = path / WEIGHTS[trainer] if trainer in WEIGHTS else path
    later = time.time() + 1
    os.utime(weights, (later, later))
    assert complete(training) == []
    os.utime(weights, (later - 2 * SETTLED, later - 2 * SETTLED))
    assert [c.step for c in complete(training)] == [40]


def test_litgpt_has_to_settle_and_its_last_folder_says_the_step(training):
    add_litgpt(training, 5).rename(training / "final")
    assert complete(training) == []
    older(training)
    assert [(c.step, c.path.name) for c in complete(training)] == [(20, "final")]


def test_a_new_iteration_or_content_of_nanogpts_file_is_evaluated(training, capsys):
    add_nanogpt(training, 250)
    assert watch(training) == 0
    add_nanogpt(training, 500)
    assert watch(training) == 0 and steps(training) == [250, 500]
    nanogpt_file(training, {name: tensor + 0.5 for name, tensor in gpt2_state().items()}, step=500)
    capsys.readouterr()
    assert watch(training) == 0 and steps(training) == [250, 500]
    assert "step 500:" in capsys.readouterr().out and len(list((training / "eval" / ".replaced").iterdir())) == 1


def test_a_file_that_is_overwritten_in_place_is_copied_and_others_are_linked(training, tmp_path):
    path = add_nanogpt(training, 250)
    before, found = path.read_bytes(), look(path)
    assert snapshot(found, tmp_path / "place")
    with path.open("r+b") as file:
        file.truncate(100)
    assert (tmp_path / "place" / "ckpt.pt").read_bytes() == before
    assert not snapshot(found, tmp_path / "place")
    assert snapshot(look(add_llmc(training, 7)), tmp_path / "place")
    assert (tmp_path / "place" / "model_00000007.bin").stat().st_nlink == 2


def test_what_stands_elsewhere_is_found_from_another_folder(training, tmp_path):
    """nanoGPT's characters in data/NAME, nanochat's tokenizer and the settings of a distributed checkpoint above it."""
    text = "".join(sorted({c for row in COLOURS for c in f"{row['q']} {row['a']} blue red\n"}))
    meta_file(training.parent / "data" / "chars" / "meta.pkl", text)
    nanogpt_file(training, gpt2_state(vocabulary=len(text)), vocabulary=len(text), step=1)
    (training.parent.parent / "tokenizer").mkdir()
    add_nanochat(training, 2)
    shutil.move(training / "tokenizer.pkl", training.parent.parent / "tokenizer")
    add_distributed(training, 3)
    for name in ("params.json", *(path.name for path in training.glob("tokenizer*"))):
        shutil.move(training / name, training.parent)
    assert watch(training, "--out", tmp_path / "elsewhere" / "curve") == 0
    lines = (tmp_path / "elsewhere" / "curve" / "curve.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]


def test_what_is_missing_is_said_and_given(training, tmp_path, caplog):
    add_nanogpt(training, 7)
    for path in training.glob("tokenizer*"):
        path.unlink()
    assert watch(training) == 1 and "step 7 cannot be evaluated: " in caplog.text and "tokenizer" in caplog.text
    (tmp_path / "given").mkdir()
    TOKENIZER.save(tmp_path / "given", context=CONTEXT)
    assert watch(training, "--tokenizer", tmp_path / "given") == 0 and steps(training) == [7]
    caplog.clear()
    add_distributed(training, 9)
    (training / "params.json").unlink()
    assert watch(training) == 1 and "step 9 cannot be evaluated: " in caplog.text and "params.json" in caplog.text


def test_a_network_that_ours_cannot_be_is_named(training, caplog):
    state = nanochat.random_weights() | {"resid_lambdas": gpt2_state()["transformer.ln_f.bias"]}
    nanochat.write(training, state, step=3)
    llmc_file(training / "model_00000004.bin", gpt2_state(), magic=20240803)
    older(training)
    assert watch(training) == 1
    assert "step 3 cannot be evaluated" in caplog.text and "this version of nanochat" in caplog.text
    assert "step 4 cannot be evaluated" in caplog.text and "Llama 3" in caplog.text


def test_a_format_that_cannot_tell_counts_when_it_opens_and_has_settled(training, monkeypatch):
    path, find = add_llmc(training, 7), formats.find

    def found(path):
        form = find(path)
        return form and replace(form, saved=None)

    monkeypatch.setattr(formats, "find", found)
    assert complete(training) == []
    older(training)
    assert [c.step for c in complete(training)] == [7]
    path.write_bytes(path.read_bytes()[:-4])
    older(training)
    assert complete(training) == []


def test_other_trainings_in_the_folder_and_other_files_are_not_its_steps(training):
    nanogpt_file(training / "run2", gpt2_state(), step=4)
    add_litgpt(training, 6).rename(training / "other6")
    (training / "notes_8.pt").write_bytes(b"notes")
    older(training)
    assert complete(training) == []
