"""Examples of the forms that several benchmarks share, and the documents that they are made of."""

from __future__ import annotations

import pytest

from evalkit.data.glue import glue, superglue
from evalkit.data.sources import released
from evalkit.errors import LabelError
from evalkit.harness.examples import lettered_question, open_question, sentence_pair, solved_turns
from evalkit.harness.perplexity import last_stretches, whole_text
from evalkit.harness.task import document_per_row
from evalkit.types import Document


def document(**row: object) -> Document:
    return Document(id="0", row=row)


def test_a_pair_takes_labels_as_numbers_and_as_names() -> None:
    pair = sentence_pair("a", "b", task="compare", choices=("yes", "no"), names=("same", "other"))
    for label in (1, "1", "other"):
        example = pair(document(a=" One. ", b="Two.", label=label))
        assert (example.input, example.output, example.gold) == ("One.\nTwo.", "no", 1)
        assert example.parts == {"a": "One.", "b": "Two."}
    for label in (-1, "another", None):
        with pytest.raises(LabelError):
            pair(document(a="One.", b="Two.", label=label))


def test_a_lettered_question_goes_by_its_own_letters() -> None:
    to_example = lettered_question("stem", task="answer")
    choices = {"text": [" x ", "y", "z"], "label": ["1", "2", "C"]}
    example = to_example(document(stem=" Which? ", choices=choices, answerKey="C"))
    assert (example.input, example.choices, example.output, example.gold) == ("Which?", ("x", "y", "z"), "z", 2)
    with pytest.raises(LabelError):
        to_example(document(stem="Which?", choices=choices, answerKey="A"))


def test_an_open_question_loses_its_mark_and_needs_an_answer() -> None:
    example = open_question("found")(document(question="who? ", found=["Ann ", "Eve"]))
    assert (example.input, example.output, example.answers) == ("who", "Ann", ("Ann", "Eve"))
    for answers in ([], "Ann"):
        with pytest.raises(TypeError, match="list of answers in the column 'found'"):
            open_question("found")(document(question="who?", found=answers))


def test_turns_have_a_blank_line_after_each() -> None:
    assert solved_turns([("a", "b"), ("c", "d")]) == "Q: a\n\nA: b\n\nQ: c\n\nA: d\n\n"


def test_a_document_per_row_has_the_slices_of_its_columns() -> None:
    row = {"key": 7, "page": 3, "kind": "hard"}
    assert list(document_per_row(id="key", cluster="page", level="kind")(row, 0)) == [
        Document(id="7", row=row, cluster="3", level="hard")
    ]
    assert list(document_per_row(id="key")(row, 0)) == [Document(id="7", row=row)]
    with pytest.raises(KeyError, match="level"):
        list(document_per_row(id="key", level="level")(row, 0))


def test_stretches_are_the_end_of_the_text() -> None:
    rows = [{"text": "aé bc "}, {"text": "def ghi jk"}]
    stretches = [row["text"] for row in last_stretches(15, pattern=r".{4}[^ ]*|.+")(rows)]
    assert stretches == [" bc def", " ghi", " jk"]  # the cut falls within é, which is left out


def test_a_tokenised_text_is_counted_as_released() -> None:
    example = whole_text("page", str.upper)(document(page="a b"))
    assert (example.input, example.original) == ("A B", "a b")
    assert whole_text("page")(document(page="a b")).input == "a b"


def test_the_sources_of_glue_and_superglue() -> None:
    assert glue("mnli_mm", config="mnli", validation="validation_mismatched").hub.config == "mnli"
    source = superglue("wsc", config="wsc.fixed", folder="WSC")
    assert (source.hub.config, source.hub.splits) == ("wsc.fixed", {"test": "validation", "shots": "train"})
    assert source.releases == released("superglue/WSC/val.jsonl", shots="superglue/WSC/train.jsonl")
    assert list(released("a.jsonl")) == ["test"]
