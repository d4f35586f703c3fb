"""evalkit finetune from the command line, the run that it leaves for other commands, and wrong input in one line."""

from __future__ import annotations

import json

import pytest
import torch

from evalkit.cli import main
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from tests.train.made_tasks import WORDS, write


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("finetune")
    write(root / "data", training=40, scored=20)
    gpt = GPT(GPTConfig(n_layer=1, d_model=16, n_head=2, context=48, vocab_size=300))
    gpt.initialize(torch.Generator().manual_seed(0))
    weights.save(gpt, Tokenizer.train([" ".join(WORDS)] * 5, vocab_size=300), root / "tiny", record=None)
    return root


@pytest.fixture
def evalkit(places, monkeypatch, capsys):
    monkeypatch.setenv("EVALKIT_DATA", str(places / "data"))

    def call(*words, model=places / "tiny"):
        code = main(["finetune", "--model", str(model), *map(str, words)])
        return code, capsys.readouterr()

    return call


def test_both_networks_and_the_curve_are_stored_and_can_be_compared(evalkit, places, capsys):
    same = ("--task", "sst2", "--shots", "2,all", "--draws", "2", "--epochs", 1, "--least-updates", 3)
    for name, more in (("with", []), ("without", ["--no-pretraining", "--no-auxiliary"])):
        code, told = evalkit(*same, *more, "--out", places / name)
        assert (code, told.err.count("error")) == (0, 0)
        assert f"stored in {places / name}" in told.out
    settings = json.loads((places / "without/manifest.json").read_text())["settings"]
    assert settings["model"]["model"] == "tiny fine-tuned without pre-training and auxiliary loss"
    assert main(["compare", str(places / "with"), str(places / "without")]) in (0, 1)
    assert main(["report", str(places / "with"), "--out", str(places / "report")]) == 0
    told = capsys.readouterr()
    assert "tiny fine-tuned" in told.out
    assert main(["run", "--model", str(places / "tiny"), "--tasks", "sst2", "--out", str(places / "prompted")]) == 0
    folder = places / "with/checkpoints/sst2-all-seed0"
    assert main(["finetune", "--evaluate", str(folder), "--out", str(places / "again")]) == 0
    # A fine-tuned model is a checkpoint like any other.
    assert main(["run", "--model", str(folder), "--tasks", "sst2", "--out", str(places / "as-model")]) == 0


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--task", "sst"], "unknown task 'sst' to fine-tune on; did you mean 'sst2'?"),
        (["--task", "lambada"], "unknown task 'lambada' to fine-tune on"),
        (["--task", ""], "--task: expected at least one"),
        (["--task", "rte"], "no data for rte"),
        (["--task", "sst2", "--shots", "0"], "for zero-shot use evalkit run"),
        (["--task", "sst2", "--shots", "some"], "--shots 'some'"),
        (["--task", "sst2", "--shots", "40"], "sst2 has 40 training examples to draw from; use 'all' for all"),
        (["--task", "sst2", "--learning-rate", "high"], "--learning-rate 'high'"),
        (["--task", "sst2", "--learning-rate", "1e-3,high"], "several separated by commas, or auto"),
        (["--task", "sst2", "--learning-rate", "1e-3,-1"], "learning_rate must be above 0"),
        (["--task", "sst2", "--learning-rate", "-1"], "learning_rate must be above 0"),
        (["--task", "sst2", "--learning-rate", "auto", "--shots", "8"], "give one number with --shots K"),
        (["--task", "sst2", "--limit-train", "0"], "--limit-train must be at least 1"),
        (["--task", "sst2", "--keep", "some"], "unknown value 'some' of --keep"),
        (["--task", "sst2", "--dtype", "fp16"], "unknown dtype 'fp16'"),
        (["--task", "sst2", "--data", "cola=."], "unknown benchmark 'cola' in --data"),
    ],
)
def test_wrong_input_is_one_line(evalkit, places, words, wrong):
    code, told = evalkit(*words, "--out", places / "wrong")
    assert code == 2
    last = told.err.splitlines()[-1]
    assert last.startswith("evalkit: error: ")
    assert wrong in last
    assert "Traceback" not in told.err


def test_wrong_models(evalkit, places, tmp_path, capsys):
    task = ("--task", "sst2", "--out", tmp_path / "out")
    code, told = evalkit(*task, model="hf:tiny")
    assert (code, told.err.count("\n")) == (2, 1)
    assert "models run by transformers cannot be fine-tuned" in told.err
    code, told = evalkit(*task, model=tmp_path / "absent")
    assert (code, told.err.count("\n")) == (2, 1)
    gpt = GPT(GPTConfig(n_layer=1, d_model=16, n_head=2, context=4, vocab_size=300))
    gpt.initialize(torch.Generator().manual_seed(0))
    weights.save(gpt, Tokenizer.load(places / "tiny"), tmp_path / "short", record=None)
    code, told = evalkit(*task, model=tmp_path / "short")
    assert (code, told.err) == (
        2,
        "evalkit: error: a context of 4 positions is too short for fine-tuning, which needs at least 5\n",
    )
    assert main(["finetune", "--evaluate", str(places / "tiny"), "--out", str(tmp_path / "out")]) == 2
    assert "holds no fine-tuned model" in capsys.readouterr().err


def test_labels_that_are_absent_are_an_error(evalkit, tmp_path):
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\ngood\t1\n")
    (tmp_path / "train.tsv").write_text("sentence\tlabel\ngood\t-1\n")
    code, told = evalkit("--task", "sst2", "--data", f"sst2={tmp_path}", "--out", tmp_path / "out")
    assert code == 2
    assert f"sst2: row 1 of its shots data, {tmp_path / 'train.tsv'}: the label '-1' names none of its 2" in told.err
    assert told.err.count("\n") == 1
