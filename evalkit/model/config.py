"""Sizes of the GPT family: a frozen config and the named sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from evalkit.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The shape of a GPT-2-style decoder.

    n_layer: blocks. d_model: width. n_head: attention heads. context: positions. vocab_size: token ids.
    dropout: probability, used in training only (embeddings, attention, residual branches).
    epsilon: of the layer norms.

    Raises UsageError for a shape that cannot be built.
    """

    n_layer: int
    d_model: int
    n_head: int
    context: int
    vocab_size: int
    dropout: float = 0.0
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("n_layer", "d_model", "n_head", "context", "vocab_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.d_model % self.n_head:
            raise UsageError(f"d_model {self.d_model} is not a multiple of n_head {self.n_head}")
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"dropout must be in [0, 1), not {self.dropout}")

    @property
    def block_parameters(self) -> int:
        """N without embeddings, Kaplan et al. 2020's N (blocks and the final layer norm, biases included)."""
        d = self.d_model
        per_block = 12 * d * d + 13 * d  # qkv, projection, two MLP matrices; their biases; two layer norms
        return self.n_layer * per_block + 2 * d

    @property
    def parameters(self) -> int:
        """N with embeddings; the output matrix is the token embedding and counts once."""
        return self.block_parameters + (self.vocab_size + self.context) * self.d_model

    @property
    def flops_per_token(self) -> int:
        """Training FLOPs per token at full context: 6 N + 6 n_layer context d_model (Kaplan et al. 2020, 2.1).

        N counts every matrix that multiplies, the output matrix included; the attention term is the causal half.
        """
        multiplied = self.block_parameters + self.vocab_size * self.d_model
        return 6 * multiplied + 6 * self.n_layer * self.context * self.d_model


def _sizes(context: int, vocab_size: int, shapes: Mapping[str, tuple[int, int, int]]) -> Mapping[str, GPTConfig]:
    return MappingProxyType(
        {
            name: GPTConfig(n_layer=n_layer, d_model=d_model, n_head=n_head, context=context, vocab_size=vocab_size)
            for name, (n_layer, d_model, n_head) in shapes.items()
        }
    )


# The ladder is trained here, on the world corpus, with its tokenizer of 3,000 tokens.
LADDER = _sizes(
    256,
    3000,
    {
        "nano": (2, 64, 2),
        "micro": (3, 96, 3),
        "mini": (4, 128, 4),
        "midi": (4, 192, 6),
        "maxi": (6, 256, 8),
    },
)

# Radford et al. 2019, Table 2; the released checkpoints hold 124M, 355M, 774M and 1558M parameters.
GPT2 = _sizes(
    1024,
    50257,
    {"117M": (12, 768, 12), "345M": (24, 1024, 16), "762M": (36, 1280, 20), "1542M": (48, 1600, 25)},
)

# The names under which transformers' hub holds GPT-2's released weights.
GPT2_HUB = MappingProxyType(
    {
        "117M": "openai-community/gpt2",
        "345M": "openai-community/gpt2-medium",
        "762M": "openai-community/gpt2-large",
        "1542M": "openai-community/gpt2-xl",
        "gpt2": "openai-community/gpt2",
        "gpt2-medium": "openai-community/gpt2-medium",
        "gpt2-large": "openai-community/gpt2-large",
        "gpt2-xl": "openai-community/gpt2-xl",
    }
)


def with_shape(config: GPTConfig, *, vocab_size: int, context: int | None = None, dropout: float = 0.0) -> GPTConfig:
    """Return a named size with a tokenizer's vocabulary and, if given, another context."""
    return replace(config, vocab_size=vocab_size, context=context or config.context, dropout=dropout)
