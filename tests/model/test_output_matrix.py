"""A model with an output matrix of its own: the same numbers as transformers', in every way of reading and writing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from evalkit.engine import hf
from evalkit.engine.gpt import GPTEngine
from evalkit.errors import CheckpointError
from evalkit.model import onednn, weights
from evalkit.model.config import GPTConfig
from evalkit.model.families import read_config
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.types import Decoding, Request

TIED = GPTConfig(n_layer=2, d_model=32, n_head=2, context=32, vocab_size=300)
KINDS = {"gpt2": TIED, "gpt1": replace(TIED, norm="post"), "gpt3": replace(TIED, band=8)}


def made(config, folder):
    model = GPT(config)
    model.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) * 0.2)
    tokenizer = Tokenizer.train(["a small text for a small tokenizer " * 3], vocab_size=300)
    weights.save(model, tokenizer, folder, record=None)
    return model.eval()


@pytest.fixture
def tokens():
    return torch.randint(0, 270, (3, TIED.context), generator=torch.Generator().manual_seed(2))


def edit(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def with_head(folder, head):
    state = load_file(folder / "model.safetensors")
    save_file({**state, "lm_head.weight": head(state["transformer.wte.weight"])}, folder / "model.safetensors")


def another(matrix):
    return torch.randn(matrix.shape, generator=torch.Generator().manual_seed(5)) * 0.3


def shards(folder, *, pickled):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem, end = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    places = {}
    for i, names in enumerate((list(state)[0::2], list(state)[1::2]), start=1):
        path = folder / f"{stem}-0000{i}-of-00002.{end}"
        (torch.save if pickled else save_file)({name: state[name] for name in names}, path)
        places |= dict.fromkeys(names, path.name)
    (folder / f"{stem}.{end}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


STORED = {
    "one file": lambda f: None,
    "shards": lambda f: shards(f, pickled=False),
    "pickled shards": lambda f: shards(f, pickled=True),
    "config says so": lambda f: edit(f, tie_word_embeddings=False),
}


@pytest.mark.parametrize("name", STORED)
def test_the_files_matrix_is_used_as_by_transformers(name, tokens, tmp_path):
    made(TIED, tmp_path)
    with_head(tmp_path, another)
    STORED[name](tmp_path)
    ours, _ = weights.load(tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)
    assert not torch.equal(theirs.lm_head.weight, theirs.transformer.wte.weight)
    assert ours.config.parameters == sum(p.numel() for p in ours.parameters()) == TIED.parameters + 300 * 32
    assert ours.config.flops_per_token == TIED.flops_per_token


@pytest.mark.parametrize("name", ["one file", "shards", "pickled shards"])
def test_a_copy_of_the_embedding_stays_tied(name, tokens, tmp_path):
    model = made(TIED, tmp_path)
    with_head(tmp_path, torch.clone)
    STORED[name](tmp_path)
    again, _ = weights.load(tmp_path)
    assert again.config == model.config and again.output is None
    assert torch.equal(again(tokens), model(tokens))


def test_a_copy_at_another_precision_stays_tied(tmp_path):
    model = made(TIED, tmp_path)
    with torch.no_grad():
        model.tokens.weight.copy_(model.tokens.weight.half().float())
    weights.save(model, Tokenizer.load(tmp_path), tmp_path, record=None)
    with_head(tmp_path, torch.Tensor.half)
    assert not read_config(tmp_path).untied


def test_a_matrix_stored_as_the_output_alone_is_the_embedding_too(tokens, tmp_path):
    model = made(TIED, tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    state["lm_head.weight"] = state.pop("transformer.wte.weight")
    save_file(state, tmp_path / "model.safetensors")
    again, _ = weights.load(tmp_path)
    assert not again.config.untied and torch.equal(again(tokens), model(tokens))


def test_a_missing_matrix_is_named(tmp_path):
    made(TIED, tmp_path)
    edit(tmp_path, tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: tensor 'lm_head\.weight' is missing"):
        weights.load(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_read_it_stays_what_it_is(kind, tokens, tmp_path):
    model = made(replace(KINDS[kind], untied=True), tmp_path)
    again, _ = weights.load(tmp_path)
    assert again.config == model.config and torch.equal(again(tokens), model(tokens))
    if kind != "gpt3":
        weights.export(tmp_path, tmp_path / "exported")
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "exported").eval()
        with torch.no_grad():
            torch.testing.assert_close(model(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("packed", [False, True])
def test_scores_and_generated_texts_are_transformers(packed, tokens, tmp_path):
    made(replace(TIED, untied=True), tmp_path)
    model, tokenizer = weights.load(tmp_path)
    theirs = hf.load(tmp_path, name="theirs")
    ours = GPTEngine(onednn.packed(model) if packed else model, tokenizer, name="ours", content_hash="0")
    asked = [
        Request(
            kind="loglikelihood", task="t", doc_id=str(i), context_ids=tuple(row[:9]), continuation_ids=tuple(row[9:])
        )
        for i, row in enumerate(tokens.tolist())
    ]
    expected, found = dict(theirs.loglikelihood(asked)), dict(ours.loglikelihood(asked))
    for i, response in expected.items():
        assert found[i].loglikelihood == pytest.approx(response.loglikelihood, abs=1e-3)
    decoding = Decoding(until=(), max_tokens=8)
    drawn = [replace(request, kind="generate_until", continuation_ids=(), decoding=decoding) for request in asked]
    assert {i: r.text for i, r in ours.generate_until(drawn)} == {i: r.text for i, r in theirs.generate_until(drawn)}
