"""GPT-1's input transformations, token by token."""

from __future__ import annotations

import pytest

from evalkit.errors import DataError, UsageError
from evalkit.tokenizer import Tokenizer
from evalkit.train.finetune.inputs import FORMS, Encoder, form_of, labelled
from evalkit.types import Example

TEXTS = ["he left", "she stayed", "the king is old", "a king", "a queen"]
S, D, E = 300, 301, 302  # start, delimiter, extract


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS * 5, vocab_size=300)


def encoded(task, examples, tokenizer, *, context=64):
    encoder = Encoder(FORMS[task], tokenizer, first_special=S, context=context)
    return list(encoder.encode(examples))


def rows(encoded):
    return [sequence.tolist() for sequence in encoded.sequences]


def pair(first, second, names, **more):
    return Example(task="t", input=first, output="yes", parts=dict(zip(names, (first, second), strict=True)), **more)


def test_classification(tokenizer):
    example = Example(task="t", input="he left", output="positive", choices=("negative", "positive"), gold=1)
    [found] = encoded("sst2", [example], tokenizer)
    assert rows(found) == [[S, *tokenizer.encode("he left"), E]]
    assert (found.target, found.cut) == (1.0, 0)


def test_labels_of_cola(tokenizer):
    example = labelled(FORMS["cola"], Example(task="t", input="he left", output="acceptable", gold=0))
    assert (example.choices, example.gold) == (("unacceptable", "acceptable"), 1)
    [found] = encoded("cola", [example], tokenizer)
    assert found.target == 1.0


def test_entailment(tokenizer):
    example = pair("he left", "she stayed", ("premise", "hypothesis"), choices=("True", "False"), gold=0)
    [found] = encoded("rte", [example], tokenizer)
    assert rows(found) == [[S, *tokenizer.encode("he left"), D, *tokenizer.encode("she stayed"), E]]


def test_similarity_has_both_orders(tokenizer):
    example = pair("he left", "she stayed", ("sentence1", "sentence2"), choices=("no", "yes"), gold=1)
    [found] = encoded("mrpc", [example], tokenizer)
    one, two = tokenizer.encode("he left"), tokenizer.encode("she stayed")
    assert rows(found) == [[S, *one, D, *two, E], [S, *two, D, *one, E]]


def test_regression_keeps_the_number(tokenizer):
    example = Example(task="t", input="x", output="3.25", parts={"sentence1": "a king", "sentence2": "a queen"})
    assert encoded("stsb", [example], tokenizer)[0].target == 3.25


def test_a_choice_has_a_sequence_per_answer(tokenizer):
    parts = {"article": "the king is old", "question": "he left"}
    example = Example(task="t", input="x", output="a king", parts=parts, choices=("a queen", "a king"), gold=1)
    [found] = encoded("race_high", [example], tokenizer)
    context = tokenizer.encode("the king is old he left")
    assert rows(found) == [[S, *context, D, *tokenizer.encode(answer), E] for answer in ("a queen", "a king")]
    other = Example(task="t", input="x", output="a king", parts=parts, choices=("a queen", "a king", "he left"), gold=1)
    with pytest.raises(DataError, match="3 choices and another 2"):
        encoded("race_high", [example, other], tokenizer)


def test_what_is_too_long_is_cut_from_the_longest_part_and_counted(tokenizer):
    long = "the king is old " * 20
    example = pair(long, "she stayed", ("premise", "hypothesis"), choices=("True", "False"), gold=0)
    hypothesis = tokenizer.encode("she stayed")
    room = 40 - 3 - len(hypothesis)
    [found] = encoded("rte", [example], tokenizer, context=40)
    assert rows(found) == [[S, *tokenizer.encode(long)[:room], D, *hypothesis, E]]
    assert found.cut == len(long) - len(tokenizer.decode(tokenizer.encode(long)[:room]))
    both = pair(long, long, ("premise", "hypothesis"), choices=("True", "False"), gold=0)
    half = tokenizer.encode(long)[:18]
    assert sorted(rows(encoded("rte", [both], tokenizer, context=39)[0])) == [[S, *half, D, *half, E]]


def test_the_question_behind_an_article_is_never_cut(tokenizer):
    parts = {"article": "the king is old " * 20, "question": "he left"}
    example = Example(task="t", input="x", output="a king", parts=parts, choices=("a queen", "a king"), gold=1)
    [found] = encoded("race_high", [example], tokenizer, context=30)
    answer, question = tokenizer.encode("a queen"), tokenizer.encode(" he left")
    assert len(rows(found)[0]) == 30
    assert rows(found)[0][-len(answer) - len(question) - 2 :] == [*question, D, *answer, E]


def test_wrong_input(tokenizer):
    with pytest.raises(UsageError, match="unknown task 'sst' to fine-tune on; did you mean 'sst2'"):
        form_of("sst")
    with pytest.raises(UsageError, match="context of 4 positions is too short"):
        encoded("sst2", [], tokenizer, context=4)
