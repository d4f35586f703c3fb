"""Arithmetic and scrambled words: what is made is right, and what is released is read and rendered as it is."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from evalkit.data.sources import DataPaths
from evalkit.errors import DataError
from evalkit.harness import catalog
from evalkit.harness.prompts import pairs, render
from evalkit.harness.run import RunSettings, load
from evalkit.types import Document, Example

NAMES = ["2da", "2ds", "3da", "3ds", "4da", "4ds", "5da", "5ds", "2dm", "1dc"]
SCRAMBLES = ["cl", "a1", "a2", "ri", "rw"]
VALUE = {"plus": "+", "minus": "-", "times": "*"}


def _examples(name: str, data: DataPaths) -> list[Example]:
    return [example for _, example in load(catalog.bundled()[name], RunSettings(), data).documents]


def _right(example: Example) -> bool:
    problem = re.sub("|".join(VALUE), lambda match: VALUE[match.group()], example.input)
    assert re.fullmatch(r"[-+*() \d]+", problem)
    return eval(problem) == int(example.output)


def test_there_are_ten_and_five() -> None:
    found = {name for name, task in catalog.bundled().items() if task.family == "synthetic"}
    assert found == {f"arithmetic_{name}" for name in NAMES} | {f"scramble_{name}" for name in SCRAMBLES}


@pytest.mark.parametrize("name", NAMES)
def test_made_problems_are_right(name: str) -> None:
    examples = _examples(f"arithmetic_{name}", DataPaths())
    assert len(examples) == 2000
    assert all(map(_right, examples))
    shots = load(catalog.bundled()[f"arithmetic_{name}"], RunSettings(shots=(1,)), DataPaths()).pool.groups[""]
    assert {example.input for _, example in shots} != {example.input for example in examples}


@pytest.mark.parametrize(("name", "digits"), [("2da", 2), ("3ds", 3), ("5da", 5), ("2dm", 2)])
def test_operands_are_uniform(name: str, digits: int) -> None:
    operands = [int(n) for e in _examples(f"arithmetic_{name}", DataPaths()) for n in re.findall(r"\d+", e.input)]
    assert max(operands) < 10**digits
    tenths = Counter(operand * 10 // 10**digits for operand in operands)
    # 400 expected in each tenth, standard deviation 19.
    assert len(tenths) == 10 and all(abs(count - 400) < 5 * 19 for count in tenths.values())


def test_three_digits_are_made_as_released() -> None:
    forms = Counter(re.sub(r"\d", "d", e.input) for e in _examples("arithmetic_1dc", DataPaths()))
    assert set(forms) == {f"(d {a} d) {b} d" for a in "+-*" for b in "+-*"}
    # 222 expected of each, standard deviation 14.
    assert all(abs(count - 222) < 5 * 14 for count in forms.values())


@pytest.mark.parametrize("name", NAMES)
def test_released_problems_are_right_and_rendered_as_they_are(name: str, data_dir: Path) -> None:
    task = catalog.bundled()[f"arithmetic_{name}"]
    loaded = load(task, RunSettings(), DataPaths(root=data_dir))
    assert len(loaded.documents) == 2000
    for document, example in loaded.documents:
        assert _right(example)
        assert pairs(loaded.protocol, example, []) == [(document.row["context"], "")]
        assert render(loaded.protocol.target, example) == document.row["completion"]


def test_the_hub_has_another_wording() -> None:
    row = {"context": "Question: What is 98 plus 45?\nAnswer:", "completion": " 143"}
    task = catalog.bundled()["arithmetic_2da"]
    example = task.to_example(Document(id="0", row=row))
    assert pairs(task.protocols["lm-eval"], example, []) == [(row["context"], row["completion"])]


@pytest.mark.parametrize(
    "row", [{"context": "98 + 45", "completion": " 143"}, {"context": "What is 1?", "completion": " x"}]
)
def test_what_is_no_problem_is_an_error(row: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expected 'What is"):
        catalog.bundled()["arithmetic_2da"].to_example(Document(id="0", row=row))


def _undone(name: str, word: str, jumble: str) -> bool:
    """Tell whether a jumble is what the task may make of a word."""
    ends = {"a1": 1, "a2": 2}.get(name, 0)
    if name == "rw":
        return jumble[::-1] == word
    if name == "ri":
        return jumble[::2] == word and set(jumble[1::2]) <= set(" ./!")
    if name == "cl":
        return jumble in {word[i:] + word[:i] for i in range(1, len(word))}
    same_ends = (jumble[:ends], jumble[-ends:]) == (word[:ends], word[-ends:])
    inner = word[ends:-ends]
    return same_ends and sorted(jumble) == sorted(word) and (jumble != word or len(set(inner)) < 2)


@pytest.mark.parametrize("name", SCRAMBLES)
def test_released_words_are_scrambled_as_described(name: str, data_dir: Path) -> None:
    loaded = load(catalog.bundled()[f"scramble_{name}"], RunSettings(), DataPaths(root=data_dir))
    assert len(loaded.documents) == 10_000
    first = "Please unscramble the letters into a word, and write that word:"
    for document, example in loaded.documents:
        assert _undone(name, example.output, example.input)
        assert pairs(loaded.protocol, example, []) == [(first + document.row["context"], "")]


@pytest.mark.parametrize("name", SCRAMBLES)
def test_words_of_a_frequency_list_are_scrambled(name: str, tmp_path: Path) -> None:
    words = [
        "the",
        "house",
        "abouts",
        "internationalized",
        "it's",
        "aaaaaaa",
        *(f"{a}{b}orange" for a in "xyz" for b in "abc"),
    ]
    path = tmp_path / "count_1w.txt"
    path.write_text("".join(f"{word}\t{1000 - i}\n" for i, word in enumerate(words)))
    examples = _examples(f"scramble_{name}", DataPaths(named={f"scramble_{name}": path}))
    assert {example.output for example in examples} == {w for w in words if w.isalpha() and 4 < len(w) < 15}
    assert all(_undone(name, example.output, example.input) for example in examples)
    again = _examples(f"scramble_{name}", DataPaths(named={f"scramble_{name}": path}))
    assert again == examples


def test_a_word_without_its_count_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "count_1w.txt"
    path.write_text("house\t3\nmouse\n")
    with pytest.raises(DataError, match=r"count_1w\.txt line 2: expected a word, a tab and its count"):
        _examples("scramble_cl", DataPaths(named={"scramble_cl": path}))
