"""Scores of packed trees of requests against one request at a time through the plain model."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.engine.budget import Budget
from evalkit.engine.compute import share_memory
from evalkit.engine.gpt import GPTEngine
from evalkit.engine.prefix_tree import Forest, Leaf
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.model.packed import PackedGPT
from evalkit.model.tree_attention import FlexAttention, RowAttention, Tree
from evalkit.types import Request
from tests.engine.responses import same_texts
from tests.model.shapes import shapes

CONTEXT, VOCABULARY = 150, 97
SHAPES = shapes(band=20)


class NoText:
    """All that scoring needs of a tokenizer."""

    end_of_text = 0
    highest, begin = 0, None


def make(shape, *, layers=2, width=32):
    config = GPTConfig(n_layer=layers, d_model=width, n_head=2, context=CONTEXT, vocab_size=VOCABULARY, **SHAPES[shape])
    model = GPT(config)
    for i, parameter in enumerate(model.parameters()):
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
        parameter.data = noise * 0.15 + (0.3 if parameter.ndim == 1 else 0)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def models():
    return {shape: make(shape) for shape in SHAPES}


def engine(model, **options):
    return GPTEngine(model, NoText(), name="test", content_hash="0", **options)


def asking(context, continuation):
    return Request(
        kind="loglikelihood", task="t", doc_id="x", context_ids=tuple(context), continuation_ids=tuple(continuation)
    )


def answers(iterator, count):
    """Collect responses, each position exactly once."""
    found = list(iterator)
    assert sorted(i for i, _ in found) == list(range(count))
    return [response for _, response in sorted(found, key=lambda pair: pair[0])]


def naive(model, context, continuation):
    """Return log-likelihood and is_greedy of one request by one pass of the plain model, the left cut as needed."""
    whole = [*(context or [0]), *continuation][-CONTEXT - 1 :]
    logits = model(torch.tensor([whole[:-1]]))[0, -len(continuation) :].double()
    targets = torch.tensor(whole[-len(continuation) :])
    picked = logits.log_softmax(1)[torch.arange(len(targets)), targets]
    return float(picked.sum()), bool((logits.argmax(1) == targets).all())


def check(model, pairs, responses, tolerance=1e-4):
    for (context, continuation), response in zip(pairs, responses, strict=True):
        if not continuation:
            assert (response.loglikelihood, response.is_greedy, response.tokens) == (0, True, 0)
            continue
        total, greedy = naive(model, context, continuation)
        assert response.loglikelihood == pytest.approx(total, abs=tolerance)
        assert (response.is_greedy, response.tokens, response.error) == (greedy, len(continuation), "")


@st.composite
def request_sets(draw):
    """Contexts that are cut from a few texts (nested, equal, crossing) or share nothing, up to and past the context."""
    rng = random.Random(draw(st.integers(0, 1 << 30)))
    texts = [rng.choices(range(VOCABULARY), k=CONTEXT + 10) for _ in range(draw(st.integers(1, 3)))]
    pairs = []
    for _ in range(draw(st.integers(1, 12))):
        text = rng.choice(texts)
        context = text[: rng.choice([0, 1, 2, 40, 41, 100, 149, 150, 160, rng.randint(1, 160)])]
        context += rng.choices(range(VOCABULARY), k=rng.choice([0, 0, 1, 5]))
        follows = text[len(context) : len(context) + rng.randint(0, 12)]
        pairs.append((context, rng.choice([follows, rng.choices(range(VOCABULARY), k=rng.choice([0, 1, 2, 9, 149]))])))
    pairs += rng.sample(pairs, k=min(len(pairs), 2))
    rng.shuffle(pairs)
    return pairs


@settings(max_examples=60, deadline=None)
@given(pairs=request_sets(), shape=st.sampled_from(sorted(SHAPES)), tokens=st.sampled_from([1, 60, 200, 1000, None]))
def test_every_set_of_requests_is_scored_as_one_by_one(models, pairs, shape, tokens):
    together = engine(models[shape], batch_tokens=tokens).loglikelihood([asking(*pair) for pair in pairs])
    check(models[shape], pairs, answers(together, len(pairs)))


@pytest.mark.parametrize("shape", SHAPES)
def test_shots_that_all_share_and_choices_that_branch(models, shape):
    rng = random.Random(1)
    shots = rng.choices(range(VOCABULARY), k=90)
    pairs = []
    for _ in range(40):
        context = shots + rng.choices(range(VOCABULARY), k=rng.randint(3, 30))
        pairs += [(context, rng.choices(range(VOCABULARY), k=rng.randint(1, 12))) for _ in range(4)]
    for tokens in (300, None):
        check(models[shape], pairs, answers(engine(models[shape], batch_tokens=tokens).loglikelihood(
            [asking(*pair) for pair in pairs]), len(pairs)))  # fmt: skip


def test_the_pair_that_lm_eval_mixes_up(models):
    # Pooled, lm-evaluation-harness 0.4.13 scores one of them with the other's logits.
    pairs = [([1, 2, 3], [4, 5, 6]), ([1, 2, 3, 4], [5, 7])]
    check(models["gpt2"], pairs, answers(engine(models["gpt2"]).loglikelihood([asking(*p) for p in pairs]), 2), 1e-5)


def test_the_same_call_gives_the_same_bits(models):
    rng = random.Random(2)
    requests = [asking(rng.choices(range(9), k=30), rng.choices(range(9), k=5)) for _ in range(50)]
    first, second = (dict(engine(models["gpt2"]).loglikelihood(requests)) for _ in range(2))
    assert first == second


def test_a_continuation_longer_than_the_context_fails_alone(models):
    pairs = [([1], [2] * (CONTEXT + 1)), ([1], [2] * CONTEXT)]
    long, fits = answers(engine(models["gpt2"]).loglikelihood([asking(*p) for p in pairs]), 2)
    assert "151 tokens, the context allows 150" in long.error
    check(models["gpt2"], pairs[1:], [fits])


def test_every_prefix_is_read_once_whatever_the_budget(models, monkeypatch):
    rng = random.Random(3)
    shots = rng.choices(range(VOCABULARY), k=60)
    pairs = [([*shots, i], rng.choices(range(VOCABULARY), k=4)) for i in range(30) for _ in range(4)]
    sequences = {tuple(context + continuation[:-1]) for context, continuation in pairs}
    nodes = {sequence[: i + 1] for sequence in sequences for i in range(len(sequence))}
    read, plain = [], PackedGPT.read
    monkeypatch.setattr(PackedGPT, "read", lambda self, tokens, *rest, **more: read.append(len(tokens)) or plain(
        self, tokens, *rest, **more))  # fmt: skip
    for tokens in (40, 200, None):
        read.clear()
        answers(engine(models["gpt2"], batch_tokens=tokens).loglikelihood([asking(*p) for p in pairs]), len(pairs))
        assert sum(read) == len(nodes)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_fp32(models, shape, dtype):
    rng = random.Random(4)
    shots = rng.choices(range(VOCABULARY), k=40)
    pairs = [(shots + rng.choices(range(VOCABULARY), k=20), rng.choices(range(VOCABULARY), k=8)) for _ in range(20)]
    half = copy.deepcopy(models[shape]).to(dtype)
    responses = answers(engine(half).loglikelihood([asking(*p) for p in pairs]), len(pairs))
    assert engine(half).signature()["dtype"] == str(dtype).removeprefix("torch.")
    off = torch.tensor([r.loglikelihood - naive(models[shape], *p)[0] for r, p in zip(responses, pairs, strict=True)])
    assert 0 < off.abs().max() < 0.2
    # Rounded weights alone already move a token's score by some hundredths.
    rounded = copy.deepcopy(half).float()
    off = torch.tensor([r.loglikelihood - naive(rounded, *p)[0] for r, p in zip(responses, pairs, strict=True)])
    assert off.abs().max() < 0.2


def layout(pairs, tokens):
    """Yield the trees of a set of requests, as the engine lays them out."""
    forest = Forest([Leaf(tuple(a + b[:-1]), tuple(b)) for a, b in pairs])
    first = 0
    while first < len(forest.leaves):
        batch = forest.batch(first, tokens=tokens)
        rows, trunk_rows = (
            [(torch.from_numpy(r.queries), torch.from_numpy(r.keys)) for r in part]
            for part in (batch.rows, batch.trunk_rows)
        )
        yield Tree(
            held=batch.held, places=torch.from_numpy(batch.places), ends=torch.from_numpy(batch.ends),
            trunk=batch.trunk, rows=rows, trunk_rows=trunk_rows,
        )  # fmt: skip
        first = batch.last


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("shared", [60, 9])  # with a trunk and without one
@pytest.mark.parametrize("band", [None, 20])
def test_flex_attention_as_on_cuda_equals_the_rows_of_a_processor(models, band, shared):
    rng = random.Random(5)
    shots = rng.choices(range(VOCABULARY), k=shared)
    pairs = [([*shots, i, *range(90 - shared)], rng.choices(range(VOCABULARY), k=7)) for i in range(9) for _ in "abc"]
    config = models["gpt3" if band else "gpt2"].config
    for tree in layout(pairs, 120):
        new, S = len(tree.ends) - tree.held, len(tree.ends)
        for heads, width in ((2, 16), (1, 16), (1, 8)):
            q_NHK, k_SGK, v_SGK = torch.randn(new, 2, width), *torch.randn(2, S, heads, width)
            for banded in (False, True):
                flex = FlexAttention(tree, config)(q_NHK, k_SGK, v_SGK, banded=banded, scale=0.3)
                rows = RowAttention(tree, config)(q_NHK, k_SGK, v_SGK, banded=banded, scale=0.3)
                torch.testing.assert_close(flex, rows, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("band", [None, 20])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_some_queries_attend_as_they_do_among_all(models, band, share):
    rng = random.Random(5)
    shots = rng.choices(range(VOCABULARY), k=60)
    pairs = [([*shots, i], rng.choices(range(VOCABULARY), k=7)) for i in range(9) for _ in range(3)]
    config = models["gpt3" if band else "gpt2"].config
    for tree in layout(pairs, 120):
        new = len(tree.ends) - tree.held
        q_NHK, k_SGK, v_SGK = torch.randn(new, 2, 16), *torch.randn(2, len(tree.ends), 2, 16)
        only = torch.tensor(sorted(rng.sample(range(new), max(1, int(share * new)))))
        for banded in (False, True):
            attend = partial(RowAttention(tree, config), q_NHK, k_SGK, v_SGK, banded=banded, scale=0.3)
            torch.testing.assert_close(attend(only=only), attend()[only], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("error", [
    MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("[enforce fail] DefaultCPUAllocator: "
    "can't allocate memory: you tried to allocate 9 bytes"), RuntimeError("DefaultCPUAllocator: not enough memory"),
])  # fmt: skip
def test_out_of_memory_halves_the_budget_and_says_so_once(models, monkeypatch, caplog, error):
    plain = PackedGPT.read

    def narrow(self, tokens, *rest, **more):
        if len(tokens) > 130:
            raise error
        return plain(self, tokens, *rest, **more)

    monkeypatch.setattr(PackedGPT, "read", narrow)
    rng = random.Random(6)
    pairs = [(rng.choices(range(9), k=rng.randint(1, 120)), [1, 2]) for _ in range(60)]
    scoring = engine(models["gpt2"], batch_tokens=1000)
    check(models["gpt2"], pairs, answers(scoring.loglikelihood([asking(*p) for p in pairs]), len(pairs)))
    assert [record.message for record in caplog.records] == [
        "out of memory: continuing with batches of at most 500 tokens"
    ]


def test_what_is_no_lack_of_memory_is_raised(models, monkeypatch):
    def broken(*arguments, **more):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(PackedGPT, "read", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        list(engine(models["gpt2"]).loglikelihood([asking([1], [2])]))
    monkeypatch.setattr(PackedGPT, "read", lambda *a, **k: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(MemoryError):  # nothing is left to halve
        list(engine(models["gpt2"]).loglikelihood([asking([1], [2])]))


def test_the_budget_follows_the_shape_and_the_memory(monkeypatch):
    def tokens(width):
        config = GPTConfig(n_layer=1, d_model=width, n_head=1, context=64, vocab_size=10)
        return Budget.of(config, torch.device("cpu")).tokens

    monkeypatch.setattr("evalkit.engine.budget._free_bytes", lambda device: 1 << 33)
    assert 16384 == tokens(64) > tokens(768) > tokens(1600) == 1024
    monkeypatch.undo()
    monkeypatch.setattr("evalkit.machine.available_memory", lambda: None)
    assert tokens(64) == 16384
    monkeypatch.setattr("evalkit.machine.available_memory", lambda: 1 << 26)  # by its control group, for example
    assert 0 < tokens(1600) < tokens(768) < 1024
    alone = tokens(768)
    monkeypatch.setattr(Budget, "sharing", Budget.sharing)
    share_memory(4)
    assert tokens(768) == alone // 4


MEMORY = """
import random, resource, torch
from tests.engine.test_scoring import asking, engine, make
scoring, rng = engine(make("gpt2", layers=1, width=8)), random.Random(0)
requests = [asking(rng.choices(range(90), k=9), rng.choices(range(90), k=2)) for _ in range(100_000)]
list(scoring.loglikelihood(requests[:5000]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(response.tokens for _, response in scoring.loglikelihood(requests))
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_requests():
    done = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True)
    count, megabytes = map(int, done.stdout.split())
    assert count == 200_000
    # Twenty times as many requests: their plain token ids grow, a matrix of all positions would take gigabytes.
    assert megabytes < 250


def test_texts_of_equal_length_do_not_depend_on_each_other(models):
    rng = random.Random(7)
    requests = [asking(rng.choices(range(VOCABULARY), k=20), rng.choices(range(VOCABULARY), k=3)) for _ in range(30)]
    together = answers(engine(models["gpt3"]).loglikelihood(requests), 30)
    same_texts(together, [answers(engine(models["gpt3"]).loglikelihood([request]), 1)[0] for request in requests])


@pytest.mark.parametrize(("dtype", "matrix"), [(torch.float32, 1 << 23), (torch.bfloat16, 9000)])
def test_a_large_vocabulary_is_never_held_whole(monkeypatch, dtype, matrix):
    monkeypatch.setattr("evalkit.model.packed._MATRIX", matrix)
    config = GPTConfig(n_layer=1, d_model=8, n_head=1, context=16, vocab_size=150_000)
    model = GPT(config)
    model.initialize(torch.Generator().manual_seed(0))
    model = model.to(dtype).eval().requires_grad_(False)
    states = torch.randn(520, 8, generator=torch.Generator().manual_seed(1)) * 40
    packed, held, plain = PackedGPT(model), [], PackedGPT._logits

    def blocks(self, states_RD):
        for first, logits in plain(self, states_RD):
            held.append(logits.shape)
            yield first, logits

    monkeypatch.setattr(PackedGPT, "_logits", blocks)
    rows = torch.arange(520).repeat_interleave(2)
    logits = states @ model.output_matrix.float().T
    targets = torch.stack([logits.argmax(1), torch.arange(520) * 200 + 3], 1).flatten()
    logprobs, greedy = packed.scores(states, rows, targets)
    exact = (logits.gather(1, targets.view(520, 2)) - logits.logsumexp(1, keepdim=True)).flatten()
    torch.testing.assert_close(logprobs, exact, atol=2e-5, rtol=1e-5)
    assert greedy.view(520, 2)[:, 0].all() and not greedy.view(520, 2)[:, 1].any()
    assert max(count * columns for count, columns in held) <= 1 << 22
    assert max(columns for _, columns in held) == min(8192, matrix // 8)
