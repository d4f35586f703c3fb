"""The decoder of GPT-1, GPT-2 and GPT-3, written for likelihoods: logits at every position.

What differs is in the config. GPT-2 (Radford et al. 2019, section 2.3) normalises the input of each branch and, once
more, the last block's output. GPT-1 (Radford et al. 2018, section 4.1) normalises each sum of the residual stream and a
branch, and nothing after. GPT-3 (Brown et al. 2020, section 2.1) is GPT-2 with "alternating dense and locally banded
sparse attention patterns"; it says neither which layers come first nor how wide the band is. Assumed here, as in
GPT-Neo: the first layer is dense, the second banded, and so on; a banded position sees itself and the band - 1 before.

Shapes: B sequences, T positions of this call, S positions with the cached ones, D width, H heads, K = D / H,
V vocabulary. A name ends in its shape: logits_BTV. Loss and sampling live elsewhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evalkit.model.attention import causal_attention, suits
from evalkit.model.config import GPTConfig


class KVCache:
    """Keys and values of the positions read so far, preallocated; each sequence has its own length.

    Prompts of different lengths are padded on the right. A padded position is overwritten by the next token of its
    sequence before anything can attend to it, so padding never changes a result.
    """

    def __init__(self, config: GPTConfig, *, sequences: int, positions: int, dtype: torch.dtype, device: torch.device):
        shape = (config.n_layer, 2, sequences, config.n_head, positions, config.d_model // config.n_head)
        self.kv_LJBHSK = torch.zeros(shape, dtype=dtype, device=device)
        self.lengths_B = torch.zeros(sequences, dtype=torch.long, device=device)

    def extend(self, layer: int, keys_BHTK: Tensor, values_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Store this call's keys and values behind each sequence's own, and return all of them."""
        T = keys_BHTK.shape[2]
        where_BT = self.lengths_B[:, None] + torch.arange(T, device=self.lengths_B.device)
        rows_B1 = torch.arange(keys_BHTK.shape[0], device=self.lengths_B.device)[:, None]
        for j, new_BHTK in enumerate((keys_BHTK, values_BHTK)):
            # Two index tensors around a slice put the indexed dimensions first: (B, T, H, K).
            self.kv_LJBHSK[layer, j][rows_B1, :, where_BT] = new_BHTK.transpose(1, 2).to(self.kv_LJBHSK.dtype)
        return self.kv_LJBHSK[layer, 0], self.kv_LJBHSK[layer, 1]

    def keep(self, rows: Tensor) -> None:
        """Drop all sequences but these (indices, in the order wanted)."""
        self.kv_LJBHSK = self.kv_LJBHSK[:, :, rows]
        self.lengths_B = self.lengths_B[rows]


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)

    def forward(self, x_BTD: Tensor, cache: KVCache | None, layer: int, mask_B1TS: Tensor | None) -> Tensor:
        """Attend; without a mask each position sees itself and all before it, else what the mask allows."""
        B, T, D = x_BTD.shape
        qkv_BTC = self.qkv(x_BTD)
        if cache is None and mask_B1TS is None and not self.dropout and suits(qkv_BTC):
            attended_BTD: Tensor = self.out(causal_attention(qkv_BTC, n_head=self.n_head))
            return attended_BTD
        q, k, v = qkv_BTC.view(B, T, 3, self.n_head, D // self.n_head).permute(2, 0, 3, 1, 4)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        y_BHTK = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask_B1TS,
            is_causal=mask_B1TS is None,
            dropout_p=self.dropout if self.training else 0.0,
        )
        out_BTD: Tensor = self.out(y_BHTK.transpose(1, 2).reshape(B, T, D))
        return out_BTD


class Block(nn.Module):
    """Transformer block, its layer norms before the branches or behind their sums."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        d = config.d_model
        self.post = config.norm == "post"
        self.norm_1 = nn.LayerNorm(d, eps=config.epsilon)
        self.attention = Attention(config)
        self.norm_2 = nn.LayerNorm(d, eps=config.epsilon)
        self.up = nn.Linear(d, 4 * d)
        self.down = nn.Linear(4 * d, d)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, cache: KVCache | None, layer: int, mask_B1TS: Tensor | None) -> Tensor:
        """Add the attention's and the perceptron's outputs to the residual stream."""
        if self.post:
            x_BTD = self.norm_1(x_BTD + self.drop(self.attention(x_BTD, cache, layer, mask_B1TS)))
            normed_BTD: Tensor = self.norm_2(x_BTD + self.drop(self.perceptron(x_BTD)))
            return normed_BTD
        x_BTD = x_BTD + self.drop(self.attention(self.norm_1(x_BTD), cache, layer, mask_B1TS))
        added_BTD: Tensor = self.drop(self.perceptron(self.norm_2(x_BTD)))
        return x_BTD + added_BTD

    def perceptron(self, x_BTD: Tensor) -> Tensor:
        """Widen to 4 D, apply GPT's approximation of GELU, narrow to D."""
        out_BTD: Tensor = self.down(F.gelu(self.up(x_BTD), approximate="tanh"))
        return out_BTD


class GPT(nn.Module):
    """A language model; the output matrix is the token embedding."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Embedding(config.context, config.d_model)
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        # GPT-1's last block has normalised already.
        last = nn.LayerNorm(config.d_model, eps=config.epsilon) if config.norm == "pre" else nn.Identity()
        self.norm: nn.Module = last

    def initialize(self, generator: torch.Generator) -> None:
        """Draw initial weights: N(0, 0.02); since GPT-2 what feeds the residual stream is over sqrt(its layers)."""
        residual_scale = 1 / math.sqrt(2 * self.config.n_layer) if self.config.norm == "pre" else 1.0
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                scale = residual_scale if name.endswith(("attention.out.weight", "down.weight")) else 1.0
                nn.init.normal_(parameter, std=0.02 * scale, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.ones_(parameter)

    def hidden(self, tokens_BT: Tensor, cache: KVCache | None = None) -> Tensor:
        """Return the final normalised states (B, T, D); with a cache, the tokens follow those already read.

        The caller advances cache.lengths_B by the tokens that count (padding does not).
        """
        T = tokens_BT.shape[1]
        steps_T = torch.arange(T, device=tokens_BT.device)
        if cache is None:
            assert self.config.context >= T, f"{T} tokens exceed the context of {self.config.context}"
            where_BT, slots_S = steps_T[None], steps_T
        else:
            where_BT = cache.lengths_B[:, None] + steps_T
            slots_S = torch.arange(cache.kv_LJBHSK.shape[4], device=tokens_BT.device)
        # Padding may stand past the last position; what it computes is never read.
        x_BTD = self.tokens(tokens_BT) + self.positions(where_BT.clamp(max=self.config.context - 1))
        masks_J = self._masks(where_BT, slots_S, cached=cache is not None)
        x_BTD = self.drop(x_BTD)
        for layer, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, cache, layer, masks_J[layer % 2])
        normed_BTD: Tensor = self.norm(x_BTD)
        return normed_BTD

    def _masks(self, where_BT: Tensor, slots_S: Tensor, *, cached: bool) -> tuple[Tensor | None, Tensor | None]:
        """Return what positions see in dense and in banded layers; None where "all before" says it, which is faster."""
        band = self.config.band
        if not cached and (band is None or band >= len(slots_S)):
            return None, None
        dense_BTS = slots_S <= where_BT[:, :, None]
        if band is None:
            return dense_BTS[:, None], dense_BTS[:, None]
        banded_BTS = dense_BTS & (slots_S > where_BT[:, :, None] - band)
        return dense_BTS[:, None] if cached else None, banded_BTS[:, None]

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states (..., D) into logits (..., V)."""
        return F.linear(hidden, self.tokens.weight)

    def forward(self, tokens_BT: Tensor, cache: KVCache | None = None) -> Tensor:
        """Return logits_BTV, the scores of the next token at every position."""
        return self.unembed(self.hidden(tokens_BT, cache))
