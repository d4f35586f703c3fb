"""Small files, in the form of their releases, of benchmarks of texts whose own files may not be at hand.

The sentences are made up; only the forms are the benchmarks'.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

_NOUNS = ("king", "queen", "fox", "crow", "cat", "dog", "miller", "hen", "horse", "tailor")
_NAMES = ("Anna", "Bert", "Clara", "David", "Emma", "Franz", "Greta", "Hugo", "Ida", "Karl")


def write(folder: Path) -> Path:
    """Write all files and return the folder, to be used as EVALKIT_DATA."""
    for kind, words in (("CN", _NOUNS), ("NE", _NAMES)):
        for split, count in (("valid_2000ex", 12), ("train", 6)):
            _text(folder / f"CBTest/data/cbtest_{kind}_{split}.txt", (_story(words, i) for i in range(count)))
    for name, count in (("test__spring2016 - cloze_test_ALL_test", 12), ("val__spring2016 - cloze_test_ALL_val", 6)):
        _csv(folder / f"storycloze/cloze_test_{name}.csv", [_cloze(name, i) for i in range(count)])
    for split, count in (("test", 12), ("train", 6)):
        _text(folder / f"dprd/{split}.c.txt", (_problem(i) for i in range(count)))
    for year, other, test, earlier in (
        (16, "deu", "newstest2016", "newstest2015"), (16, "ron", "newstest2016", "newsdev2016"),
        (14, "deu", "newstest2014", "newstest2013"),
    ):  # fmt: skip
        for name, count in ((test, 12), (earlier, 6)):
            for language in ("eng", other):
                lines = (f"{name} {language}: {_NAMES[i % 10]}, {i}.\n" for i in range(count))
                _text(folder / f"wmt{year}/{other}-eng/{name}.{language}", lines)
    _text(folder / "sat_analogies/SAT-package-V3.txt", ("# made\n\n", *(_analogy(i) for i in range(12))))
    _text(folder / "wsc/PDP.txt", (_masked(i) for i in range(12)))
    heldout = "1-billion-word-language-modeling-benchmark-r13output/heldout-monolingual.tokenized.shuffled"
    _text(
        folder / heldout / "news.en.heldout-00000-of-00050",
        (f"\" It 's {i}.5 percent , \" said {_NAMES[i % 10]} , who did n't smile .\n" for i in range(12)),
    )
    page = "".join(f"[[{name}]] &amp; the {noun}é\n" for name, noun in zip(_NAMES, _NOUNS, strict=True))
    _text(folder / "enwik8/enwik8-raw/train.jsonl", [json.dumps({"text": page * 1000}) + "\n"])
    _text(folder / "text8/test.jsonl", [json.dumps({"text": " the " + " and ".join(_NOUNS * 3000)}) + "\n"])
    return folder


def _text(path: Path, pieces: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(pieces), encoding="utf-8")


def _csv(path: Path, rows: list[Mapping[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def _story(words: tuple[str, ...], index: int) -> str:
    """A question of the Children's Book Test, with the tab-parted line and the blank that follow it."""
    word = words[index % 10]
    lines = [f"{i} `` I see number {i} of {index} , '' said the {word} -LRB- it did n't -RRB- ." for i in range(1, 21)]
    question = f"21 `` My dear XXXXX , '' said they , `` come in . ''\t{word}\t\t{'|'.join(words)}"
    return "\n".join([*lines, question]) + "\n\n"


def _cloze(name: str, index: int) -> Mapping[str, str]:
    person = _NAMES[index % 10]
    return {
        "InputStoryid": f"{name[:4]}-{index}",
        "InputSentence1": f"{person} had {index + 2} apples.",
        "InputSentence2": "A friend asked for one.",
        "InputSentence3": f'"Of course", said {person}.',
        "InputSentence4": "They ate together.",
        "RandomFifthSentenceQuiz1": "The friend was glad.",
        "RandomFifthSentenceQuiz2": "The friend, however, had never eaten.",
        "AnswerRightEnding": str(index % 2 + 1),
    }


def _analogy(index: int) -> str:
    """A question of the SAT: a source, a pair, five more, the letter of the one that is related alike."""
    pairs = [(_NAMES[(index + i) % 10], _NOUNS[(index + i) % 10]) for i in range(6)]
    lines = [f"{name.lower()} {noun} n:n" for name, noun in pairs]
    return "\n".join(["190 FROM REAL SATs", *lines, "abcde"[index % 5]]) + "\n\n"


def _masked(index: int) -> str:
    """A pronoun disambiguation problem as it is handed on: the pronoun hidden, two or three candidates."""
    candidates = [_NAMES[(index + i) % 10] for i in range(2 + index % 2)]
    sentence = f"{candidates[0]} met {candidates[1]}, and  [MASK]  was number {index}."
    return f"{sentence}\n[MASK]\n {' , '.join(candidates)} \n {candidates[-1]} \n\n"


def _problem(index: int) -> str:
    """A problem of Rahman and Ng's: five lines; it stands in the first clause too, where it is not meant."""
    animal = _NOUNS[index % 10]
    answer = "the pie" if index % 2 else f"The {animal}"
    last = "tasty" if index % 2 else "hungry"
    return f"The {animal} ate the pie because it was {last} number {index}.\nit\nThe {animal},the pie\n{answer}\n\n"
