"""A step of training: ours, transformers' GPT-2 with torch's AdamW, and the step's matrix products by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from evalkit import corpus as corpora
from evalkit.corpus.prepare import prepare
from evalkit.model.config import GPTConfig
from evalkit.model.precision import training_dtype
from evalkit.tokenizer import Tokenizer
from evalkit.train.batches import Batches
from evalkit.train.config import TrainConfig
from evalkit.train.loop import Trainer
from tests.benchmarks.measure_training_speed import ADAM, CLIP, CONTEXT, SEQUENCES, SHAPES, Products

_VOCABULARY, _STEPS = 8192, 1000
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
Step = Callable[[], Any]


def trainings(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the works of a line: a step of 8 x 256 tokens at 4 x 128 and at 6 x 256, with AdamW."""
    corpus = folder / "corpus"
    prepare(["world"], corpus, tokens=500_000, vocab_size=_VOCABULARY, tokenizer=None, seed=0, reuse=False)
    dtype = training_dtype("cpu")
    for name in ("4x128", "6x256"):
        layers, width, heads = SHAPES[name]
        vocabulary = Tokenizer.load(corpus).size
        shape = GPTConfig(n_layer=layers, d_model=width, n_head=heads, context=CONTEXT, vocab_size=vocabulary)
        yield {
            "work": f"a step of {SEQUENCES} x {CONTEXT} tokens at {name.replace('x', ' x ')}, AdamW, {dtype}",
            "ours": _our_step(shape, corpus, dtype),
            "peer": _their_step(shape, corpus, dtype),
            "peer_name": "transformers and torch's AdamW",
            "limit": Products(shape, sequences=SEQUENCES, dtype=_DTYPES[dtype]).multiply,
            "limit_name": "its matrix products by themselves",
        }


def _our_step(shape: GPTConfig, corpus: Path, dtype: Literal["bf16", "fp32"]) -> Step:
    tokens = _STEPS * SEQUENCES * CONTEXT
    config = TrainConfig(model=shape, tokens=tokens, sequences=SEQUENCES, compile="off", optim=ADAM, dtype=dtype)
    trainer = Trainer(config, corpora.load(corpus), Tokenizer.load(corpus), corpus)
    trainer.model.train()
    return trainer._one_step


def _their_step(shape: GPTConfig, corpus: Path, dtype: str) -> Step:
    config = GPT2Config(
        n_layer=shape.n_layer, n_embd=shape.d_model, n_head=shape.n_head, n_positions=CONTEXT,
        vocab_size=shape.vocab_size, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batches = Batches(corpora.load(corpus).train, context=CONTEXT, sequences=SEQUENCES, seed=0)

    def step() -> None:
        inputs, targets = batches.batch(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bf16"):
            logits = model(inputs).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
