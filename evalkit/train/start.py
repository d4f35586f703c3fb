"""The weights that a training starts from instead of random ones: any checkpoint that evalkit's own GPT can load."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from evalkit.engine.open import HF
from evalkit.errors import CheckpointError, UsageError
from evalkit.model import formats, resolve, weights
from evalkit.model.checkpoint import Vocabulary
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Start:
    """A model with its tokenizer. name: as the user gave it. digest: of its content.

    step, tokens, flops: of its own training, and of those before it; None where no record says so.
    """

    model: GPT
    tokenizer: Tokenizer
    name: str
    digest: str
    step: int | None = None
    tokens: int | None = None
    flops: int | None = None

    def check(self, shape: GPTConfig, tokenizer: Tokenizer) -> None:
        """Raise CheckpointError if its shape is another one, or its weights were trained with another tokenizer."""
        if replace(self.model.config, dropout=shape.dropout) != shape:
            raise CheckpointError(f"the training's shape is not that of {self.name}, from whose weights it starts")
        if tokenizer.content_hash() != self.tokenizer.content_hash():
            raise CheckpointError(
                f"the corpus was encoded with another tokenizer than that of {self.name}, from whose weights the "
                f"training starts; build it from its sources with --tokenizer {self.name}"
            )

    def record(self) -> dict[str, Any]:
        """Return what a training's record says about its start."""
        return {"model": self.name, "hash": self.digest, "step": self.step, "tokens": self.tokens, "flops": self.flops}


def load(name: str, *, vocabulary: Vocabulary | None = None) -> Start:
    """Load a model's weights by its name or its path, of any format. vocabulary: in place of its own.

    Raises CheckpointError for weights that are missing or damaged, UsageError for an unknown name or a model that
    transformers runs.
    """
    if name.startswith(HF):
        raise UsageError(f"--from {name}: only evalkit's own GPT can be trained; give the folder without {HF}")
    checkpoint = formats.open(resolve.path_of(name), vocabulary=vocabulary)
    model, tokenizer = weights.build(checkpoint)
    model = weights.storable(model)  # a training ends in a checkpoint
    known = checkpoint.training
    facts: dict[str, Any] = {key: known[key] for key in ("step", "tokens", "flops") if isinstance(known.get(key), int)}
    return Start(model=model, tokenizer=tokenizer, name=name, digest=checkpoint.content_hash, **facts)
