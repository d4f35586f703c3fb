"""A ladder trained by workers of Ray: the weights of one without, whatever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalkit.cli import main

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'evalkit[ray]')")


@pytest.fixture
def words(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"line {n} of a small text that says little" for n in range(2000)))
    assert main(["corpus", "build", str(text), "--vocab", "300", "--out", str(tmp_path / "corpus")]) == 0
    return ["train", "--size", "pico,nano", "--corpus", str(tmp_path / "corpus"), "--context", "32"]


def weights(folder):
    return {name: (folder / name / "model.safetensors").read_bytes() for name in ("pico", "nano")}


def of_ray(name):
    """The ids of the processes that Ray has given this title."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if path.joinpath("cmdline").read_bytes().startswith(f"ray::{name}".encode()):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def test_workers_train_the_weights_that_processes_train(words, tmp_path, capsys):
    words += ["--tokens", "9k"]
    assert main([*words, "--out", str(tmp_path / "here"), "--jobs", "2"]) == 0
    assert main([*words, "--out", str(tmp_path / "there"), "--workers", "2"]) == 0
    assert weights(tmp_path / "there") == weights(tmp_path / "here")
    assert "steps of" in capsys.readouterr().err  # what trainings print arrives
    assert main([*words, "--out", str(tmp_path / "there"), "--workers", "2"]) == 2
    assert "already holds a training" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")
def test_a_training_whose_worker_is_killed_goes_on_from_its_checkpoint(words, tmp_path):
    words += ["--tokens", "24k", "--checkpoint-every", "4", "--sequences", "16"]
    assert main([*words, "--out", str(tmp_path / "here"), "--jobs", "2"]) == 0
    out = tmp_path / "there"
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit.cli", *words, "--out", str(out), "--workers", "2"], stderr=subprocess.PIPE
    )
    while not list(out.glob("*/state.pt")):
        assert process.poll() is None
        time.sleep(0.02)
    victims = of_ray("_train")
    assert victims
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    said = process.communicate()[1].decode()
    assert process.returncode == 0, said
    assert "goes on from its last checkpoint: its worker died" in said
    assert weights(out) == weights(tmp_path / "here")
    records = [json.loads((folder / name / "training.json").read_text()) for folder in (out, tmp_path / "here")
               for name in ("pico", "nano")]  # fmt: skip
    assert len({record["tokens"] for record in records}) == 1


def test_a_ladder_that_is_stopped_has_saved_its_states(words, tmp_path):
    words += ["--tokens", "600k", "--checkpoint-every", "1000", "--sequences", "16", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit.cli", *words, "--workers", "2"], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    while len(list((tmp_path / "out").glob("*/metrics.jsonl"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[1].decode()
    assert process.returncode == 143, said
    assert "every training has saved its state; continue with: evalkit train" in said and "--workers=2" in said
    assert sorted(path.parent.name for path in (tmp_path / "out").glob("*/state.pt")) == ["nano", "pico"]


def test_wrong_options_are_named(words, tmp_path, capsys, monkeypatch):
    words += ["--out", str(tmp_path / "out")]
    assert main([*words, "--workers", "2", "--jobs", "2"]) == 2
    assert "--jobs is for this process, --workers for Ray" in capsys.readouterr().err
    assert main([*words, "--workers", "0"]) == 2
    assert "--workers must be at least 1" in capsys.readouterr().err
    one = [word.replace("pico,nano", "pico") for word in words]
    assert main([*one, "--workers", "2"]) == 2
    assert "are for several sizes or seeds" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*words, "--workers", "2"]) == 2
    assert "pip install 'evalkit[ray]'" in capsys.readouterr().err
