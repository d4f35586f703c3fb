"""The decoder of GPT-1, GPT-2 and GPT-3, written for likelihoods: logits at every position.

The config holds the differences. GPT-2 (Radford et al. 2019, section 2.3) normalises the input of each branch and, once
more, the last block's output. GPT-1 (Radford et al. 2018, section 4.1) normalises each sum of the residual stream and a
branch, and nothing afterwards. GPT-3 (Brown et al. 2020, section 2.1) is GPT-2 with "alternating dense and locally
banded sparse attention patterns"; the paper says neither which layers come first nor how wide the band is. Assumed
here, as in GPT-Neo: the first layer is dense, the second banded, and so on; a banded position sees itself and the
band - 1 before.

Shapes: B sequences, T positions, D width, H heads, K = D / H, V vocabulary. A name ends in its shape: logits_BTV. Loss,
packed scoring, decoding with a cache and sampling live elsewhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evalkit.model.attention import causal_attention, suits
from evalkit.model.config import GPTConfig
from evalkit.model.dropout import Dropout


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)

    def forward(self, x_BTD: Tensor, mask_TT: Tensor | None) -> Tensor:
        """Attend; without a mask each position sees itself and all before it, otherwise what the mask allows."""
        B, T, D = x_BTD.shape
        qkv_BTC = self.qkv(x_BTD)
        dropout = self.dropout if self.training else 0.0
        compiled = torch.compiler.is_compiling()  # the compiler cannot trace random numbers in our own function
        if mask_TT is None and suits(qkv_BTC) and not (dropout and compiled):
            attended_BTD: Tensor = self.out(causal_attention(qkv_BTC, n_head=self.n_head, dropout=dropout))
            return attended_BTD
        q, k, v = qkv_BTC.view(B, T, 3, self.n_head, D // self.n_head).permute(2, 0, 3, 1, 4)
        y_BHTK = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask_TT,
            is_causal=mask_TT is None,
            dropout_p=dropout,
        )
        out_BTD: Tensor = self.out(y_BHTK.transpose(1, 2).reshape(B, T, D))
        return out_BTD


class Block(nn.Module):
    """Transformer block with layer norms before the branches or after their sums."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        d = config.d_model
        self.post = config.norm == "post"
        self.norm_1 = nn.LayerNorm(d, eps=config.epsilon)
        self.attention = Attention(config)
        self.norm_2 = nn.LayerNorm(d, eps=config.epsilon)
        self.up = nn.Linear(d, 4 * d)
        self.down = nn.Linear(4 * d, d)
        self.drop = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, mask_TT: Tensor | None) -> Tensor:
        """Add the attention's and the perceptron's outputs to the residual stream."""
        if self.post:
            x_BTD = self.norm_1(x_BTD + self.drop(self.attention(x_BTD, mask_TT)))
            normed_BTD: Tensor = self.norm_2(x_BTD + self.drop(self.perceptron(x_BTD)))
            return normed_BTD
        x_BTD = x_BTD + self.drop(self.attention(self.norm_1(x_BTD), mask_TT))
        added_BTD: Tensor = self.drop(self.perceptron(self.norm_2(x_BTD)))
        return x_BTD + added_BTD

    def perceptron(self, x_BTD: Tensor) -> Tensor:
        """Project to 4 D, apply GPT's approximation of GELU, project back to D."""
        out_BTD: Tensor = self.down(F.gelu(self.up(x_BTD), approximate="tanh"))
        return out_BTD


class GPT(nn.Module):
    """A language model; the output matrix is the token embedding, or separate (`config.untied`)."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Embedding(config.context, config.d_model)
        self.drop = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        # GPT-1's last block has already normalised.
        last = nn.LayerNorm(config.d_model, eps=config.epsilon) if config.norm == "pre" else nn.Identity()
        self.norm: nn.Module = last
        self.output = nn.Linear(config.d_model, config.vocab_size, bias=False) if config.untied else None

    @property
    def output_matrix(self) -> Tensor:
        """Return the matrix that turns states into logits (V, D)."""
        return self.tokens.weight if self.output is None else self.output.weight

    def initialize(self, generator: torch.Generator) -> None:
        """Draw initial weights: N(0, 0.02); since GPT-2, over sqrt(branches) where they feed the residual stream."""
        residual_scale = 1 / math.sqrt(2 * self.config.n_layer) if self.config.norm == "pre" else 1.0
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                scale = residual_scale if name.endswith(("attention.out.weight", "down.weight")) else 1.0
                nn.init.normal_(parameter, std=0.02 * scale, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.ones_(parameter)

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Return the final normalised states (B, T, D)."""
        T = tokens_BT.shape[1]
        assert self.config.context >= T, f"{T} tokens exceed the context of {self.config.context}"
        places_T = torch.arange(T, device=tokens_BT.device)
        x_BTD = self.drop(self.tokens(tokens_BT) + self.positions(places_T))
        banded_TT = self._banded(places_T)
        for layer, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, banded_TT if layer % 2 else None)
        normed_BTD: Tensor = self.norm(x_BTD)
        return normed_BTD

    def _banded(self, places_T: Tensor) -> Tensor | None:
        """Return what positions see in banded layers; None if the band covers all, which is faster without a mask."""
        band = self.config.band
        if band is None or band >= len(places_T):
            return None
        behind_TT = places_T[:, None] - places_T
        return (behind_TT >= 0) & (behind_TT < band)

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states (..., D) into logits (..., V)."""
        return F.linear(hidden, self.output_matrix)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return logits_BTV, the scores of the next token at every position."""
        return self.unembed(self.hidden(tokens_BT))
