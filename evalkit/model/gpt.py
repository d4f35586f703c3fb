"""The decoder, from GPT-1 to today's, written for likelihoods: logits at every position.

The config holds the differences, each with its paper. GPT-2 (Radford et al. 2019, section 2.3) normalises the input of
each branch and, once more, the last block's output. GPT-1 (Radford et al. 2018, section 4.1) normalises each sum of the
residual stream and a branch, and nothing afterwards. GPT-3 (Brown et al. 2020, section 2.1) is GPT-2 with "alternating
dense and locally banded sparse attention patterns"; the paper says neither which layers come first nor how wide the
band is. Assumed here, as in GPT-Neo: the first layer is dense, the second banded, and so on; a banded position sees
itself and the band - 1 before. Llama (Touvron et al. 2023, section 2.2) has RMS norms, SwiGLU and rotary positions.

The passes that score trees of prefixes (packed.py) and decode with a cache (decoding.py) use the same blocks; they
differ in how queries meet keys, which a block leaves to its caller.

Shapes: B sequences, T positions, D width, H heads of queries, G heads of keys and values, K width of a head, V
vocabulary. A name ends in its shape: logits_BTV. Loss, packed scoring, decoding and sampling live elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evalkit.model.attention import causal_attention, suits
from evalkit.model.config import GPTConfig
from evalkit.model.dropout import Dropout
from evalkit.model.gelu import gelu_tanh
from evalkit.model.rms_norm import RMSNorm
from evalkit.model.rotary import Rotation, rotate, rotation_at


def _squared_relu(x: Tensor) -> Tensor:
    return F.relu(x).square()


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "gelu_tanh": partial(F.gelu, approximate="tanh"),
        "gelu": F.gelu,
        "relu": F.relu,
        "relu2": _squared_relu,
        "silu": F.silu,
    }
)


class Linear(nn.Linear):
    """A matrix product whose result may pass through an activation; a faster form of it fuses both."""

    def prepared(self, x: Tensor) -> Any:
        """Return states as layers of this kind multiply them; made once for all layers with the same input."""
        return x

    def activated(self, x: Tensor, activation: str) -> Tensor:
        """Return an activation of the product."""
        if activation == "gelu_tanh" and self.training:
            return gelu_tanh(self(x))
        return ACTIVATIONS[activation](self(x))


def norm_of(config: GPTConfig, width: int) -> nn.Module:
    """Build a norm of the config's kind."""
    if config.norm_kind == "rms":
        return RMSNorm(width, eps=config.epsilon)
    return nn.LayerNorm(width, eps=config.epsilon, bias="norm" in config.biases)


def apply(module: nn.Module, x: Tensor) -> Tensor:
    """Call a module that turns one tensor into another."""
    result: Tensor = module(x)
    return result


class Attention(nn.Module):
    """Causal self-attention; scale: the factor of its scores. Queries, keys and values come from one matrix."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.n_head, self.n_kv_head, self.d_head = config.n_head, config.n_kv_head, config.d_head
        self.dropout, self.qk_norm = config.dropout, config.qk_norm
        scale = config.d_head**-0.5 if config.attention_scale is None else config.attention_scale
        self.scale = scale / (layer + 1) if config.scale_by_layer else scale
        queries, keys = self.n_head * self.d_head, self.n_kv_head * self.d_head
        self.qkv = Linear(config.d_model, queries + 2 * keys, bias="qkv" in config.biases)
        self.out = Linear(queries, config.d_model, bias="out" in config.biases)
        if config.qk_norm:
            widths = (self.d_head, self.d_head) if config.qk_norm == "head" else (queries, keys)
            self.norm_q, self.norm_k = (norm_of(config, width) for width in widths)

    def heads(
        self, x: Tensor, rotation: Rotation | None, norm: Callable[[nn.Module, Tensor], Tensor] = apply
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries (..., H, K), keys and values (..., G, K) of states (..., D), normalised and rotated."""
        qkv = self.qkv(x).unflatten(-1, (-1, self.d_head))
        if self.qk_norm is None and rotation is not None:
            qk, v = qkv.split((self.n_head + self.n_kv_head, self.n_kv_head), -2)
            q, k = rotate(qk, rotation).split((self.n_head, self.n_kv_head), -2)
            return q, k, v
        q, k, v = qkv.split((self.n_head, self.n_kv_head, self.n_kv_head), -2)
        if self.qk_norm == "head":
            q, k = norm(self.norm_q, q), norm(self.norm_k, k)
        elif self.qk_norm == "all":
            q, k = norm(self.norm_q, q.flatten(-2)).view_as(q), norm(self.norm_k, k.flatten(-2)).view_as(k)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        return q.to(v.dtype), k.to(v.dtype), v

    def forward(self, x_BTD: Tensor, rotation: Rotation | None, mask_TT: Tensor | None) -> Tensor:
        """Attend; without a mask each position sees itself and all before it, otherwise what the mask allows."""
        q, k, v = self.heads(x_BTD, rotation)
        dropout = self.dropout if self.training else 0.0
        compiled = torch.compiler.is_compiling()  # the compiler cannot trace random numbers in our own function
        if mask_TT is None and suits(v) and not (dropout and compiled):
            attended_BTD: Tensor = self.out(causal_attention(q, k, v, scale=self.scale, dropout=dropout))
            return attended_BTD
        y_BHTK = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=mask_TT,
            is_causal=mask_TT is None,
            dropout_p=dropout,
            scale=self.scale,
            enable_gqa=self.n_head != self.n_kv_head,
        )
        out_BTD: Tensor = self.out(y_BHTK.transpose(1, 2).flatten(2))
        return out_BTD


class Block(nn.Module):
    """Transformer block: attention and perceptron, each added to the residual stream, and norms around them."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        d, bias = config.d_model, "mlp" in config.biases
        self.norm, self.parallel = config.norm, config.parallel
        self.activation = config.activation
        self.norm_1 = norm_of(config, d)
        self.attention = Attention(config, layer)
        self.norm_2 = norm_of(config, d)
        self.up = Linear(d, config.d_ff, bias=bias)
        self.gate = Linear(d, config.d_ff, bias=bias) if config.gated else None
        self.down = Linear(config.d_ff, d, bias=bias)
        self.drop = Dropout(config.dropout)
        if config.norm == "both":
            self.output_norm_1, self.output_norm_2 = norm_of(config, d), norm_of(config, d)

    def forward(self, x_BTD: Tensor, rotation: Rotation | None, mask_TT: Tensor | None) -> Tensor:
        """Add the attention's and the perceptron's outputs to the residual stream."""
        return self.through(
            x_BTD, attention=lambda normed: self.attention(normed, rotation, mask_TT), perceptron=self.perceptron
        )

    def through(
        self,
        x: Tensor,
        *,
        attention: Callable[[Tensor], Tensor],
        perceptron: Callable[[Tensor], Tensor],
        norm: Callable[[nn.Module, Tensor], Tensor] = apply,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Apply the block to states (..., D) with the caller's attention, perceptron and way of applying norms.

        keep: the rows for which `attention` returns outputs, None for all; the others are dropped.
        """
        before, after = self.norm in ("pre", "both"), self.norm == "output"
        attended: Tensor = self.drop(attention(norm(self.norm_1, x) if before else x))
        x = x if keep is None else x[keep]
        if self.parallel:
            added: Tensor = self.drop(perceptron(norm(self.norm_2, x)))
            return x + attended + added
        if self.norm == "both":
            attended = norm(self.output_norm_1, attended)
        x = x + (norm(self.norm_1, attended) if after else attended)
        if self.norm == "post":
            x = norm(self.norm_1, x)
        added = self.drop(perceptron(norm(self.norm_2, x) if before else x))
        if self.norm == "both":
            added = norm(self.output_norm_2, added)
        x = x + (norm(self.norm_2, added) if after else added)
        return norm(self.norm_2, x) if self.norm == "post" else x

    def perceptron(self, x_BTD: Tensor) -> Tensor:
        """Project to the inner width, apply the activation and the gate, if any, project back to D."""
        if self.gate is None:
            out_BTD: Tensor = self.down(self.up.activated(x_BTD, self.activation))
            return out_BTD
        states = self.up.prepared(x_BTD)
        gated_BTD: Tensor = self.down(self.gate.activated(states, self.activation) * self.up(states))
        return gated_BTD


class GPT(nn.Module):
    """A language model; the output matrix is the token embedding, or separate (`config.untied`)."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Embedding(config.context, config.d_model) if config.rotary is None else None
        self.embedding_norm = norm_of(config, config.d_model) if config.embedding_norm else None
        self.drop = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        # GPT-1's last block has already normalised.
        last = nn.Identity() if config.norm == "post" else norm_of(config, config.d_model)
        self.norm: nn.Module = last
        self.output = nn.Linear(config.d_model, config.vocab_size, bias=False) if config.untied else None
        # The number format of the blocks' products, where it is not that of the weights.
        self.products: str | None = None

    @property
    def output_matrix(self) -> Tensor:
        """Return the matrix that turns states into logits (V, D)."""
        return self.tokens.weight if self.output is None else self.output.weight

    def initialize(self, generator: torch.Generator) -> None:
        """Draw initial weights: N(0, 0.02); since GPT-2, over sqrt(branches) where they feed the residual stream."""
        residual_scale = 1.0 if self.config.norm == "post" else 1 / math.sqrt(2 * self.config.n_layer)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                scale = residual_scale if name.endswith(("attention.out.weight", "down.weight")) else 1.0
                nn.init.normal_(parameter, std=0.02 * scale, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.ones_(parameter)

    def embed(
        self,
        tokens: Tensor,
        places: Tensor,
        *,
        dtype: torch.dtype | None = None,
        norm: Callable[[nn.Module, Tensor], Tensor] = apply,
    ) -> Tensor:
        """Return what the first block reads, (..., D), for tokens at positions, in the model's dtype or another."""
        x = self.tokens(tokens)
        x = x if dtype is None else x.to(dtype)
        if self.config.embedding_scale != 1.0:
            x = x * self.config.embedding_scale
        if self.positions is not None:
            x = x + self.positions(places).to(x.dtype)
        return x if self.embedding_norm is None else norm(self.embedding_norm, x)

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Return the final normalised states (B, T, D)."""
        T = tokens_BT.shape[1]
        assert self.config.context >= T, f"{T} tokens exceed the context of {self.config.context}"
        places_T = torch.arange(T, device=tokens_BT.device)
        x_BTD = self.drop(self.embed(tokens_BT, places_T))
        rotation, banded_TT = rotation_at(places_T, self.config), self._banded(places_T)
        for layer, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, rotation, banded_TT if self.config.is_banded(layer) else None)
        normed_BTD: Tensor = self.norm(x_BTD)
        return normed_BTD

    def _banded(self, places_T: Tensor) -> Tensor | None:
        """Return what positions see in banded layers; None if the band covers all, which is faster without a mask."""
        band = self.config.band
        if band is None or band >= len(places_T):
            return None
        behind_TT = places_T[:, None] - places_T
        return (behind_TT >= 0) & (behind_TT < band)

    def padding(self, rows: int) -> int:
        """Return how many rows a pass for inference should add to so many, to be faster."""
        return 0

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states (..., D) into logits (..., V)."""
        return self.capped(F.linear(hidden, self.output_matrix))

    def capped(self, logits: Tensor) -> Tensor:
        """Bound logits softly, if the model does."""
        cap = self.config.logit_cap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return logits_BTV, the scores of the next token at every position."""
        return self.unembed(self.hidden(tokens_BT))
