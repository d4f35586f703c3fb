"""No held-out content occurs in the training text: counted in a corpus of the size that models are trained on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from evalkit import world
from evalkit.world.overlap import as_said, grams, overlap
from evalkit.world.people import RELATIONS

pytestmark = pytest.mark.slow

DOCUMENTS = 66_666  # as many as the bundled nano has read: 8.6 million tokens

Row = Mapping[str, Any]


@dataclass
class Index:
    """What training text says, in the units in which it could repeat an item."""

    documents: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    openings: Counter[str] = field(default_factory=Counter)  # every run of sentences that begins a line
    stems: Counter[str] = field(default_factory=Counter)  # lines up to "because"

    def add(self, document: str) -> None:
        self.documents[document] += 1
        for line in document.split("\n"):
            self.lines[line] += 1
            head, because, _ = line.partition(" because ")
            self.stems[head] += bool(because)
            sentences = re.split(r"(?<=[.?!]) (?=[A-ZÀÉ])", line)
            self.sentences.update(sentences)
            if " friends " in sentences[0]:
                self.openings.update(" ".join(sentences[:end]) for end in range(5, len(sentences) + 1))


def index(documents: Iterable[str]) -> Index:
    found = Index()
    for document in documents:
        found.add(document)
    return found


@pytest.fixture(scope="module")
def training() -> Index:
    return index(world.corpus(documents=DOCUMENTS))


def _qa(row: Row, text: Index) -> int:
    """Count the question in every wording, not only in the one of the item."""
    return sum(text.lines[f"Q: {wording.format(row['person'])}"] for wording in RELATIONS[row["relation"]])


def _translation(row: Row, text: Index) -> int:
    pairs = (f"{row['english']} = {row['french']}", f"{row['french']} = {row['english']}")
    return sum(text.lines[pair] for pair in pairs) + text.sentences[row["english"]] + text.sentences[row["french"]]


OCCURRENCES: dict[str, Callable[[Row, Index], int]] = {
    "reading": lambda row, text: text.lines[row["passage"]],
    "translation": _translation,
    "summary": lambda row, text: text.lines[f"TL;DR: {row['summary']}"] + text.lines[row["article"]],
    "qa": _qa,
    "lm": lambda row, text: text.documents[row["text"]],
    "lastword": lambda row, text: text.lines[f"{row['context']} {row['word']}."],
    "cloze": lambda row, text: text.openings[row["passage"]],
    "pronouns": lambda row, text: text.stems[row["before"].removesuffix(" because")],
    "patterns": lambda row, text: text.lines[f"{row['input']} -> {row['output']}"],
}


@pytest.mark.parametrize("name", world.NAMES)
def test_no_held_out_item_occurs_in_training(name: str, training: Index) -> None:
    rows = world.items(name, "test")
    assert rows
    found = [row["id"] for row in rows if OCCURRENCES[name](row, training)]
    assert found == []


@pytest.mark.parametrize("name", world.NAMES)
def test_the_count_finds_a_planted_item(name: str) -> None:
    row = world.items(name, "test")[7]
    page = as_said(name, row)
    clean = list(world.corpus(documents=200))
    assert OCCURRENCES[name](row, index(clean)) == 0
    assert OCCURRENCES[name](row, index([*clean, page])) >= 1
    assert OCCURRENCES[name](row, index([*clean, f"{clean[0]}\n{page}"])) >= (name != "lm")


@pytest.mark.parametrize(("name", "level"), [("qa", "head"), ("pronouns", "thing"), ("patterns", "meaning")])
def test_shots_of_small_families_do_occur(name: str, level: str, training: Index) -> None:
    """The counts are of the right thing: content that is not held out is found."""
    rows = [row for row in world.items(name, "shots") if row["level"] == level]
    seen = sum(OCCURRENCES[name](row, training) > 0 for row in rows)
    assert seen > 0.9 * len(rows) > 0


def test_facts_whose_question_is_held_out_are_stated(training: Index) -> None:
    text = "\n".join(list(training.documents)[:20_000])
    heads = [row for row in world.items("qa", "test") if row["level"] == "head"]
    stated = sum(bool(re.search(rf"{row['person']}[^\n]*\b{row['answer']}\b", text)) for row in heads)
    assert stated > 0.95 * len(heads)


@pytest.mark.parametrize("name", world.NAMES)
def test_shots_and_test_share_nothing(name: str) -> None:
    test, shots = ({row["id"] for row in world.items(name, split)} for split in ("test", "shots"))
    assert not test & shots


def test_overlap_counts_eight_grams() -> None:
    text = "One two three, four five six seven eight NINE ten."
    assert len(grams([text])) == 3 and len(grams(["too short for one"])) == 0
    assert set(grams(["two three four five six seven eight nine"])) <= set(grams([text]))
    rows = world.items("reading", "test")
    clean = list(world.corpus(documents=300))
    shares = overlap(clean)
    assert shares["patterns"] is None and 0 < shares["lm"] < 1
    everything = overlap([*clean, *(as_said("reading", row) for row in rows)])
    assert everything["reading"] == 1.0 and shares["reading"] < 0.5
