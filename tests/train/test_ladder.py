"""Several trainings on one corpus."""

from __future__ import annotations

import json

import pytest

from evalkit.cli import main
from evalkit.train import ladder


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(f"line {n} of a small text that says little" for n in range(2000)))
    return path


@pytest.mark.slow
def test_a_ladder_is_trained_on_one_corpus(text, tmp_path):
    words = ["train", "--size", "pico,nano", "--corpus", str(text), "--vocab", "300", "--out", str(tmp_path / "out")]
    assert main([*words, "--tokens", "9k", "--context", "32", "--jobs", "2"]) == 0
    records = [json.loads((tmp_path / "out" / name / "training.json").read_text()) for name in ("pico", "nano")]
    assert records[0]["settings"]["corpus"] == records[1]["settings"]["corpus"]
    assert records[0]["parameters"] < records[1]["parameters"]
    again = ["--size", "pico", "--corpus", str(tmp_path / "out" / "corpus"), "--out", str(tmp_path / "alone")]
    # The same number of threads: how a sum is split among threads decides its last bits.
    ladder.train_all({"again": [*again, "--tokens", "9k", "--context", "32"]}, jobs=2)
    one, other = (tmp_path / folder / "model.safetensors" for folder in ("alone", "out/pico"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_a_ladder_on_a_corpus_that_stands_elsewhere(text, tmp_path):
    assert main(["corpus", "build", str(text), "--vocab", "300", "--out", str(tmp_path / "corpus")]) == 0
    words = ["train", "--size", "pico,nano", "--corpus", str(tmp_path / "corpus"), "--out", str(tmp_path / "out")]
    assert main([*words, "--tokens", "9k", "--context", "32", "--jobs", "2"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["nano", "pico"]


def test_names():
    assert (ladder.name_of("mini", 0), ladder.name_of("mini", 2)) == ("mini", "mini-seed2")


@pytest.mark.slow
def test_a_failing_training_stops_the_others(tmp_path):
    wrong = ["--size", "pico", "--corpus", str(tmp_path / "absent"), "--out", str(tmp_path / "out")]
    with pytest.raises(ladder.TrainingFailedError, match="bad ended with exit code 2"):
        ladder.train_all({"bad": wrong, "never": wrong}, jobs=1)


def test_wrong_options_are_user_errors(text, tmp_path, capsys):
    words = ["train", "--corpus", str(text), "--out", str(tmp_path / "out"), "--size"]
    assert main([*words, "pico,nan"]) == 2 and "unknown size 'nan'; did you mean" in capsys.readouterr().err
    assert main([*words, "pico,nano", "--jobs", "0"]) == 2 and "--jobs must be" in capsys.readouterr().err
    assert main([*words, "pico", "--seed", "x"]) == 2 and "--seed" in capsys.readouterr().err
