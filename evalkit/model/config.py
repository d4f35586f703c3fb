"""The shapes of GPT-1, GPT-2 and GPT-3: a frozen config and the named sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from evalkit.errors import UsageError

# Upper bounds of any model, because a damaged file may ask for any number: layers; d_model, n_head and the like.
_MOST_LAYERS, _LARGEST = 1_000, 1 << 24


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The shape of a decoder: GPT-2's by default, GPT-1's with norm "post", GPT-3's with a band.

    n_layer: blocks. d_model: width. n_head: attention heads. context: positions. vocab_size: token ids.
    dropout: probability, used in training only (embeddings, attention, residual branches).
    epsilon: of the layer norms. norm: "pre" normalises each branch's input and the last block's output (Radford et
    al. 2019, section 2.3), "post" each sum of the residual stream and a branch (Radford et al. 2018, section 4.1).
    band: positions, its own included, that a position sees in every second layer (the 2nd, 4th, ...); None: all.
    untied: whether the output matrix is separate; in all GPTs of the papers it is the token embedding.

    Raises UsageError for a shape that cannot be built.
    """

    n_layer: int
    d_model: int
    n_head: int
    context: int
    vocab_size: int
    dropout: float = 0.0
    epsilon: float = 1e-5
    norm: Literal["pre", "post"] = "pre"
    band: int | None = None
    untied: bool = False

    def __post_init__(self) -> None:
        for name in ("n_layer", "d_model", "n_head", "context", "vocab_size"):
            largest = _MOST_LAYERS if name == "n_layer" else _LARGEST
            if not 1 <= getattr(self, name) <= largest:
                raise UsageError(f"{name} must be from 1 to {largest:,}, not {getattr(self, name)}")
        if self.d_model % self.n_head:
            raise UsageError(f"d_model {self.d_model} is not a multiple of n_head {self.n_head}")
        if not 0.0 < self.epsilon < 1.0:
            raise UsageError(f"epsilon must be between 0 and 1, not {self.epsilon}")
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"dropout must be in [0, 1), not {self.dropout}")
        if self.norm not in ("pre", "post"):
            raise UsageError(f"norm must be 'pre' or 'post', not {self.norm!r}")
        if self.band is not None and (self.band < 1 or self.norm == "post"):
            raise UsageError(f"band {self.band}: must be at least 1, and needs norm 'pre' (GPT-3)")

    @property
    def block_parameters(self) -> int:
        """N without embeddings, Kaplan et al. 2020's N (blocks and, if any, the final layer norm; biases included)."""
        d = self.d_model
        per_block = 12 * d * d + 13 * d  # qkv, projection, two MLP matrices; their biases; two layer norms
        return self.n_layer * per_block + (2 * d if self.norm == "pre" else 0)

    @property
    def parameters(self) -> int:
        """N with embeddings; a token embedding that is also the output matrix counts once."""
        tables = self.vocab_size * (2 if self.untied else 1) + self.context
        return self.block_parameters + tables * self.d_model

    @property
    def flops_per_token(self) -> int:
        """Training FLOPs per token at full context: 6 N + 6 n_layer context d_model (Kaplan et al. 2020, 2.1).

        Training is forward and backward; the forward pass alone is a third. N counts every matrix that multiplies,
        the output matrix included. The attention term counts the causal half, and only the band in banded layers.
        """
        multiplied = self.block_parameters + self.vocab_size * self.d_model
        band = min(self.band or self.context, self.context)
        seen = self.n_layer * self.context  # twice the positions that one position sees on average, over the layers
        seen -= self.n_layer // 2 * (self.context - band) ** 2 // self.context
        return 6 * multiplied + 6 * seen * self.d_model


def _sizes(shapes: Mapping[str, tuple[int, int, int]], **common: Any) -> Mapping[str, GPTConfig]:
    return MappingProxyType(
        {
            name: GPTConfig(n_layer=n_layer, d_model=d_model, n_head=n_head, **common)
            for name, (n_layer, d_model, n_head) in shapes.items()
        }
    )


# The ladder is trained by this project, on the world corpus, with its tokenizer of 3,000 tokens.
LADDER = _sizes(
    {
        "pico": (2, 32, 2),
        "nano": (2, 64, 2),
        "micro": (3, 96, 3),
        "mini": (4, 128, 4),
        "midi": (4, 192, 6),
        "maxi": (6, 256, 8),
    },
    context=256,
    vocab_size=3000,
)

# Radford et al. 2018, section 4.1; the vocabulary is that of the released model.
GPT1 = _sizes({"gpt1": (12, 768, 12)}, context=512, vocab_size=40478, norm="post", dropout=0.1)

# Radford et al. 2019, Table 2; the released checkpoints hold 124M, 355M, 774M and 1558M parameters.
GPT2 = _sizes(
    {"117M": (12, 768, 12), "345M": (24, 1024, 16), "762M": (36, 1280, 20), "1542M": (48, 1600, 25)},
    context=1024,
    vocab_size=50257,
)

# Brown et al. 2020, Table 2.1, with two corrections where width is not heads x head width as printed: 1.3B (XL) has
# 24 heads of 128 there, here 16 of 128; 13B has a width of 5140 there, here 5120 = 40 x 128. Layers alternate between
# dense and locally banded sparse attention (section 2.1); the paper gives no band, 256 is GPT-Neo's (assumed).
GPT3 = _sizes(
    {
        "gpt3-125M": (12, 768, 12),
        "gpt3-350M": (24, 1024, 16),
        "gpt3-760M": (24, 1536, 16),
        "gpt3-1.3B": (24, 2048, 16),
        "gpt3-2.7B": (32, 2560, 32),
        "gpt3-6.7B": (32, 4096, 32),
        "gpt3-13B": (40, 5120, 40),
        "gpt3-175B": (96, 12288, 96),
    },
    context=2048,
    vocab_size=50257,
    band=256,
)

SIZES = MappingProxyType({**LADDER, **GPT1, **GPT2, **GPT3})

# The names of released weights on the Hugging Face hub. GPT-3's were never released.
HUB = MappingProxyType(
    {
        "gpt1": "openai-community/openai-gpt",
        "openai-gpt": "openai-community/openai-gpt",
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
    """Return a shape with a tokenizer's vocabulary and, if given, another context."""
    return replace(config, vocab_size=vocab_size, context=context or config.context, dropout=dropout)
