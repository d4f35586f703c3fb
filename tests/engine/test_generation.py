"""Decoding many sequences side by side against decoding each alone, without any cache."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.engine import slots
from evalkit.engine.generation import Prompt, reading_order, shared_by_all
from evalkit.engine.gpt import GPTEngine
from evalkit.engine.prefix_tree import common_prefix
from evalkit.engine.sampling import find_stop
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request
from tests.engine.responses import same_texts
from tests.model.shapes import shapes

SHAPE = {"n_layer": 3, "d_model": 32, "n_head": 2, "context": 56}
KINDS = shapes(band=5)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["the cat sat on a mat and the dog ran home " * 4], vocab_size=280)


@pytest.fixture(scope="module")
def models(tokenizer):
    """One random GPT of each kind."""
    made = {}
    for kind, settings_ in KINDS.items():
        made[kind] = model = GPT(GPTConfig(**SHAPE, vocab_size=tokenizer.size, **settings_))
        model.initialize(torch.Generator().manual_seed(0))
        with torch.no_grad():
            for i, parameter in enumerate(model.parameters()):
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) * 0.15)
        model.eval().requires_grad_(False)
    return made


def engine(model, tokenizer, *, batch_tokens=16384):
    return GPTEngine(model, tokenizer, name="test", content_hash="0", batch_tokens=batch_tokens)


def asking(tokens, **decoding):
    decoding = Decoding(**{"until": (), "max_tokens": 6} | decoding)
    return Request(kind="generate_until", task="t", doc_id="0", context_ids=tuple(tokens), decoding=decoding)


def answers(engine, requests):
    found = dict(engine.generate_until(requests))
    assert sorted(found) == list(range(len(requests)))
    return [found[i] for i in range(len(requests))]


def naive(model, tokenizer, request):
    """The greedy text by one whole pass per token."""
    tokens, new = list(request.context_ids), []
    while len(new) < request.decoding.max_tokens:
        token = int(model(torch.tensor([tokens + new]))[0, -1].argmax())
        if token == tokenizer.end_of_text:
            break
        new.append(token)
        if find_stop(tokenizer.decode(new), request.decoding.until) >= 0:
            break
    text = tokenizer.decode(new)
    stop = find_stop(text, request.decoding.until)
    return text if stop < 0 else text[:stop], len(new)


tokens = st.lists(st.integers(2, 279), min_size=1, max_size=9)
beginnings = st.lists(tokens, min_size=1, max_size=3)


@st.composite
def prompt_sets(draw):
    """Prompts that share beginnings: nested, equal, crossing or none."""
    pieces = draw(beginnings)
    chosen = st.lists(st.sampled_from(pieces), max_size=2).map(lambda parts: [*chain(*parts)])
    common_to_all = draw(chosen)
    return [common_to_all + draw(chosen) + draw(tokens) for _ in range(draw(st.integers(1, 6)))]


decodings = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 6), "until": st.sampled_from([(), ("a",), ("th", "\n"), ("o", "zz")])}
)
searches = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"top_k": st.sampled_from([0, 3]), "seed": st.integers(0, 3)}),
    st.fixed_dictionaries({"beams": st.integers(2, 3)}),
)
budgets = st.sampled_from([1, 70, 16384])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(prompts=prompt_sets(), decoding=decodings, batch_tokens=budgets)
def test_greedy_texts_are_those_of_whole_passes(models, tokenizer, kind, prompts, decoding, batch_tokens):
    requests = [asking(prompt, **decoding) for prompt in prompts]
    got = answers(engine(models[kind], tokenizer, batch_tokens=batch_tokens), requests)
    assert [(r.text, r.tokens) for r in got] == [naive(models[kind], tokenizer, request) for request in requests]


@settings(max_examples=15, deadline=None)
@given(prompts=prompt_sets(), batch_tokens=budgets, data=st.data())
def test_mixed_searches_do_not_disturb_each_other(models, tokenizer, prompts, batch_tokens, data):
    requests = [asking(prompt, **data.draw(decodings), **data.draw(searches)) for prompt in prompts]
    together = answers(engine(models["gpt2"], tokenizer, batch_tokens=batch_tokens), requests)
    same_texts(together, [answers(engine(models["gpt2"], tokenizer), [request])[0] for request in requests])


def counted(monkeypatch):
    """Record how many tokens of prompts are read and how many slots there are in each pass."""
    seen = []

    def read(model, cache, *, tokens, entries):
        seen.append((sum(len(entry.tokens) - entry.start for entry in entries), len(tokens), len(cache.lengths)))
        return real(model, cache, tokens=tokens, entries=entries)

    real = slots.read
    monkeypatch.setattr(slots, "read", read)
    return seen


def test_what_prompts_share_is_read_once(models, tokenizer, monkeypatch):
    shots, passages = list(range(2, 12)), [[20 + i] * 8 for i in range(3)]
    prompts = [[*shots, *passage, 50 + question, 7] for question in range(4) for passage in passages]
    seen = counted(monkeypatch)
    answers(engine(models["gpt2"], tokenizer), [asking(prompt, max_tokens=2) for prompt in prompts])
    assert sum(new for new, _, _ in seen) == len(shots) + 3 * 8 + 12 * 2


def test_finished_sequences_make_room_and_memory_is_bounded(models, tokenizer, monkeypatch):
    prompts = [[3 + i % 200, 5 + i // 200] for i in range(300)]
    requests = [asking(prompt, max_tokens=1 + i % 5) for i, prompt in enumerate(prompts)]
    seen = counted(monkeypatch)
    answers(engine(models["gpt2"], tokenizer, batch_tokens=70), requests)
    assert {slots for _, _, slots in seen} == {10}  # 7 positions each
    assert len(seen) < 1.2 * sum(request.decoding.max_tokens for request in requests) / 10


def test_slots_become_more_when_long_sequences_have_left(models, tokenizer, monkeypatch):
    seen = counted(monkeypatch)
    requests = [asking(range(2, 40)), *(asking([5 + i, 6], max_tokens=2) for i in range(40))]
    together = answers(engine(models["gpt2"], tokenizer, batch_tokens=80), requests)
    assert (seen[0][2], seen[-1][2]) == (1, 20)
    same_texts(together, [answers(engine(models["gpt2"], tokenizer), [request])[0] for request in requests])


@given(left=st.lists(st.integers(0, 2), max_size=12), right=st.lists(st.integers(0, 2), max_size=12))
def test_common_beginnings(left, right):
    n = common_prefix(left, right)
    assert left[:n] == right[:n]
    assert left == right or left[n : n + 1] != right[n : n + 1]


def test_related_prompts_follow_each_other_and_long_ones_come_first():
    passage = list(range(30))
    prompts = [Prompt(tokens=tuple(ids), new_tokens=1) for ids in ([9, 9], [*passage, 1], [9] * 99, [*passage, 0], [8])]
    assert reading_order(prompts, shared=0) == [2, 3, 1, 0, 4]
    assert shared_by_all(prompts[1:4:2]) == 30
    assert shared_by_all([prompts[0], prompts[2]]) == 1  # a token is left over
    assert shared_by_all(prompts) == shared_by_all([]) == 0


def test_nothing_asked_nothing_answered(models, tokenizer):
    assert answers(engine(models["gpt2"], tokenizer), []) == []
