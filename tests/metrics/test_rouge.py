"""ROUGE against rouge_score itself."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from evalkit import metrics
from evalkit.types import Example, Response

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
WORDS = [
    "The",
    "cats",
    "were",
    "running",
    "quickly",
    "over",
    "lazy",
    "dogs",
    ",",
    "and",
    "3.5",
    "of",
    "them",
    "jumped",
    ";",
    "nobody's",
    "café",
]


def texts(seed: int, *, separator: str) -> list[str]:
    rng = random.Random(seed)
    return [
        separator.join(" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) + " ." for _ in range(rng.randint(1, 4)))
        for _ in range(4)
    ]


def score(name: str, prediction: str, *answers: str) -> float:
    item = Example(task="", input="", output=answers[0], references=answers)
    (value,) = metrics.get(name).statistics(item, [Response(text=prediction)])
    return value


UNICODE = tuple(f"{name}_unicode" for name in NAMES)
SCRIPTS = [
    "Мама мыла раму",
    "東京は日本の首都です。",
    "ภาษาไทยง่าย",
    "हिन्दी एक भाषा है",
    "Η Αθήνα είναι πόλη",
    "학교에 갔다",
]


@pytest.mark.parametrize("text", SCRIPTS)
def test_equal_texts_of_any_script_score_one_by_unicode_words(text: str) -> None:
    assert [score(name, text, text) for name in UNICODE] == [1.0] * 4
    assert score("rouge1_unicode", text, "something else") == 0.0
    assert score("rouge1", text, text) == 0.0
    example = Example(task="", input="", output=text)
    assert "rouge1_unicode" in metrics.get("rouge1").concern(example)
    assert metrics.get("rouge1_unicode").concern(example) == ""


def test_parts_of_a_text_in_another_script_count_by_words() -> None:
    assert score("rouge1_unicode", "Мама мыла пол", "мама мыла раму") == pytest.approx(2 / 3)
    assert score("rouge2_unicode", "東京です", "東京だ") == pytest.approx(2 / 5)
    assert "|tokens:unicode|" in metrics.get("rouge1_unicode").signature()
    assert "tokens" not in metrics.get("rouge1").signature()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_unicode_words_change_nothing_in_ascii(name: str, seed: int) -> None:
    prediction, *answers = (text.replace("café", "cafe") for text in texts(seed, separator="\n"))
    assert score(f"{name}_unicode", prediction, *answers) == score(name, prediction, *answers)
    assert not any(metrics.get(name).concern(Example(task="", input="", output=a)) for a in (*answers, "café à Genève"))


@pytest.mark.parametrize("name", NAMES)
def test_rouge_is_rouge_scores(name: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    theirs = RougeScorer([name], use_stemmer=True)
    for seed in range(30):
        prediction, *answers = texts(seed, separator="\n" if name == "rougeLsum" else " ")
        if name == "rougeLsum":
            prediction, *answers = [text if "\n" in text else text + "\n. end" for text in (prediction, *answers)]
        expected = max(theirs.score(answer, prediction)[name].fmeasure for answer in answers)
        assert score(name, prediction, *answers) == pytest.approx(expected, abs=1e-12)
        assert score(name, prediction, answers[0]) == pytest.approx(
            theirs.score(answers[0], prediction)[name].fmeasure, abs=1e-12
        )


def test_hand_computed() -> None:
    # "cat sat" against "the cat sat down": 2 of 2 and 2 of 4; one bigram of 1 and of 3.
    assert score("rouge1", "cat sat", "the cat sat down") == pytest.approx(2 / 3)
    assert score("rouge2", "cat sat", "the cat sat down") == pytest.approx(0.5)
    assert score("rougeL", "sat cat", "the cat sat down") == pytest.approx(1 / 3)
    assert score("rouge1", "jumping dogs", "jumped dog") == 1.0  # stems
    assert score("rouge1", "", "cat") == 0.0


def test_lsum_splits_a_text_without_line_breaks() -> None:
    one_line, lines = "The dog ran. The cat sat.", "The dog ran.\nThe cat sat."
    reference = "The cat sat.\nThe dog ran."
    assert score("rougeLsum", one_line, reference) == score("rougeLsum", lines, reference) == 1.0
    assert score("rougeL", one_line, reference) < 1.0


def test_metrics_import_neither_sacrebleu_nor_rouge() -> None:
    code = (
        "import sys, evalkit.metrics, evalkit.stats.intervals;"
        "print([m for m in ('sacrebleu', 'rouge_score', 'nltk', 'scipy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
