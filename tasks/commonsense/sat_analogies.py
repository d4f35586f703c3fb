"""SAT analogies: which of five pairs of words is related as a given pair is, from the American college entrance test.

Paper: Turney et al. 2003, "Combining Independent Modules in Lexical Multiple-Choice Problems"; for GPT-3, Brown et al.
2020, section 3.9.3. Link: the file is sent on request, https://aclweb.org/aclwiki/SAT_Analogy_Questions_(State_of_the_art).
Splits: 374 questions, shots from the same ones. A few have four pairs, not five.
GPT-3 compares likelihoods per token (figure G.12), with 20 shots.

    document  {"stem": ["lull", "trust"], "choice": [["balk", "fortitude"], ["betray", "loyalty"], ["cajole",
               "compliance"], ["hinder", "destination"], ["soothe", "passion"]], "answer": 2}
    prompt    lull is to trust as
    target     cajole is to compliance
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evalkit.data.readers import Row, read_lines
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.errors import DataError
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_LETTERS = "abcde"


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the questions of Turney's file: blocks of a source, seven lines of two words, and the letter that is right.

    Comments begin with #. Raises DataError naming the line of a block that is none.
    """
    for path in paths:
        block: list[str] = []
        number = 0
        for number, line in read_lines(path):
            if line.strip() and not line.startswith("#"):
                block.append(line)
            elif block:
                yield _question(block, f"{path} line {number - len(block)}")
                block = []
        if block:
            yield _question(block, f"{path} line {number - len(block) + 1}")


def _question(block: Sequence[str], place: str) -> Row:
    _, stem, *choices, letter = block if len(block) > 2 else ("", "", "")
    pairs = [line.split()[:2] for line in (stem, *choices)]
    answer = _LETTERS.find(letter.strip())
    if not 0 <= answer < len(choices) or len(letter.strip()) != 1 or any(len(pair) < 2 for pair in pairs):
        raise DataError(f"{place}: expected a source, pairs of words and the letter of one of them; is the file cut?")
    return {"stem": pairs[0], "choice": pairs[1:], "answer": answer}


def _to_example(document: Document) -> Example:
    row = document.row
    (first, second), gold = row["stem"], row["answer"]
    choices = [f"{one} is to {other}" for one, other in row["choice"]]
    if not isinstance(gold, int) or not 0 <= gold < len(choices):
        raise ValueError(f"expected the place of a choice in answer, found {gold!r}")
    return choice_example("complete the analogy", input=f"{first} is to {second}", choices=choices, gold=gold)


TASKS = (
    Task(
        name="sat_analogies",
        family="commonsense",
        title="pairs of words related alike, of the SAT (Turney et al. 2003)",
        licence="for research, not to be passed on; the hub has a copy",
        source=BenchmarkSource(
            name="sat_analogies",
            hub=Hub(id="relbert/analogy_questions", config="sat_full", splits={"test": "test"}),
            releases=released("sat_analogies/SAT-package-V3.txt", read=_read),
        ),
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query="{input} as",
                target=" {choice}",
                metrics=("acc_per_token", "acc", "acc_per_char", "acc_per_byte"),
                paper_shots=20,
            ),
        },
    ),
)
