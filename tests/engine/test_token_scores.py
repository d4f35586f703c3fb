"""Scores of single tokens: their sum is the log-likelihood, their moments are those of the model's distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evalkit.engine import token_scores as scoring
from evalkit.engine.open import load_engine
from evalkit.errors import CheckpointError
from evalkit.model.resolve import path_of
from evalkit.types import Request


def request_of(tokens):
    return Request(kind="loglikelihood_rolling", task="t", doc_id="0", continuation_ids=tuple(tokens))


@pytest.fixture(scope="module")
def native():
    return load_engine("pico", dtype="fp32")


@pytest.fixture(params=["native", "hf", "live"])
def engine(request, native):
    if request.param == "hf":
        pytest.importorskip("transformers")
        return load_engine(f"hf:{path_of('pico')}")
    if request.param == "live":
        from evalkit.engine.live import LiveEngine

        return LiveEngine(native.model, native.tokenizer, name="live", positions=256)
    return native


TEXT = "Q: What is the job of Tom Holling?\nA: baker\n\nThe tailor painted a church."


def test_they_sum_to_the_likelihood_and_have_the_moments_of_the_distribution(engine, native, monkeypatch):
    monkeypatch.setattr(scoring, "_LOGITS", 7 * 3000)  # several blocks of positions
    tokens = engine.tokenizer.encode(TEXT)
    scores = engine.token_scores(request_of(tokens))
    [(_, response)] = engine.loglikelihood_rolling([request_of(tokens)])
    assert scores.logprobs.sum() == pytest.approx(response.loglikelihood, abs=1e-3)
    with torch.no_grad():
        logprobs = native.model(torch.tensor([[engine.tokenizer.end_of_text, *tokens[:-1]]]))[0].double().log_softmax(1)
    means = (logprobs.exp() * logprobs).sum(1)
    variances = (logprobs.exp() * logprobs**2).sum(1) - means**2  # as in the authors' program
    np.testing.assert_allclose(scores.logprobs, logprobs[range(len(tokens)), tokens], atol=1e-3)
    np.testing.assert_allclose(scores.means, means, atol=1e-3)
    np.testing.assert_allclose(scores.deviations, variances.sqrt(), atol=1e-3)


def test_of_a_text_longer_than_the_context_its_beginning_is_read(native):
    tokens = native.tokenizer.encode(TEXT) * 20
    scores = native.token_scores(request_of(tokens))
    assert len(tokens) > 256 == len(scores.logprobs)
    np.testing.assert_allclose(scores.logprobs, native.token_scores(request_of(tokens[:256])).logprobs, atol=1e-4)


def test_a_vocabulary_with_impossible_tokens_has_finite_moments():
    class Reader:
        def hidden(self, tokens):
            return torch.zeros(*tokens.shape, 4)

        def unembed(self, states):
            return states + torch.tensor([0.0, 0.0, -torch.inf, -torch.inf])

    scores = scoring.token_scores(Reader(), torch.tensor([0, 1, 0]))
    assert scores.means.tolist() == pytest.approx([-np.log(2)] * 2) and scores.deviations.tolist() == [0.0, 0.0]


def test_an_id_that_the_network_does_not_know_is_refused(native, monkeypatch):
    monkeypatch.setattr(native, "_known_ids", range(3000))
    with pytest.raises(CheckpointError, match=r"the id 1,000,000, the model has 3,000 token ids"):
        native.token_scores(request_of([10**6]))
