"""The boundary between context and continuation, against a plain reading of the rule."""

from __future__ import annotations

import copy
import random

import pytest

from evalkit.engine.fake import ByteEncoder
from evalkit.harness.requests import Encoded, encode, with_empty_context
from evalkit.tokenizer import Tokenizer

TEXT = (
    "the cat sat on the mat and the dog ate the hat. they're here; don't go there! "
    "Un été à Paris, l'élève s'est levé. 12 345 + 67 = 12412\n\nQ: who?\nA: the cat\n   indented\t\ttabs\n"
)
PIECES = [
    "the",
    " the",
    "re",
    "'",
    "'re",
    " ",
    "  ",
    "\n",
    "\t",
    "é",
    "ét",
    "12",
    "3",
    "?",
    "A:",
    "cat",
    "!\n",
    "\u3000",
    "日",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([TEXT] * 4, vocab_size=400)


def _plain(context: str, continuation: str, tokenizer: Tokenizer) -> Encoded:
    """The rule, one step at a time."""
    while continuation and context and context[-1].isspace():
        continuation = context[-1] + continuation
        context = context[:-1]
    before = tokenizer.encode(context)
    scored = tokenizer.encode(context + continuation)[len(before) :]
    if continuation and not scored:
        scored = tokenizer.encode(continuation)
    return Encoded(tuple(before) if before else (tokenizer.end_of_text,), tuple(scored))


def test_random_texts_follow_the_rule(tokenizer: Tokenizer) -> None:
    rng = random.Random(7)

    def text() -> str:
        return "".join(rng.choices(PIECES, k=rng.randrange(6)))

    pairs = [(text(), text()) for _ in range(2000)]
    found = encode(pairs, tokenizer)
    assert found == [_plain(*pair, tokenizer) for pair in pairs]
    for (_, continuation), encoded in zip(pairs, found, strict=True):
        assert encoded.context
        assert bool(encoded.continuation) == bool(continuation)
    merged = [e for (c, t), e in zip(pairs, found, strict=True) if c and t and _is_merged(c, t, tokenizer)]
    assert len(merged) > 20  # the case that the rule is about does occur


def _is_merged(context: str, continuation: str, tokenizer: Tokenizer) -> bool:
    whole, before = tokenizer.encode(context + continuation), tokenizer.encode(context)
    return whole[: len(before)] != before


def test_an_empty_context_is_the_end_of_text(tokenizer: Tokenizer) -> None:
    (found,) = encode([("", " the cat")], tokenizer)
    assert found == Encoded((tokenizer.end_of_text,), tuple(tokenizer.encode(" the cat")))


def test_an_empty_context_is_the_beginning_where_lm_eval_takes_it(tokenizer: Tokenizer) -> None:
    """Only for a tokenizer that names a beginning of its own, and leaves it to others to put it there."""
    chat = copy.copy(tokenizer)
    chat.bos = 7
    begun = with_empty_context(chat, "begin")
    text = tuple(tokenizer.encode(" the cat"))
    assert encode([("", " the cat")], begun) == [Encoded((7,), text)]
    assert encode([("the dog", " the cat")], begun) == encode([("the dog", " the cat")], tokenizer)
    assert begun.offsets("the cat") == tokenizer.offsets("the cat")
    assert with_empty_context(chat, "end") is chat
    llama = copy.copy(chat)
    llama.begin = 7  # its engine puts it there
    assert with_empty_context(llama, "begin") is llama
    assert with_empty_context(tokenizer, "begin") is tokenizer
    assert with_empty_context(ByteEncoder(), "begin").end_of_text == 256


@pytest.mark.parametrize("blank", [" ", "\n\n", " \t\n", "\u3000"])
def test_a_context_of_white_space_is_scored(blank: str, tokenizer: Tokenizer) -> None:
    (found,) = encode([(blank, "cat")], tokenizer)
    assert found == Encoded((tokenizer.end_of_text,), tuple(tokenizer.encode(blank + "cat")))


def test_a_blank_at_the_end_moves_to_the_continuation(tokenizer: Tokenizer) -> None:
    assert encode([("the dog ", "the")], tokenizer) == encode([("the dog", " the")], tokenizer)


def test_a_boundary_that_merges_completely_still_scores_something(tokenizer: Tokenizer) -> None:
    """ "t" + "he" is one token, as "t" is alone: behind it nothing would be left."""
    assert len(tokenizer.encode("the")) == len(tokenizer.encode("t")) == 1
    (found,) = encode([("t", "he")], tokenizer)
    assert found == Encoded(tuple(tokenizer.encode("t")), tuple(tokenizer.encode("he")))


def test_without_a_continuation_the_context_stays_as_it_is(tokenizer: Tokenizer) -> None:
    assert encode([("A: ", "")], tokenizer) == [Encoded(tuple(tokenizer.encode("A: ")), ())]
    assert encode([("", "")], tokenizer) == [Encoded((tokenizer.end_of_text,), ())]


def test_pairs_keep_their_order_and_do_not_touch_each_other(tokenizer: Tokenizer) -> None:
    pairs = [("the cat", " sat"), ("the", " dog"), ("the cat", " ate"), ("the", " dog")]
    assert encode(pairs, tokenizer) == [encode([pair], tokenizer)[0] for pair in pairs]
    assert encode([], tokenizer) == []
