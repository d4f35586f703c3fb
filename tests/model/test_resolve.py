"""Names to folders: what is fetched from the hub, and what its cache already has."""

from __future__ import annotations

import fnmatch
import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from evalkit.errors import CheckpointError
from evalkit.model import resolve

# What the hub holds besides what we need.
ELSE = ["README.md", "tf_model.h5", "flax_model.msgpack", "onnx/decoder_model.onnx", "64.tflite", "rust_model.ot"]
SMALL = ["config.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "vocab.json"]
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]


@pytest.mark.parametrize(
    ("weights", "fetched"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        ([*SHARDS, "pytorch_model.bin"], SHARDS),
        (["pytorch_model.bin"], ["pytorch_model.bin"]),
    ],
)
def test_the_hub_is_asked_for_one_kind_of_weights_and_the_tokenizer(weights, fetched, monkeypatch, tmp_path):
    def snapshot_download(repository, *, allow_patterns=(), local_files_only=False):
        if local_files_only:
            raise LocalEntryNotFoundError("nothing is cached")
        assert repository == "openai-community/openai-gpt"
        for name in [*weights, *SMALL, *ELSE]:
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (tmp_path / name).touch()
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert resolve.path_of("gpt1") == tmp_path
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*fetched, *SMALL])


def test_a_cached_model_is_found_without_a_network(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert resolve.whereabouts("117M") == "to be fetched: openai-community/gpt2"
    repository = tmp_path / "models--openai-community--gpt2"
    snapshot = repository / "snapshots" / "abc"
    shutil.copytree(resolve.bundled()["nano"], snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert resolve.whereabouts("117M") == "cached: openai-community/gpt2"
    assert [Path(resolve.path_of(name)) for name in ("117M", "gpt2", "hf:openai-community/gpt2")] == [snapshot] * 3


@pytest.mark.parametrize(("lost", "asked"), [(None, False), (SHARDS[1], True), ("tokenizer.json", True)])
def test_only_what_the_cache_lacks_is_asked_of_the_network(lost, asked, monkeypatch, tmp_path):
    shards = {f"tensor {i}": name for i, name in enumerate(SHARDS[:2])}
    for name in [*SHARDS, "config.json", "tokenizer.json"]:
        (tmp_path / name).write_text(json.dumps({"weight_map": shards}))
    if lost:
        (tmp_path / lost).unlink()
    calls = []

    def snapshot_download(repository, *, allow_patterns=(), local_files_only=False):
        calls.append(local_files_only)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert resolve.path_of("gpt2") == tmp_path
    assert (False in calls) == asked


def test_gpt3_cannot_be_fetched():
    assert resolve.whereabouts("gpt3-175B") == "not released"
    with pytest.raises(CheckpointError, match="never released; train gpt3-125M with"):
        resolve.path_of("gpt3-125M")
