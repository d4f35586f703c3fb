"""The shapes of decoders from GPT-1 to today's: a frozen config, and the named sizes of GPT-1, GPT-2 and GPT-3."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from evalkit.errors import UsageError

# Upper bounds of any model, because a damaged file may ask for any number: layers; d_model, n_head and the like.
_MOST_LAYERS, _LARGEST = 1_000, 1 << 24


@dataclass(frozen=True, kw_only=True)
class Llama3Scaling:
    """How Llama 3.1 stretches rotary positions beyond the `context` it was first trained on (Grattafiori et al. 2024).

    A wave shorter than context / high stays, one longer than context / low is slowed down `factor` times, and those in
    between change smoothly from one to the other.
    """

    factor: float
    low: float
    high: float
    context: int

    def __post_init__(self) -> None:
        if not (_positive(self.factor) and _positive(self.low) and _positive(self.high - self.low)):
            raise UsageError(f"rotary scaling: factor {self.factor}, low {self.low}, high {self.high}; low < high")
        if not 1 <= self.context <= _LARGEST:
            raise UsageError(f"rotary scaling: context must be from 1 to {_LARGEST:,}, not {self.context}")


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Rotary positions (Su et al. 2021, section 3.4): queries and keys are rotated by their position.

    base: of the wave lengths. share: of each head's components that are rotated, the first ones (GPT-NeoX: 0.25); the
    components i and i + half of them form a pair. scaling: Llama 3.1's, or a number by which positions are divided
    (Chen et al. 2023).
    """

    base: float = 10_000.0
    share: float = 1.0
    scaling: Llama3Scaling | float | None = None

    def __post_init__(self) -> None:
        if not _positive(self.base):
            raise UsageError(f"rotary base must be a positive number, not {self.base}")
        if not 0.0 < self.share <= 1.0:
            raise UsageError(f"rotary share must be above 0 and at most 1, not {self.share}")
        if not (self.scaling is None or isinstance(self.scaling, Llama3Scaling) or _positive(self.scaling)):
            raise UsageError(f"rotary scaling must be a positive number, not {self.scaling}")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Rotary:
        """Build from the fields as `asdict` returns them."""
        scaling = stored.get("scaling")
        return cls(**{**stored, "scaling": Llama3Scaling(**scaling) if isinstance(scaling, Mapping) else scaling})


Norm = Literal["pre", "post", "output", "both"]
NormKind = Literal["layer", "rms"]
QKNorm = Literal["head", "all"]
Activation = Literal["gelu_tanh", "gelu", "relu", "relu2", "silu"]
# The groups of parameters that may have biases: of queries, keys and values; of the attention's output; of both
# perceptron matrices; of layer norms.
BIASES = ("qkv", "out", "mlp", "norm")
_CHOICES: Mapping[str, tuple[str | None, ...]] = MappingProxyType(
    {
        "norm": get_args(Norm),
        "norm_kind": ("layer", "rms"),
        "qk_norm": (None, "head", "all"),
        "activation": get_args(Activation),
    }
)


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The shape of a decoder: GPT-2's by default, GPT-1's with norm "post", GPT-3's with a band; Llama's and others'.

    n_layer: blocks. d_model: width. n_head: attention heads. context: positions. vocab_size: token ids.
    dropout: probability, used in training only (embeddings, attention, residual branches).
    epsilon: of the norms. norm: "pre" normalises each branch's input and the last block's output (Radford et al. 2019,
    section 2.3), "post" each sum of the residual stream and a branch (Radford et al. 2018, section 4.1), "output" each
    branch's output before it is added (OLMo 2, Walsh et al. 2024, section 3.2), "both" its input and its output (Gemma
    2, Riviere et al. 2024, section 2).
    band: positions, its own included, that a position sees in banded layers; None: all of them. banded: these layers,
    counted from 0; by default every second (the 2nd, 4th, ...), as in GPT-3.
    untied: whether the output matrix is separate; in all GPTs of the papers it is the token embedding.
    norm_kind: layer norm (Ba et al. 2016) or RMS norm (Zhang and Sennrich 2019). biases: see BIASES.
    d_head: width of a head (d_model / n_head). n_kv_head: heads of keys and values, each shared by n_head / n_kv_head
    heads of queries (n_head; Ainslie et al. 2023). d_ff: inner width of the perceptron (4 d_model).
    activation: of the perceptron; "gelu_tanh" is GPT's approximation (Hendrycks and Gimpel 2016, section 2), "gelu" the
    exact function, "relu2" the square of ReLU (So et al. 2021). gated: whether a second matrix's product is multiplied
    with the activation: SwiGLU with "silu" (Shazeer 2020, section 2).
    parallel: whether both branches read the same residual stream (Wang and Komatsuzaki 2021; Black et al. 2022).
    qk_norm: queries and keys are normalised, each "head" by itself (Dehghani et al. 2023; Qwen 3) or "all" at once
    (OLMo 2), before they are rotated. rotary: rotary positions in place of learned ones.
    attention_scale: factor of the attention's scores (d_head ** -0.5; GPT-Neo has 1). scale_by_layer: whether it is
    divided by the layer's number, counted from 1 (Stanford's GPT-2s, "Mistral"). embedding_scale: factor of token
    embeddings (Gemma: sqrt(d_model)). embedding_norm: whether embeddings are normalised. logit_cap: logits are
    cap tanh(logits / cap) (Gemma 2).

    Raises UsageError for a shape that cannot be built.
    """

    n_layer: int
    d_model: int
    n_head: int
    context: int
    vocab_size: int
    dropout: float = 0.0
    epsilon: float = 1e-5
    norm: Norm = "pre"
    band: int | None = None
    untied: bool = False
    norm_kind: NormKind = "layer"
    biases: tuple[str, ...] = BIASES
    d_head: int = 0
    n_kv_head: int = 0
    d_ff: int = 0
    activation: Activation = "gelu_tanh"
    gated: bool = False
    parallel: bool = False
    qk_norm: QKNorm | None = None
    rotary: Rotary | None = None
    banded: tuple[int, ...] | None = None
    attention_scale: float | None = None
    scale_by_layer: bool = False
    embedding_scale: float = 1.0
    embedding_norm: bool = False
    logit_cap: float | None = None

    def __post_init__(self) -> None:
        for name in ("n_layer", "d_model", "n_head", "context", "vocab_size"):
            self._check_size(name)
        if not self.d_head and self.d_model % self.n_head:
            raise UsageError(f"d_model {self.d_model} is not a multiple of n_head {self.n_head}")
        defaults = {"d_head": self.d_model // self.n_head, "n_kv_head": self.n_head, "d_ff": 4 * self.d_model}
        for name, default in defaults.items():
            object.__setattr__(self, name, getattr(self, name) or default)
            self._check_size(name)
        if self.n_head % self.n_kv_head:
            raise UsageError(f"n_head {self.n_head} is not a multiple of n_kv_head {self.n_kv_head}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                choices = ", ".join(map(repr, allowed))
                raise UsageError(f"{name} must be one of {choices}, not {getattr(self, name)!r}")
        self._check_numbers()
        self._check_mixes()

    def _check_size(self, name: str) -> None:
        largest = _MOST_LAYERS if name == "n_layer" else _LARGEST
        if not 1 <= getattr(self, name) <= largest:
            raise UsageError(f"{name} must be from 1 to {largest:,}, not {getattr(self, name)}")

    def _check_numbers(self) -> None:
        if not 0.0 < self.epsilon < 1.0:
            raise UsageError(f"epsilon must be between 0 and 1, not {self.epsilon}")
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"dropout must be in [0, 1), not {self.dropout}")
        for name in ("attention_scale", "embedding_scale", "logit_cap"):
            if not (getattr(self, name) is None or _positive(getattr(self, name))):
                raise UsageError(f"{name} must be a positive number, not {getattr(self, name)}")

    def _check_mixes(self) -> None:
        """Refuse what no network computes, or what ours would compute otherwise than its fields say."""
        if self.band is not None and (self.band < 1 or self.norm == "post"):
            raise UsageError(f"band {self.band}: must be at least 1, and needs norm 'pre' (GPT-3)")
        if self.banded is not None and (self.band is None or not set(self.banded) <= set(range(self.n_layer))):
            raise UsageError(f"banded {self.banded}: needs a band, and layers from 0 to {self.n_layer - 1}")
        if not set(self.biases) <= set(BIASES):
            raise UsageError(f"biases must be among {', '.join(BIASES)}, not {', '.join(self.biases)}")
        if self.norm_kind == "rms" and "norm" in self.biases:
            raise UsageError("norm_kind 'rms': an RMS norm has no bias; leave 'norm' out of biases")
        if self.parallel and self.norm != "pre":
            raise UsageError(f"parallel branches need norm 'pre', not {self.norm!r}")
        if self.rotary and self.rotated % 2:
            raise UsageError(f"rotary share {self.rotary.share} of d_head {self.d_head}: not an even number")
        if self.rotary and not self.rotated:
            raise UsageError(f"rotary share {self.rotary.share} of d_head {self.d_head} rotates nothing")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> GPTConfig:
        """Build from the fields as `asdict` returns them; fields newer than a file get their defaults."""
        fields = dict(stored)
        if isinstance(fields.get("rotary"), Mapping):
            fields["rotary"] = Rotary.of(fields["rotary"])
        for name in {"biases", "banded"} & fields.keys():
            fields[name] = None if fields[name] is None else tuple(fields[name])
        return cls(**fields)

    @property
    def rotated(self) -> int:
        """Number of components of each head that are rotated."""
        return int(self.d_head * self.rotary.share) if self.rotary else 0

    def is_banded(self, layer: int) -> bool:
        """Whether a layer, counted from 0, sees only the band."""
        if self.band is None:
            return False
        return layer % 2 == 1 if self.banded is None else layer in self.banded

    @property
    def block_parameters(self) -> int:
        """N without embeddings, Kaplan et al. 2020's N (blocks and, if any, the final norm; biases included)."""
        d, queries, keys = self.d_model, self.n_head * self.d_head, self.n_kv_head * self.d_head
        inner = self.d_ff * (2 if self.gated else 1)
        per_block = d * (queries + 2 * keys) + queries * d + d * inner + self.d_ff * d
        per_block += (queries + 2 * keys) * ("qkv" in self.biases) + d * ("out" in self.biases)
        per_block += (inner + d) * ("mlp" in self.biases)
        norm = 2 if "norm" in self.biases else 1
        per_block += norm * d * (4 if self.norm == "both" else 2)
        per_block += norm * {None: 0, "head": 2 * self.d_head, "all": queries + keys}[self.qk_norm]
        return self.n_layer * per_block + (0 if self.norm == "post" else norm * d)

    @property
    def parameters(self) -> int:
        """N with embeddings; a token embedding that is also the output matrix counts once."""
        tables = self.vocab_size * (2 if self.untied else 1) + (0 if self.rotary else self.context)
        norm = (2 if "norm" in self.biases else 1) * self.embedding_norm
        return self.block_parameters + (tables + norm) * self.d_model

    @property
    def flops_per_token(self) -> int:
        """Training FLOPs per token at full context: 6 N + 6 n_layer context d_model (Kaplan et al. 2020, 2.1).

        Training is forward and backward; the forward pass alone is a third. N counts every matrix that multiplies,
        the output matrix included. The attention term counts the causal half, and only the band in banded layers; its
        width is that of all heads.
        """
        multiplied = self.block_parameters + self.vocab_size * self.d_model
        band = min(self.band or self.context, self.context)
        seen = self.n_layer * self.context  # twice the positions that one position sees on average, over the layers
        seen -= sum(map(self.is_banded, range(self.n_layer))) * (self.context - band) ** 2 // self.context
        return 6 * multiplied + 6 * seen * self.n_head * self.d_head


def _positive(number: float) -> bool:
    return 0.0 < number < math.inf


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


# How a named size can be built. "gpt2": as its paper has it. "modern": the same layers, width and heads, otherwise as
# Qwen 3 (Yang et al. 2025, section 2), whose layout it is stored in.
Architecture = Literal["gpt2", "modern"]


def modern(shape: GPTConfig) -> GPTConfig:
    """Return today's decoder with the layers, width, heads and about the parameters of a GPT.

    RMS norms, also of each head's queries and keys; SwiGLU of about 8/3 the width, so that its three matrices have the
    parameters of two of four times the width and of the biases; rotary positions; no biases. What trials chose among:
    docs/log.md.
    """
    return GPTConfig(
        n_layer=shape.n_layer, d_model=shape.d_model, n_head=shape.n_head, context=shape.context,
        vocab_size=shape.vocab_size, dropout=shape.dropout, epsilon=1e-6, norm_kind="rms", biases=(),
        d_ff=8 * round((8 * shape.d_model + 11) / 24), activation="silu", gated=True, qk_norm="head", rotary=Rotary(),
    )  # fmt: skip


def with_shape(
    config: GPTConfig, *, vocab_size: int, context: int | None = None, dropout: float = 0.0, **shape: int
) -> GPTConfig:
    """Return a shape with a tokenizer's vocabulary and, where given, another context.

    shape: other values of n_layer, n_head and d_model; heads and perceptrons are then as wide as GPT-2's. Raises
    UsageError for a width that is no multiple of the heads.
    """
    changes: dict[str, Any] = {**shape, "n_kv_head": 0, "d_head": 0, "d_ff": 0, "banded": None} if shape else {}
    return replace(config, vocab_size=vocab_size, context=context or config.context, dropout=dropout, **changes)
