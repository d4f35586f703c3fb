"""What a ladder is worth on the curve of another: factors, their intervals, what is refused."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from processes import CONFIG, SHAPE

from evalkit.model.config import modern
from evalkit.train.loop import train
from tests.benchmarks import measure_ladders
from tests.benchmarks.measure_ladders import Rung, factors, page


def rung(name, width, losses):
    shape = dataclasses.replace(SHAPE, d_model=width, d_head=width // 2, d_ff=4 * width)
    return Rung(name=name, shape=shape, tokens=1000, losses=np.array(losses) * 32.0, seeds=(float(np.mean(losses)),))


def worth(base, other, counts):
    sizes = tuple(np.array([r.shape.block_parameters for r in rungs], dtype=float) for rungs in (base, other))
    return factors(base, other, sizes, counts)


def test_a_model_is_worth_the_size_with_its_loss():
    base = [rung("a", 32, [3.0, 3.0]), rung("b", 64, [2.0, 2.0]), rung("c", 128, [1.5, 1.5])]
    a, b, c = (r.shape.block_parameters for r in base)
    other = [rung("a", 32, [2.5, 2.5]), rung("b", 64, [1.5, 1.5]), rung("c", 128, [1.25, 1.25])]
    values, beyond = worth(base, other, np.ones((1, 2)))
    assert values[0] == pytest.approx([(a * b) ** 0.5 / a, c / b, (c / b) ** 0.5])
    assert beyond.tolist() == [[False, False, True]]
    assert worth(base, base, np.ones((1, 2)))[0][0] == pytest.approx([1, 1, 1])
    worse = worth(base, [rung("a", 32, [4.0, 4.0]), *base[1:]], np.ones((1, 2)))
    assert worse[0][0][0] == pytest.approx(a / b) and worse[1].tolist() == [[True, False, False]]


def test_windows_are_drawn_together():
    base = [rung("a", 32, [3.0, 1.0]), rung("b", 64, [2.0, 0.0])]
    other = [rung("a", 32, [2.5, 0.5]), rung("b", 64, [2.0, 0.0])]
    values, _ = worth(base, other, np.array([[1, 1], [2, 0], [0, 2]]))
    assert values.std(0) == pytest.approx([0, 0], abs=1e-12)  # every window says the same of the difference
    text = page("On words", base, other, names=("gpt2", "modern"), resamples=50)
    assert "-0.500 [-0.500, -0.500]" in text and "64 held-out tokens" in text


@pytest.fixture
def compare(monkeypatch, words_folder, tmp_path):
    def run(base, other):
        given = ["--corpus", str(words_folder), "--base", str(base), "--other", str(other), "--resamples", "20"]
        monkeypatch.setattr(sys, "argv", ["measure_ladders.py", *given, "--out", str(tmp_path / "page.md")])
        return measure_ladders.main()

    return run


def test_of_checkpoints(compare, words, tmp_path, capsys):
    small = dataclasses.replace(CONFIG, tokens=5 * 4 * 32)
    for size, width in (("pico", 16), ("nano", 32)):
        shape = dataclasses.replace(SHAPE, d_model=width, d_head=width // 2, d_ff=4 * width)
        for arch, built in (("gpt2", shape), ("modern", modern(shape))):
            train(dataclasses.replace(small, model=built), *words, tmp_path / arch / size)
    train(dataclasses.replace(small, seed=1), *words, tmp_path / "gpt2" / "nano-seed1")
    assert compare(tmp_path / "gpt2", tmp_path / "modern") == 0
    text = (tmp_path / "page.md").read_text()
    assert text.startswith("# What") and "| pico |" in text and text.count("\n| nano |") == 1
    compare(tmp_path / "gpt2", tmp_path / "gpt2")
    assert (tmp_path / "page.md").read_text().count("## Two ladders") == 2
    train(small, *words, tmp_path / "alone" / "nano")
    assert compare(tmp_path / "gpt2", tmp_path / "alone") == 2
    assert "must hold the same sizes" in capsys.readouterr().err
