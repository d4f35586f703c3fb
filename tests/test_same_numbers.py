"""A stored run on real files equals what transformers computes from the same texts and the same folder."""

from __future__ import annotations

import pytest
import torch

from evalkit.cli import main
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from tests.transformers_check import differences


@pytest.fixture(scope="module")
def model_folder(data_dir, tmp_path_factory):
    """A model with weights far from zero and the real GPT-2 vocabulary."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = Tokenizer.load(data_dir / "gpt2-bpe")
    model = GPT(GPTConfig(n_layer=2, d_model=32, n_head=2, context=128, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    weights.save(model, tokenizer, folder, record={})
    return folder


@pytest.mark.parametrize(("task", "limit"), [("lambada", 60), ("wikitext2", 1)])
def test_loglikelihoods_equal_transformers(task, limit, model_folder, data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_DATA", str(data_dir))
    run = ["run", "--model", str(model_folder), "--tasks", task, "--limit", str(limit), "--out", str(tmp_path / "run")]
    assert main(run) == 0
    [entry] = differences(model_folder, tmp_path / "run").values()
    assert entry["requests"] == limit
    assert entry["relative"] < 1e-4
