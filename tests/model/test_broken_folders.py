"""A checkpoint folder that is wrong gives one clear error that names the file and the tensor."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from evalkit.errors import CheckpointError, EvalkitError, UsageError
from evalkit.model import resolve, weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    tokenizer = Tokenizer.train(["words and words"], vocab_size=270)
    model = GPT(GPTConfig(n_layer=1, d_model=16, n_head=2, context=32, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    weights.save(model, tokenizer, folder, record={})
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "checkpoint")


def edit(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


def set_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


BREAKAGES = {
    "missing tensor": (lambda f: edit(f, lambda s: s.pop("transformer.h.0.ln_1.weight")), "h.0.ln_1.weight.*missing"),
    "surplus tensor": (lambda f: edit(f, lambda s: s.update({"extra": torch.ones(1)})), "unexpected tensor 'extra'"),
    "wrong shape": (
        lambda f: edit(f, lambda s: s.update({"transformer.wpe.weight": torch.ones(31, 16)})),
        r"wpe.weight.*\(31, 16\).*\(32, 16\)",
    ),
    "cut weights": (lambda f: (f / "model.safetensors").write_bytes(b"x" * 100), "model.safetensors cannot be read"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "cut config": (
        lambda f: (f / "config.json").write_text('{"model_type": "gp'),
        "config.json line 1: not valid JSON",
    ),
    "other model": (lambda f: set_config(f, model_type="bloom"), 'model_type "bloom": our GPT has .*llama'),
    "another's settings": (
        lambda f: set_config(f, model_type="llama"),
        "num_hidden_layers is missing; it must be a whole",
    ),
    "no model type": (lambda f: set_config(f, model_type=7), "model_type is 7; it must be a text"),
    "other activation": (
        lambda f: set_config(f, activation_function="quick_gelu"),
        '"quick_gelu": our GPT has gelu_new',
    ),
    "no layers": (lambda f: set_config(f, n_layer=None), "n_layer is null; it must be a whole number"),
    "odd heads": (lambda f: set_config(f, n_head=3), "not a multiple of n_head 3"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer"),
    "cut tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json line 1: not valid JSON"),
    "small vocabulary": (lambda f: set_config(f, vocab_size=10), "the model only 10"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_folder_is_named(folder, name):
    breaks, message = BREAKAGES[name]
    breaks(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        weights.load(folder)
    assert str(folder) in str(caught.value)


def test_the_unbroken_folder_loads(folder):
    model, tokenizer = weights.load(folder)
    assert model.config.vocab_size == tokenizer.size


def test_any_change_of_the_folder_changes_the_hash(folder):
    before = weights.content_hash(folder)
    edit(folder, lambda s: s["transformer.wpe.weight"].add_(1e-3))
    assert weights.content_hash(folder) != before


def test_unknown_models_get_a_suggestion():
    with pytest.raises(UsageError, match="unknown model 'gtp2'; did you mean 'gpt2'"):
        resolve.path_of("gtp2")
    with pytest.raises(CheckpointError, match=r"no checkpoint file or folder \./nowhere"):
        resolve.path_of("./nowhere")


def test_the_hub_offline_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name in ("117M", "hf:nobody/nothing"):
        with pytest.raises(EvalkitError, match="three ways"):
            resolve.path_of(name)


def test_a_path_that_is_no_folder_is_not_looked_for_on_the_hub(tmp_path):
    for path in ("./nowhere", str(tmp_path / "nowhere"), "a/b/c"):
        with pytest.raises(CheckpointError, match=f"no checkpoint folder {path} "):
            resolve.path_of(f"hf:{path}")
    with pytest.raises(EvalkitError, match="hf: names no model"):
        resolve.path_of("hf:")


@pytest.mark.parametrize("weights_file", ["model-00001-of-00002.safetensors", "pytorch_model.bin"])
def test_pickled_weights_are_fetched_only_where_there_are_no_others(weights_file, monkeypatch, tmp_path):
    asked = []

    def fetch(repository, *, allow_patterns=(), local_files_only=False):
        if local_files_only:
            return str(tmp_path)  # nothing is in it yet
        asked.append(allow_patterns)
        if any(fnmatch(weights_file, pattern) for pattern in allow_patterns):
            (tmp_path / weights_file).touch()
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert resolve.path_of("hf:owner/name") == tmp_path
    assert (tmp_path / weights_file).is_file()
    assert any("bin" in pattern for pattern in asked[-1]) == weights_file.endswith("bin")


def test_hf_takes_a_folder_too(folder):
    assert resolve.path_of(f"hf:{folder}") == folder
