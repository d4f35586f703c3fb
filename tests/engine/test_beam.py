"""Beam search and streaming: transformers' beams token by token, batches that change nothing, pieces of text."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
import transformers

from evalkit.engine.gpt import GPTEngine
from evalkit.errors import UsageError
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request
from tests.engine.responses import same_texts

PROMPTS = [[3, 4, 5], [100], list(range(20)), [250, 7], [9] * 6, [31, 270, 12, 5]]


class Numbers(Tokenizer):
    """A tokenizer whose texts are the token ids themselves, so that equal texts are equal tokens."""

    def decode(self, ids):
        return "".join(f"<{i}>" for i in ids)


@pytest.fixture(scope="module")
def tokenizer():
    return Numbers.train(["the cat sat on a mat and the dog ran home " * 4], vocab_size=280)


@pytest.fixture(scope="module", params=["rare end", "frequent end"])
def case(request, tokenizer, tmp_path_factory):
    """Our engine and transformers' model, of a random network that ends its texts now and then, or often."""
    model = GPT(GPTConfig(n_layer=2, d_model=32, n_head=2, context=64, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) * 0.2)
        if request.param == "frequent end":  # the final norm's bias is in every state: this raises one logit
            bias = model.norm.bias
            model.tokens.weight[tokenizer.end_of_text] = bias * 3.0 / bias.square().sum()
    folder = tmp_path_factory.mktemp("model")
    weights.save(model.eval(), tokenizer, folder, record={})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    return GPTEngine(model, tokenizer, name="test", content_hash="0"), theirs, request.param


def asked(prompt, name="0", **decoding):
    decoding = {"until": (), "max_tokens": 12, "beams": 4} | decoding
    return Request(
        kind="generate_until", task="t", doc_id=name, context_ids=tuple(prompt), decoding=Decoding(**decoding)
    )


def answers(engine, requests):
    found = dict(engine.generate_until(requests))
    return [found[i] for i in range(len(requests))]


def transformers_beams(theirs, prompt, end, *, beams=4, penalty=0.6, **options):
    """Return the new tokens of transformers' best beam."""
    whole = theirs.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=12, do_sample=False,
        num_beams=beams, length_penalty=penalty, early_stopping=False, pad_token_id=0, **options,
    )[0].tolist()  # fmt: skip
    new = whole[len(prompt) :]
    return new[: new.index(end)] if end in new else new


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("beams", [2, 4])
def test_beams_equal_transformers_token_by_token(case, tokenizer, penalty, beams):
    engine, theirs, _ = case
    requests = [asked(prompt, str(i), beams=beams, length_penalty=penalty) for i, prompt in enumerate(PROMPTS)]
    for prompt, response in zip(PROMPTS, answers(engine, requests), strict=True):
        expected = transformers_beams(theirs, prompt, tokenizer.end_of_text, beams=beams, penalty=penalty)
        assert (response.text, response.tokens) == (tokenizer.decode(expected), len(expected))


def test_the_cases_end_and_do_not_end(case):
    """Guards the test above: both kinds of end occur in it."""
    engine, _, kind = case
    lengths = [r.tokens for r in answers(engine, [asked(prompt, str(i)) for i, prompt in enumerate(PROMPTS)])]
    assert min(lengths) < 12 if kind == "frequent end" else max(lengths) == 12


def test_neighbours_widths_and_batches_change_nothing(case):
    engine, _, _ = case
    draw = random.Random(0)
    requests = [
        asked(
            draw.choices(range(280), k=draw.randint(1, 20)), str(i), beams=1 + i % 4, until=(f"<{i}", ">"[: i % 2])[:1]
        )
        for i in range(9)
    ]
    together = answers(engine, requests)
    same_texts(together, [answers(engine, [request])[0] for request in requests])
    same_texts(together, answers(engine, requests[::-1])[::-1])


def test_one_beam_is_greedy_and_wider_is_no_less_likely(case):
    engine, _, _ = case
    for prompt in PROMPTS:
        responses = answers(engine, [asked(prompt, beams=b, length_penalty=0.0, max_tokens=3) for b in (1, 200)])
        totals = []
        for response in responses:
            ids = [int(part) for part in response.text.strip("<>").split("><") if part]
            ids += [engine.tokenizer.end_of_text] * (len(ids) < 3)
            scored = Request(
                kind="loglikelihood", task="t", doc_id="0", context_ids=tuple(prompt), continuation_ids=tuple(ids)
            )
            totals.append(dict(engine.loglikelihood([scored]))[0].loglikelihood)
        assert totals[1] >= totals[0] - 1e-4


@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_stop_string_ends_a_beam_as_in_transformers(case, tokenizer, place):
    engine, theirs, _ = case
    for prompt in PROMPTS:
        free = transformers_beams(theirs, prompt, tokenizer.end_of_text)
        if len(free) <= place:
            continue
        stop = free[place]
        expected = transformers_beams(
            theirs, prompt, tokenizer.end_of_text, stopping_criteria=[lambda ids, _, stop=stop: ids[:, -1] == stop]
        )
        response = answers(engine, [asked(prompt, until=(f"<{stop}>",))])[0]
        assert response.tokens == len(expected)
        assert response.text == tokenizer.decode(expected).partition(f"<{stop}>")[0]


def test_pieces_add_up_to_the_text(case):
    engine, _, _ = case
    for decoding in ({"beams": 1}, {"beams": 1, "top_k": 0, "seed": 3}, {"beams": 4}):
        for prompt in PROMPTS:
            request = asked(prompt, **decoding)
            pieces = list(engine.stream(request))
            assert "".join(pieces) == answers(engine, [request])[0].text
            assert all(pieces)
            assert len(pieces) <= 1 if decoding["beams"] > 1 else len(pieces) > 1 or len("".join(pieces)) < 20


@pytest.mark.parametrize("text", ["naïve — 漢字 🙂 ends", "no stop here", "a\nQ: b", "Q", "é"])
def test_no_piece_holds_half_a_character_or_half_a_stop_string(text):
    """A model that writes a text byte by byte."""
    tokenizer = Tokenizer.train(["x"], vocab_size=257)
    ids = [*tokenizer.encode(text), tokenizer.end_of_text]
    assert len(ids) == len(text.encode()) + 1
    until = ("\nQ:", "stop now")
    request = asked([5], until=until, beams=1, max_tokens=99)
    engine = Writer(tokenizer, ids)
    pieces = list(engine.stream(request))
    assert "".join(pieces) == text.partition("\nQ:")[0] == dict(engine.generate_until([request]))[0].text
    assert not any("\ufffd" in piece or piece.endswith(("\n", "\nQ")) for piece in pieces)
    if len(text) > 12:
        assert len(pieces) > 5


class Writer(GPTEngine):
    """An engine that continues every prompt with the same tokens."""

    def __init__(self, tokenizer, ids):
        config = GPTConfig(n_layer=1, d_model=8, n_head=1, context=128, vocab_size=tokenizer.size)
        super().__init__(GPT(config), tokenizer, name="writer", content_hash="0")
        self._ids = ids

    def _reading(self, prompts):
        return Written(self._ids, self.tokenizer.size)


class Written:
    def __init__(self, ids, size):
        self._ids, self._size, self._place = ids, size, 0

    def advance(self, rows, tokens):
        assert (rows, tokens) == (([0], [self._ids[self._place - 1]]) if rows else ([], []))
        entered = [] if self._place else [0]
        logits = torch.zeros(len(rows) + len(entered), self._size)
        logits[:, self._ids[self._place % len(self._ids)]] = 1
        self._place += 1
        return entered, logits


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beams": 0}, "beams must be at least 1"),
        ({"beams": 4, "top_k": 40}, "does not sample"),
        ({"beams": 4, "top_k": 0}, "does not sample"),
        ({"beams": 4, "length_penalty": float("nan")}, "length_penalty must be"),
    ],
)
def test_decodings_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        Decoding(**fields)


@pytest.mark.parametrize("beams", [1, 4])
def test_a_text_comes_with_its_log_probability(case, tokenizer, beams):
    """That of the tokens it was made of, the end of text included, as if they had been scored."""
    engine, _, _ = case
    requests = [asked(prompt, name=str(i), beams=beams) for i, prompt in enumerate(PROMPTS)]
    generated = answers(engine, requests)
    scored = []
    for request, response in zip(requests, generated, strict=True):
        ids = [int(part) for part in response.text[1:-1].split("><") if part]
        ids += [tokenizer.end_of_text] if len(ids) < 12 else []
        scored.append(replace(request, kind="loglikelihood", continuation_ids=tuple(ids)))
    wanted = dict(engine.loglikelihood(scored))
    for i, response in enumerate(generated):
        assert response.loglikelihood == pytest.approx(wanted[i].loglikelihood, rel=1e-6, abs=1e-5)
        assert response.loglikelihood < -0.01
