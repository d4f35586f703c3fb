"""Checkpoints of other trainers: good ones, and what reads them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from evalkit.model import resolve, weights
from evalkit.report.terminal import models
from tests.model.formats import test_dcp, test_nanochat, trainers

_CHARACTERS = len(set(trainers.TEXT))


def nanogpt(folder: Path) -> None:
    """Write nanoGPT's file with the characters of its data set."""
    trainers.meta_file(folder / "meta.pkl")
    trainers.nanogpt_file(folder, trainers.gpt2_state(vocabulary=_CHARACTERS), vocabulary=_CHARACTERS)


def llmc(folder: Path) -> None:
    """Write llm.c's file, and a tokenizer."""
    trainers.tokenizer(folder)
    trainers.llmc_file(folder / "model_00000500.bin", trainers.gpt2_state())


def litgpt(folder: Path) -> None:
    """Write litgpt's folder."""
    trainers.tokenizer(folder)
    settings = trainers.litgpt_settings("llama")
    trainers.litgpt_folder(folder, settings, trainers.litgpt_state(settings))


def nanochat(folder: Path) -> None:
    """Write nanochat's files, with its pickled tokenizer."""
    test_nanochat.write(folder, test_nanochat.random_weights())


def distributed(folder: Path) -> None:
    """Write torchtitan's folder, of three ranks."""
    trainers.tokenizer(folder)
    (folder / "params.json").write_text(json.dumps(test_dcp.PARAMS))
    test_dcp.write_ranks(folder, test_dcp.titan_weights())


def load(folder: Path) -> bool:
    """Describe a checkpoint, load it and ask it something."""
    path = resolve.path_of(str(folder))
    models.summary(path)
    model, tokenizer = weights.load(path)
    with torch.inference_mode():
        model(torch.tensor([tokenizer.encode("to be")]))
    return True
