"""Examples of the forms that many benchmarks share: choices, pairs of sentences, questions with or without options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from evalkit.data.rows import choice_of, texts_of
from evalkit.types import Document, Example

ToExample = Callable[[Document], Example]


def choice_example(
    task: str, *, input: str, choices: Sequence[str], gold: int, parts: Mapping[str, str] | None = None
) -> Example:
    """Return a multiple-choice example, whose output is the right choice."""
    return Example(task=task, input=input, output=choices[gold], parts=parts or {}, choices=tuple(choices), gold=gold)


def sentence_pair(
    first: str, second: str, *, task: str, choices: Sequence[str], names: Sequence[Any] | None = None
) -> ToExample:
    """Return the to_example of a relation between two texts, such as entailment or paraphrase.

    first, second: the columns of the texts, and the names of the example's parts. choices: the classes as a prompt
    writes them, in the order of the labels, which are numbers. names: what labels are called where they may be words.
    """

    def to_example(document: Document) -> Example:
        row = document.row
        texts = {column: row[column].strip() for column in (first, second)}
        gold = choice_of(row["label"], choices, names=names, numbered=True)
        return choice_example(task, input="\n".join(texts.values()), choices=choices, gold=gold, parts=texts)

    return to_example


def lettered_question(column: str, *, task: str) -> ToExample:
    """Return the to_example of AI2's multiple-choice questions, whose options have letters or numbers of their own.

    column: where the question stands. Its row has {"choices": {"text": [...], "label": [...]}, "answerKey": ...} too.
    """

    def to_example(document: Document) -> Example:
        row = document.row
        choices = [text.strip() for text in texts_of(row["choices"]["text"], "choices.text")]
        gold = choice_of(row["answerKey"], choices, names=texts_of(row["choices"]["label"], "choices.label"))
        return choice_example(task, input=row[column].strip(), choices=choices, gold=gold)

    return to_example


def open_question(column: str) -> ToExample:
    """Return the to_example of questions with a list of accepted answers in `column`, the first of which a shot shows.

    The question loses its mark, which some rows have and others lack: the prompt writes it.
    """

    def to_example(document: Document) -> Example:
        answers = document.row[column]
        if not isinstance(answers, list) or not answers:
            raise TypeError(f"expected a list of answers in the column {column!r}")
        return Example(
            task="answer the question",
            input=document.row["question"].rstrip("? "),
            output=answers[0].strip(),
            references=tuple(answer.strip() for answer in answers),
        )

    return to_example


def solved_turns(turns: Iterable[tuple[str, str]]) -> str:
    """Write earlier questions with their answers as GPT-3 shows them, each line followed by a blank one."""
    return "".join(f"Q: {question}\n\nA: {answer}\n\n" for question, answer in turns)
