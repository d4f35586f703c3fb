"""The engine against one-request-at-a-time arithmetic, and against transformers."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.engine.base import ask
from evalkit.engine.gpt import GPTEngine
from evalkit.engine.rolling import rolling_windows
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request
from tests.engine.responses import same_texts

CONTEXT = 32
WORDS = "sat on a mat with every other dog that ran home before rain came down over those little green hills".split()


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train([" ".join(f"{a} {b} the cat" for a in WORDS for b in WORDS)], vocab_size=320)


@pytest.fixture(scope="module")
def model(tokenizer):
    model = GPT(GPTConfig(n_layer=2, d_model=32, n_head=2, context=CONTEXT, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) * 0.15)
    return model.eval()


def engine(model, tokenizer, **options):
    return GPTEngine(model, tokenizer, name="test", content_hash="0", **options)


def scored(context, continuation, name="x"):
    return Request(
        kind="loglikelihood", task="t", doc_id=name, context_ids=tuple(context), continuation_ids=tuple(continuation)
    )


@torch.no_grad()
def naive(model, context, continuation):
    """Sum of log-probabilities by one forward pass per token."""
    total, greedy, tokens = 0.0, True, list(context)
    for token in continuation:
        logits = model(torch.tensor([tokens]))[0, -1]
        total += float(logits.double().log_softmax(0)[token])
        greedy &= int(logits.argmax()) == token
        tokens.append(token)
    return total, greedy


def answers(iterator, count):
    """Collect responses, each position exactly once."""
    found = dict(iterator)
    assert sorted(found) == list(range(count))
    return [found[i] for i in range(count)]


ids = st.integers(0, 280)
request_sets = st.lists(
    st.tuples(st.lists(ids, min_size=1, max_size=16), st.lists(ids, min_size=0, max_size=16)), min_size=1, max_size=8
)


@settings(max_examples=30, deadline=None)
@given(requests=request_sets, batch_tokens=st.sampled_from([1, 40, 100_000]))
def test_loglikelihood_equals_naive_scoring(model, tokenizer, requests, batch_tokens):
    got = answers(
        engine(model, tokenizer, batch_tokens=batch_tokens).loglikelihood([scored(*r) for r in requests]), len(requests)
    )
    for (context, continuation), response in zip(requests, got, strict=True):
        total, greedy = naive(model, context, continuation)
        assert response.loglikelihood == pytest.approx(total, abs=1e-4)
        assert (response.is_greedy, response.tokens) == (greedy, len(continuation))


def test_requests_that_share_a_prefix_are_not_mixed_up(model, tokenizer):
    # The pair that lm-evaluation-harness 0.4.13 scores wrongly when pooled.
    pair = [([1, 2, 3], [4, 5, 6]), ([1, 2, 3, 4], [5, 7])]
    got = answers(engine(model, tokenizer).loglikelihood([scored(*p) for p in pair]), 2)
    for (context, continuation), response in zip(pair, got, strict=True):
        assert response.loglikelihood == pytest.approx(naive(model, context, continuation)[0], abs=1e-5)


def test_the_likeliest_continuation_is_greedy(model, tokenizer):
    context = [5, 6, 7]
    with torch.no_grad():
        best = int(model(torch.tensor([context]))[0, -1].argmax())
    assert answers(engine(model, tokenizer).loglikelihood([scored(context, [best])]), 1)[0].is_greedy
    assert not answers(engine(model, tokenizer).loglikelihood([scored(context, [best + 1])]), 1)[0].is_greedy


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, 100])
@pytest.mark.parametrize("stride", [None, 8])
def test_rolling_scores_every_token_once(model, tokenizer, length, stride):
    document = tuple(random.Random(length).choices(range(280), k=length))
    request = Request(kind="loglikelihood_rolling", task="t", doc_id="x", continuation_ids=document)
    [response] = answers(engine(model, tokenizer, stride=stride, batch_tokens=64).loglikelihood_rolling([request]), 1)
    stream, total, seen = [tokenizer.end_of_text, *document], 0.0, 0
    for window in rolling_windows(length, context=CONTEXT, stride=stride or CONTEXT):
        part = stream[window.start : window.stop]
        total += naive(model, part[: -window.scored], part[-window.scored :])[0]
        seen += window.scored
    assert seen == response.tokens == length
    assert response.loglikelihood == pytest.approx(total, abs=1e-3)


@given(tokens=st.integers(0, 300), context=st.integers(1, 50), data=st.data())
def test_windows_with_a_beginning_each_fit_and_cover_each_token_once(tokens, context, data):
    stride = data.draw(st.integers(1, context))
    covered = []
    for window in rolling_windows(tokens, context=context, stride=stride, every_begins=True):
        covered += range(window.stop - window.scored, window.stop)
        assert (
            window.start >= 1 and window.stop - window.start <= context
        )  # the beginning and all but the last are read
        assert window.stop - window.start >= window.scored
    assert covered == list(range(1, tokens + 1))


@given(tokens=st.integers(0, 300), context=st.integers(1, 50), data=st.data())
def test_windows_cover_each_token_once_and_fit(tokens, context, data):
    stride = data.draw(st.integers(1, context))
    covered = []
    for window in rolling_windows(tokens, context=context, stride=stride):
        assert window.stop - window.start <= context + 1  # the last token is a target only
        assert 0 <= window.start < window.stop - window.scored
        covered += range(window.stop - window.scored, window.stop)
    assert covered == list(range(1, tokens + 1))


def generating(context, name, **decoding):
    return Request(
        kind="generate_until", task="t", doc_id=name, context_ids=tuple(context), decoding=Decoding(**decoding)
    )


def test_greedy_decoding_equals_transformers(model, tokenizer, tmp_path):
    weights.save(model, tokenizer, tmp_path, record={})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    prompts = [[3, 4, 5], [100], list(range(20))]
    requests = [generating(p, str(i), max_tokens=10, until=()) for i, p in enumerate(prompts)]
    for prompt, response in zip(prompts, answers(engine(model, tokenizer).generate_until(requests), 3), strict=True):
        whole = theirs.generate(torch.tensor([prompt]), max_new_tokens=10, do_sample=False, pad_token_id=0)[0].tolist()
        new = whole[len(prompt) :]
        expected = new[: new.index(tokenizer.end_of_text)] if tokenizer.end_of_text in new else new
        assert response.text == tokenizer.decode(expected)


@pytest.mark.parametrize("top_k", [1, 2, 40, 0])
def test_decoding_does_not_depend_on_the_batch(model, tokenizer, top_k):
    rng = random.Random(0)
    requests = [
        generating(
            rng.choices(range(280), k=rng.randint(1, 20)), str(i), max_tokens=12, top_k=top_k, seed=i, until=("th",)
        )
        for i in range(9)
    ]
    together = answers(engine(model, tokenizer).generate_until(requests), 9)
    alone = [answers(engine(model, tokenizer, batch_tokens=1).generate_until([r]), 1)[0] for r in requests]
    same_texts(together, alone)


def test_the_kernel_of_attention_reads_whole_vectors_of_keys(model, tokenizer, monkeypatch):
    """What is left of a row it takes number by number."""
    counts = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def recorded(query, key, value, **options):
        counts.append(key.shape[2])
        return attend(query, key, value, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", recorded)
    asked = engine(model, tokenizer)
    contexts = [tuple(range(5, 5 + length)) for length in (3, 17, 30)]
    answers(asked.loglikelihood([scored(context, (2, 4)) for context in contexts]), 3)
    of_scoring = len(counts)
    assert of_scoring >= 2
    answers(asked.generate_until([generating(context, "x", max_tokens=3) for context in contexts]), 3)
    assert len(counts) >= of_scoring + 3
    assert all(count % 16 == 0 for count in counts)


def test_a_seed_repeats_and_another_differs(model, tokenizer):
    def text(seed):
        request = generating([1, 2], "x", max_tokens=20, top_k=0, seed=seed, until=())
        return answers(engine(model, tokenizer).generate_until([request]), 1)[0].text

    assert text(1) == text(1)
    assert len({text(seed) for seed in range(4)}) > 1


def test_text_ends_before_the_first_stop_string(model, tokenizer):
    free = generating([7, 8, 9], "x", max_tokens=20, until=())
    whole = answers(engine(model, tokenizer).generate_until([free]), 1)[0].text
    stop = whole[5:7]
    cut = answers(
        engine(model, tokenizer).generate_until([generating([7, 8, 9], "x", max_tokens=20, until=("zzz", stop))]), 1
    )[0].text
    assert cut == whole[: whole.index(stop)]


def test_bf16_weights_score_nearly_the_same_and_sum_in_full_precision(model, tokenizer):
    rng = random.Random(1)
    requests = [scored(rng.choices(range(280), k=12), rng.choices(range(280), k=12), str(i)) for i in range(20)]
    full = answers(engine(model, tokenizer).loglikelihood(requests), 20)
    half = answers(engine(copy.deepcopy(model).bfloat16(), tokenizer).loglikelihood(requests), 20)
    assert engine(copy.deepcopy(model).bfloat16(), tokenizer).signature()["dtype"] == "bfloat16"
    for ours, theirs in zip(half, full, strict=True):
        assert ours.loglikelihood == pytest.approx(theirs.loglikelihood, rel=0.02)
        assert ours.loglikelihood != theirs.loglikelihood


@pytest.mark.parametrize(
    "warp", [{"top_k": 2}, {"top_k": 40, "temperature": 0.7}, {"top_k": 0, "top_p": 0.8}, {"top_k": 20, "top_p": 0.5}]
)
@torch.no_grad()
def test_seeded_samples_equal_those_of_transformers_distribution(model, tokenizer, tmp_path, warp):
    """Given the same random numbers, transformers' model and its own warpers choose the same tokens."""
    weights.save(model, tokenizer, tmp_path, record={})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    warpers = transformers.LogitsProcessorList([transformers.TemperatureLogitsWarper(warp.get("temperature", 1.0))])
    if warp["top_k"]:
        warpers.append(transformers.TopKLogitsWarper(warp["top_k"]))
    if "top_p" in warp:
        warpers.append(transformers.TopPLogitsWarper(warp["top_p"]))
    for seed in range(6):
        rng, tokens, new = np.random.default_rng(seed), [5, 6, 7], []
        while len(new) < 12:
            ids = torch.tensor([tokens + new])
            shares, order = warpers(ids, theirs(ids).logits[:, -1].float()).double().softmax(1)[0].sort(descending=True)
            token = int(order[int((shares.cumsum(0) < rng.random()).sum())])
            if token == tokenizer.end_of_text:
                break
            new.append(token)
        request = generating(tokens, "x", max_tokens=12, until=(), seed=seed, **warp)
        assert answers(engine(model, tokenizer).generate_until([request]), 1)[0].text == tokenizer.decode(new)


DECODINGS = (Decoding(), Decoding(top_k=0), Decoding(beams=3), Decoding(avoid=("the",)))


@pytest.mark.parametrize(
    ("kind", "decoding"),
    [
        ("loglikelihood", Decoding()),
        ("loglikelihood_rolling", Decoding()),
        *(("generate_until", decoding) for decoding in DECODINGS),
    ],
)
def test_numbers_beyond_fp16_fail_with_a_hint(kind, decoding, model, tokenizer):
    large = copy.deepcopy(model)
    with torch.no_grad():
        large.norm.weight.mul_(1e5)  # 1e5 is infinite in fp16
    asked = replace(scored(tokenizer.encode("the cat"), tokenizer.encode(" sat on")), kind=kind, decoding=decoding)
    [(_, whole)] = ask(engine(large, tokenizer), kind, [asked])
    assert not whole.error and math.isfinite(whole.loglikelihood)
    [(_, half)] = ask(engine(copy.deepcopy(large).half(), tokenizer), kind, [asked])
    assert (
        half.error.endswith("not a finite number; fp16 ends at 65504, try --dtype fp32") and half.loglikelihood == 0.0
    )


def test_a_document_is_read_after_the_token_that_the_request_names(model, tokenizer):
    """A harness may let documents begin with another token than the end of text."""
    document, text = tuple(tokenizer.encode("the cat sat on a mat")), tokenizer.encode(" dog")[0]
    whole = Request(kind="loglikelihood_rolling", task="t", doc_id="x", continuation_ids=document)
    usual, named = answers(
        engine(model, tokenizer).loglikelihood_rolling([whole, replace(whole, context_ids=(text,))]), 2
    )
    assert usual.loglikelihood == pytest.approx(naive(model, [tokenizer.end_of_text], document)[0], abs=1e-4)
    assert named.loglikelihood == pytest.approx(naive(model, [text], document)[0], abs=1e-4)
    assert abs(named.loglikelihood - usual.loglikelihood) > 0.01
