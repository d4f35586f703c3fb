"""The likeliest word that is not to be avoided, against a search through all words."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from evalkit.engine.gpt import GPTEngine
from evalkit.engine.word_search import WordSearch
from evalkit.errors import UsageError
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request
from tests.engine.responses import same_texts

TOKENS = ["a", " of", " the", " cat", " Of", "fice", "n", "'s", ".", " ", "\n", " don", "'t", '"']


class Toy:
    """A tokenizer of these tokens."""

    size = len(TOKENS)

    def encode(self, text):
        return [TOKENS.index(text)]

    def decode(self, ids):
        return "".join(TOKENS[i] for i in ids)


def search(table, *, avoid, beams=50, max_tokens=3):
    """Run a search where the next token depends on the last one alone: table[-1] begins."""
    found = WordSearch(Decoding(avoid=avoid, beams=beams, max_tokens=max_tokens), Toy(), ends=())
    last = [-1]
    while not found.done:
        assert found.rows == len(last)
        last = [token for _, token in found.step(table[last])]
    return found.response()


def every_word(table, *, max_tokens=3):
    """Return every word with its probability: of its tokens, and of any token behind them that ends it."""
    chances = table.double().softmax(1)
    opening = [i for i, text in enumerate(TOKENS) if text[0] == " " and text[1:].isalpha()]
    going_on = [i for i, text in enumerate(TOKENS) if text.isalpha() or text in ("'s", "'t")]
    words = {}
    for length in range(max_tokens):
        for ids in product(opening, *[going_on] * length):
            chance = math.prod(float(chances[a, b]) for a, b in zip((-1, *ids), ids, strict=False))
            words[ids] = chance * (1 - float(chances[ids[-1], going_on].sum()))
    return words


@pytest.mark.parametrize("avoid", [("of",), ("of", "the", "don't"), ("cat", "the", "office", "of", "don")])
def test_it_is_the_likeliest_of_all_words(avoid):
    for seed in range(30):
        table = torch.randn(len(TOKENS) + 1, len(TOKENS), generator=torch.Generator().manual_seed(seed)) * 2
        allowed = {w: p for w, p in every_word(table).items() if Toy().decode(w).strip().lower() not in avoid}
        best = max(allowed, key=lambda ids: allowed[ids])
        response = search(table, avoid=avoid)
        assert response.text == Toy().decode(best)
        assert response.loglikelihood == pytest.approx(math.log(allowed[best]))
        assert response.tokens == len(best)


def test_a_word_to_avoid_may_begin_another():
    """Even with one start followed: those to avoid are kept beside it."""
    table = torch.zeros(len(TOKENS) + 1, len(TOKENS))
    table[-1, TOKENS.index(" of")], table[-1, TOKENS.index(" cat")] = 9.0, 4.0
    table[TOKENS.index(" of"), TOKENS.index("fice")] = 9.0
    table[TOKENS.index(" cat"), TOKENS.index(".")] = 9.0
    table[TOKENS.index("fice"), TOKENS.index(".")] = 9.0
    assert search(table, avoid=("of",), beams=1).text == " office"
    assert search(table, avoid=("of", "office"), beams=1).text == " cat"


def test_no_word_at_all_is_an_empty_text():
    table = torch.full((len(TOKENS) + 1, len(TOKENS)), -torch.inf)
    table[:, TOKENS.index(".")] = 0.0
    assert search(table, avoid=("of",)).text == ""


def test_an_engine_searches_in_any_batch():
    tokenizer = Tokenizer.train(["the cat sat on a mat and the dog ran home, don't you see? " * 4], vocab_size=300)
    model = GPT(GPTConfig(n_layer=2, d_model=32, n_head=2, context=64, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    engine = GPTEngine(model, tokenizer, name="test", content_hash="0")
    decodings = [Decoding(until=(), avoid=("the", "a"), beams=4, max_tokens=6), Decoding(until=(), max_tokens=6)]
    requests = [
        Request(kind="generate_until", task="t", doc_id=str(i), context_ids=(3 + i, 4), decoding=decodings[i % 2])
        for i in range(6)
    ]
    found = dict(engine.generate_until(requests))
    together = [found[i] for i in range(6)]
    same_texts(together, [next(iter(engine.generate_until([request])))[1] for request in requests])
    assert ["".join(engine.stream(request)) for request in requests] == [response.text for response in together]
    for response in together[::2]:
        assert response.text[0] == " " and response.text[1:].isalnum()


def test_it_does_not_sample():
    with pytest.raises(UsageError, match="words to avoid"):
        Decoding(avoid=("the",), top_k=5)


def test_scores_that_are_no_numbers_are_not_taken_for_no_word():
    found = WordSearch(Decoding(avoid=("of",), beams=2), Toy(), ends=())
    assert found.step(torch.full((1, len(TOKENS)), math.nan)) == [] and found.done
    assert math.isnan(found.response().loglikelihood)
