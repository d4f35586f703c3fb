"""Ids beyond a model's vocabulary are errors of their items; the others are answered as without them."""

from __future__ import annotations

import pytest
import torch
import transformers

from evalkit.engine.gpt import GPTEngine
from evalkit.engine.hf import HFEngine
from evalkit.engine.live import LiveEngine
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request

_VOCABULARY = 280
_ERROR = "the tokenizer gives the id 281, the model has 280 token ids"


def _gapped():
    """Return a tokenizer of 280 tokens whose highest id is 281: as many as a model has, but not the same."""
    tokenizer = Tokenizer.train(["the cat sat on a mat and the dog ran home " * 4], vocab_size=_VOCABULARY)
    tokenizer.__dict__["highest"] = 281
    return tokenizer


def _native():
    model = GPT(GPTConfig(n_layer=1, d_model=8, n_head=2, context=32, vocab_size=_VOCABULARY))
    model.initialize(torch.Generator().manual_seed(0))
    return GPTEngine(model, _gapped(), name="m", content_hash="0")


def _theirs():
    config = transformers.GPT2Config(vocab_size=_VOCABULARY, n_positions=32, n_embd=8, n_layer=1, n_head=2)
    return transformers.GPT2LMHeadModel(config).eval()


_ENGINES = {
    "native": _native,
    "hf": lambda: HFEngine(_theirs(), _gapped(), name="m", content_hash="0", positions=32),
    "live": lambda: LiveEngine(_theirs(), _gapped(), name="m", positions=32),
}


def _request(kind, context, continuation=(), **options):
    return Request(
        kind=kind, task="t", doc_id="d", context_ids=context, continuation_ids=continuation, **options
    )  # fmt: skip


@pytest.mark.parametrize("name", _ENGINES)
def test_an_id_that_the_model_lacks_is_an_error_of_its_item(name):
    engine = _ENGINES[name]()
    cases = {
        "loglikelihood": [((1, 2), (3,)), ((1, 281), (3,)), ((1,), (281,))],
        "loglikelihood_rolling": [((), (3, 4)), ((), (3, 281)), ((), (281,))],
    }
    for kind, pairs in cases.items():
        found = dict(getattr(engine, kind)([_request(kind, *pair) for pair in pairs]))
        assert [found[i].error for i in range(3)] == ["", _ERROR, _ERROR]
        alone = dict(getattr(engine, kind)([_request(kind, *pairs[0])]))
        assert found[0].loglikelihood == pytest.approx(alone[0].loglikelihood, abs=1e-5) and found[0].tokens > 0
    prompts = [_request("generate_until", ids, decoding=Decoding(max_tokens=3)) for ids in ((1, 281), (1,))]
    found = dict(engine.generate_until(prompts))
    assert found[0].error == _ERROR and not found[1].error and found[1].tokens == 3


def test_a_usual_tokenizer_is_not_looked_at_again():
    model = GPT(GPTConfig(n_layer=1, d_model=8, n_head=2, context=32, vocab_size=_VOCABULARY))
    tokenizer = Tokenizer.train(["the cat sat on a mat"], vocab_size=270)
    assert tokenizer.highest == tokenizer.size - 1
    assert GPTEngine(model, tokenizer, name="m", content_hash="0")._known_ids is None
