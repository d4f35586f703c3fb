"""Time and memory of loading the largest GPT-2 shape (random bf16 weights; needs 4 GB of disk and 12 GB of memory)."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from evalkit import world
from evalkit.model import weights
from evalkit.model.config import GPT2, with_shape
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer

# In a process of its own: peak memory never falls again.
_LOAD_AND_SCORE = """
import sys
from pathlib import Path
import torch
from evalkit.engine.gpt import GPTEngine
from evalkit.model import weights
from evalkit.types import Request

model, tokenizer = weights.load(Path(sys.argv[1]), dtype=torch.bfloat16)
engine = GPTEngine(model, tokenizer, name="1542M", content_hash="random")
request = Request(kind="loglikelihood", task="t", doc_id="x", context_ids=(1, 2, 3), continuation_ids=(4, 5))
[(_, response)] = engine.loglikelihood([request])
assert response.tokens == 2 and response.loglikelihood < 0
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
print(peak / sum(p.nbytes for p in model.parameters()))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    tokenizer = Tokenizer.train(world.corpus(seed=0, documents=166), vocab_size=3000)
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = GPT(with_shape(GPT2["1542M"], vocab_size=GPT2["1542M"].vocab_size))
    finally:
        torch.set_default_dtype(torch.float32)
    weights.save(model, tokenizer, folder, record=None, dtype=torch.bfloat16)
    return folder


def test_load_and_score_1542M(benchmark, folder):  # noqa: N802 (the size's name)
    command = [sys.executable, "-c", _LOAD_AND_SCORE, str(folder)]

    def run():
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    peak = benchmark.pedantic(run, rounds=1)
    print(f"\npeak memory of the whole process: {peak:.3f} x the weights")
    benchmark.extra_info["peak_over_weights"] = peak
    assert peak <= 1.15
