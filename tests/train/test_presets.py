"""The named presets, and the command that takes them."""

from __future__ import annotations

import json

import pytest

from evalkit.cli import main
from evalkit.commands import train as command
from evalkit.model.config import GPT2, LADDER, SIZES
from evalkit.train.presets import PRESETS


def test_every_size_has_one():
    assert PRESETS.keys() == SIZES.keys()
    for size, shape in {**LADDER, **GPT2}.items():
        assert PRESETS[size].tokens == pytest.approx(20 * shape.parameters, rel=0.05)


def test_adamw_alone_has_a_rate_of_its_own():
    nano, gpt2 = PRESETS["nano"], PRESETS["117M"]
    assert (nano.adam_rate(alone=False), nano.adam_rate(alone=True)) == (nano.adam_lr, nano.adamw_lr)
    assert PRESETS["midi"].adamw_lr < nano.adamw_lr < nano.adam_lr
    assert gpt2.adam_rate(alone=True) == gpt2.adam_lr


def test_models_shows_it(capsys):
    assert main(["models", "nano"]) == 0
    assert f"evalkit train --size nano: {PRESETS['nano'].text()}" in capsys.readouterr().out


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.jsonl"
    lines = (json.dumps({"text": f"document {n} of a small corpus says little"}) for n in range(1000))
    path.write_text("\n".join(lines))
    return path


def words(text, out, *more):
    return [
        "train",
        "--size",
        "pico",
        "--corpus",
        str(text),
        "--vocab",
        "300",
        "--context",
        "32",
        "--out",
        str(out),
        *more,
    ]


def test_what_the_user_gives_comes_before_the_preset(text, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(words(text, out, "--tokens", "6k", "--optimizer", "adamw", "--dropout", "0.2", "--warmup", "0.1")) == 0
    settings = json.loads((out / "training.json").read_text())["settings"]
    preset = PRESETS["pico"]
    assert settings["optim"]["muon_lr"] == 0 and settings["optim"]["adam_lr"] == preset.adamw_lr
    assert (settings["model"]["dropout"], settings["sequences"], settings["tokens"]) == (0.2, preset.sequences, 6000)
    assert settings["optim"]["warmup"] == 0.1
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG") and "held out" in (out / "loss.svg").read_text()
    assert f"AdamW {preset.adamw_lr:g}, linear" in capsys.readouterr().err
    # Repeating the command cannot lose it, and another configuration cannot continue it.
    assert main(words(text, out)) == 2 and "give --resume" in capsys.readouterr().err
    assert main(words(text, out, "--tokens", "6k", "--resume")) == 2
    assert f"muon_lr: 0.0 -> {PRESETS['pico'].muon_lr:g}" in capsys.readouterr().err
    again = ["train", "--size", "pico", "--corpus", str(out / "corpus"), "--out", str(tmp_path / "b"), "--tokens", "6k"]
    assert main([*again, "--vocab", "280"]) == 2 and "omit --vocab" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--optimizer", "adan"], "unknown optimizer 'adan'; did you mean 'adamw'?"),
        (["--context", "0"], "--context must be at least 1"),
        (["--sequences", "0"], "sequences must be at least 1"),
        (["--sequences", "6", "--accumulate", "4"], "6 sequences per step cannot be split into 4 equal parts"),
        (["--adam-lr", "nan"], "adam_lr must be a positive number, not nan"),
        (["--clip", "0"], "clip must be a positive number"),
        (["--warmup", "1"], "warmup must be at least 0 and below 1"),
        (["--dropout", "1"], "dropout must be in [0, 1)"),
        (["--spike", "-1"], "spike must be a positive number"),
        (["--keep-last", "0"], "keep_last must be at least 1"),
        (["--fsdp"], "Muon needs whole matrices"),
        (["--fsdp", "--optimizer", "adamw"], "--fsdp needs processes: start with torchrun"),
        (["--optimizer", "adamw", "--muon-lr", "0.1"], "--muon-lr needs --optimizer muon"),
        (["--tokens", "many"], "--tokens 'many'"),
        (["--seed", "-1"], "seed must be at least 0"),
        (["--eval-every", "1k", "--tasks", "world_qo"], "unknown task 'world_qo'; did you mean 'world_qa'?"),
        (["--eval-every", "often"], "--eval-every 'often'"),
        (["--eval-every", "1k", "--limit", "0"], "--limit must be at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options_are_said_before_any_work(wrong, says, text, tmp_path, capsys):
    assert main(words(text, tmp_path / "out", *wrong)) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert not (tmp_path / "out" / "corpus").exists() or wrong[0] == "--fsdp"


def test_the_command_that_resumes_is_written_again(monkeypatch):
    import argparse

    parser = argparse.ArgumentParser()
    command.configure(parser)
    given = "--size=nano --corpus my.txt more --out=a/b --resume --tokens=9k --fsdp --data x=y --data z=w"
    arguments = parser.parse_args(given.split())
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    written = command.command(arguments)
    assert written.startswith("evalkit train --size=nano --corpus my.txt more --out=a/b --resume --tokens=9k")
    assert parser.parse_args(written.split()[2:]) == parser.parse_args(given.split())
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert command.command(arguments).startswith("torchrun --nproc-per-node 2 -m evalkit.cli train --size=nano")
