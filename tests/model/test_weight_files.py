"""Weights in safetensors, in shards and in pickles: the same model, one clear error each, and little memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from evalkit.errors import CheckpointError
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    tokenizer = Tokenizer.train(["words and words"], vocab_size=270)
    model = GPT(GPTConfig(n_layer=2, d_model=16, n_head=2, context=32, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    weights.save(model, tokenizer, folder, record={})
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "checkpoint")


def take(folder):
    """Remove model.safetensors and return its tensors, named as before transformers 3: no prefix, masks beside."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    state = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    return state | {f"h.{i}.attn.bias": torch.ones(1, 1, 32, 32) for i in range(2)}


def shard(folder):
    state, places = take(folder), {}
    for i, names in enumerate((list(state)[0::2], list(state)[1::2]), start=1):
        path = folder / f"model-0000{i}-of-00002.safetensors"
        save_file({name: state[name] for name in names}, path)
        places |= dict.fromkeys(names, path.name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def pickled(folder, *, zipped=True, tied=False):
    state = take(folder)
    if tied:
        state["lm_head.weight"] = state["wte.weight"]
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)


STORED = {
    "shards": shard,
    "pickle": pickled,
    "pickle of old torch": lambda f: pickled(f, zipped=False),
    "pickle with the tied output matrix": lambda f: pickled(f, tied=True),
}


@pytest.mark.parametrize("name", STORED)
def test_every_kind_of_file_gives_the_same_bits(name, good, folder):
    before = weights.content_hash(folder)
    STORED[name](folder)
    expected, found = weights.load(good)[0], weights.load(folder)[0]
    for ours, theirs in zip(expected.parameters(), found.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert weights.content_hash(folder) != before


def first_shard(folder):
    return folder / "model-00001-of-00002.safetensors"


def a_weight(state):
    return min(name for name in state if name.endswith("weight"))


def edit_shard(folder, change):
    shard(folder)
    state = load_file(first_shard(folder))
    change(state)
    save_file(state, first_shard(folder))


def edit_index(folder, change):
    shard(folder)
    path = folder / "model.safetensors.index.json"
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def edit_pickle(folder, change):
    pickled(folder)
    path = folder / "pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def replace_weights(folder, content):
    take(folder)
    (folder / "pytorch_model.bin").write_bytes(content)


def drop_one(state):
    del state["h.0.ln_1.weight"]


BREAKAGES = {
    "missing shard": (lambda f: (shard(f), first_shard(f).unlink()), "00001-of-00002.safetensors is missing.*'"),
    "cut shard": (lambda f: (shard(f), cut(first_shard(f))), "00001-of-00002.safetensors cannot be read.*cut"),
    "tensor missing in the shards": (
        lambda f: edit_shard(f, lambda s: s.pop(a_weight(s))),
        "00001-of-00002.safetensors, .*00002-of-00002.safetensors: tensor '.*weight' is missing",
    ),
    "tensor surplus in a shard": (
        lambda f: edit_shard(f, lambda s: s.update(extra=torch.ones(1))),
        "00001-of-00002.safetensors: unexpected tensor 'extra'",
    ),
    "tensor in two shards": (
        lambda f: edit_shard(f, lambda s: s.update(load_file(f / "model-00002-of-00002.safetensors"))),
        "again in .*00002-of-00002",
    ),
    "wrong shape in a shard": (
        lambda f: edit_shard(f, lambda s: s.update({a_weight(s): torch.ones(3, 5)})),
        r"00001-of-00002.safetensors: tensor '.*' has shape .*config.json requires",
    ),
    "index without a map": (lambda f: edit_index(f, dict.clear), "index.json: weight_map must map"),
    "index to elsewhere": (
        lambda f: edit_index(f, lambda raw: raw["weight_map"].update(x="../model.safetensors")),
        "'../model.safetensors', the file of tensor 'x', must be a name in this folder",
    ),
    "cut index": (
        lambda f: (shard(f), (f / "model.safetensors.index.json").write_text("{")),
        "index.json line 1: not valid JSON",
    ),
    "tensor missing in a pickle": (
        lambda f: edit_pickle(f, drop_one),
        "pytorch_model.bin: tensor 'transformer.h.0.ln_1.weight' is missing",
    ),
    "tensor surplus in a pickle": (
        lambda f: edit_pickle(f, lambda s: s.update(extra=torch.ones(1))),
        "pytorch_model.bin: unexpected tensor 'extra'",
    ),
    "pickle of something else": (lambda f: edit_pickle(f, lambda s: s.update(a=1)), "expected a mapping from names"),
    "cut pickle": (lambda f: (pickled(f), cut(f / "pytorch_model.bin")), "pytorch_model.bin cannot be read.*cut"),
    "cut old pickle": (
        lambda f: (pickled(f, zipped=False), cut(f / "pytorch_model.bin")),
        "pytorch_model.bin cannot be read.*cut",
    ),
    "empty pickle": (lambda f: replace_weights(f, b""), "pytorch_model.bin cannot be read.*cut"),
    "no pickle": (lambda f: replace_weights(f, b"a text, not a pickle"), "pytorch_model.bin cannot be read"),
    "no weights": (lambda f: take(f) and None, "model.safetensors is missing.*nor is there .*pytorch_model.bin"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_file_is_named(name, folder):
    breaks, message = BREAKAGES[name]
    breaks(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        weights.load(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(zipped, folder, tmp_path):
    state = take(folder) | {"extra": Malicious(tmp_path / "owned")}
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is refused: it holds something other than tensors"):
        weights.load(folder)
    assert not (tmp_path / "owned").exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)  # the trap does work
    assert (tmp_path / "owned").exists()


_MEASURE = """
import sys, torch
from pathlib import Path
from evalkit.model import weights

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

small, large, dtype = Path(sys.argv[1]), Path(sys.argv[2]), getattr(torch, sys.argv[3])
weights.load(small, dtype=dtype)  # what the libraries take is not the model's
before = peak()
model, _ = weights.load(large, dtype=dtype)
print((peak() - before) / sum(p.nbytes for p in model.parameters()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(("kind", "dtype"), [("single", "bfloat16"), ("shards", "float32"), ("pickle", "bfloat16")])
def test_loading_takes_hardly_more_memory_than_the_weights(kind, dtype, good, tmp_path):
    """Stored in fp32, 24M parameters, 96 MB. Some tensors more are in memory for a moment: here 3% of the model."""
    config = GPTConfig(n_layer=24, d_model=288, n_head=4, context=32, vocab_size=300)
    model = GPT(config)
    weights.save(model, Tokenizer.load(good), tmp_path, record=None)
    {"single": lambda f: None, "shards": shard, "pickle": pickled}[kind](tmp_path)
    command = [sys.executable, "-c", _MEASURE, str(good), str(tmp_path), dtype]
    ratio = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert 0.8 < ratio <= 1.15
