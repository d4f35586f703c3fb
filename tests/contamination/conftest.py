"""A corpus in which it is known what was planted, and a task to look for."""

from __future__ import annotations

import json
import random

import pytest

from evalkit.data.sources import DataPaths

VOCABULARY = [a + b + c for a in "bdfgk" for b in "aeiou" for c in ("la", "mi", "no", "ru", "set")]


def sentence(rng, words):
    return " ".join(rng.choices(VOCABULARY, k=words))


@pytest.fixture
def planted(tmp_path):
    """LAMBADA with 60 passages of 30 words, every third one in a corpus of 300 pages -> data, corpus, ids planted."""
    rng = random.Random(25)
    passages = [sentence(rng, 30) for _ in range(60)]
    (tmp_path / "lambada.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in passages))
    pages = [sentence(rng, 200) for _ in range(300)]
    for number in range(0, 60, 3):
        shouted = passages[number].upper().replace(" ", ",  ")
        pages[5 * number] = f"{pages[5 * number]} {shouted}. {sentence(rng, 40)}"
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for part in range(3):
        rows = (json.dumps({"text": text}) + "\n" for text in pages[100 * part : 100 * part + 100])
        (corpus / f"{part}.jsonl").write_text("".join(rows))
    return DataPaths(named={"lambada": tmp_path / "lambada.jsonl"}), corpus, {str(i) for i in range(0, 60, 3)}
