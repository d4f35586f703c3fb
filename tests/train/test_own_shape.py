"""A shape of one's own at the command line: by itself, on top of a size, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.cli import main


def _train(*words: object, out: Path) -> int:
    fixed = ("--corpus", "world", "--tokens", "2k", "--context", "64", "--batch-size", "4", "--out", out)
    return main(["train", *map(str, (*words, *fixed))])


def _shape(out: Path) -> tuple[int, int, int, int]:
    config = json.loads((out / "config.json").read_text())
    return config["n_layer"], config["n_head"], config["n_embd"], config["n_positions"]


def test_layers_heads_and_width_make_a_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _train("--n-layer", 1, "--n-head", 3, "--d-model", 24, out=tmp_path / "own") == 0
    assert _shape(tmp_path / "own") == (1, 3, 24, 64)
    assert "steps of 4 x 64 tokens; Muon 0.02" in capsys.readouterr().err  # the preset of the nearest size


def test_one_of_them_changes_a_size(tmp_path: Path) -> None:
    assert _train("--size", "pico", "--n-layer", 1, out=tmp_path / "own") == 0
    assert _shape(tmp_path / "own") == (1, 2, 32, 64)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "train needs --size, --from, or a shape of its own (--n-layer, --n-head, --d-model not given)"),
        (("--n-layer", 2, "--n-head", 2), "(--d-model not given)"),
        (("--size", "pico,nano", "--n-head", 2), "--n-head changes one size; --size pico,nano names several"),
        (("--from", "nano", "--d-model", 64), "--d-model is the model's with --from; omit it"),
        (("--n-layer", 2, "--n-head", 3, "--d-model", 50), "d_model 50 is not a multiple of n_head 3"),
        (("--size", "pico", "--n-layer", 0), "n_layer must be from 1 to"),
    ],
)
def test_a_shape_that_is_none(
    words: tuple[object, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(*words, out=tmp_path / "own") == 2
    assert message in capsys.readouterr().err and not (tmp_path / "own").exists()
