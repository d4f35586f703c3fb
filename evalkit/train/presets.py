"""How each named size is trained by default: budget, batch, optimizer and learning rates, with reasons.

Unless a paper gives another budget, it is Chinchilla's: about 20 tokens per parameter, embeddings counted (Hoffmann et
al. 2022, table 3). Kaplan et al. 2020 would stop earlier and grow the model; but a ladder that is to show a trend in
size must read enough at every rung.

The ladder's learning rates are the best of those tried on the generated world at five sizes (docs/log.md). Muon gives
matrices of every width steps of the same size, and the trials agree: one rate serves every rung. The rate of AdamW
alone falls with size (Kaplan et al. 2020, appendix D.6); measured for nano and midi, it is about 0.32 / width. The
rates of GPT-1 and GPT-3 are the papers'; GPT-2's paper gives none, so its sizes use those of the nearest GPT-3 sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from evalkit.errors import unknown
from evalkit.model.config import LADDER, SIZES, Architecture, GPTConfig


@dataclass(frozen=True, kw_only=True)
class Preset:
    """tokens: the budget. sequences: per step. muon_lr: peak of the block matrices, 0 for AdamW alone.

    adam_lr: peak of the rest, or of everything. adamw_lr: of everything, if AdamW is chosen instead of Muon. why: where
    the values come from.
    """

    tokens: int
    sequences: int
    muon_lr: float
    adam_lr: float
    schedule: str
    dropout: float
    why: str
    adamw_lr: float = 0.0

    def adam_rate(self, *, alone: bool) -> float:
        """Return AdamW's peak rate; alone: whether it trains the block matrices too."""
        return self.adamw_lr if alone and self.muon_lr else self.adam_lr

    @property
    def optimizer(self) -> str:
        """The optimizer of the block matrices."""
        return "muon" if self.muon_lr else "adamw"

    def text(self) -> str:
        """Return the values and their reason in one line."""
        muon = f"Muon {self.muon_lr:g} and " if self.muon_lr else ""
        alone = f" (alone {self.adamw_lr:g})" if self.adamw_lr else ""
        dropout = f", dropout {self.dropout:g}" if self.dropout else ""
        return (
            f"{self.tokens:,} tokens, {self.sequences} sequences per step, {muon}AdamW {self.adam_lr:g}{alone}, "
            f"{self.schedule}{dropout} ({self.why})"
        )


def _ladder(tokens: float, adamw_lr: float) -> Preset:
    return Preset(
        tokens=int(tokens), sequences=8, muon_lr=0.02, adam_lr=0.01, adamw_lr=adamw_lr, schedule="linear", dropout=0.0,
        why="20 tokens per parameter; rates by trials on the world",
    )  # fmt: skip


def _gpt2(tokens: float, rate: float) -> Preset:
    return Preset(
        tokens=int(tokens), sequences=512, muon_lr=0.0, adam_lr=rate, schedule="cosine", dropout=0.0,
        why="Radford et al. 2019, section 2.3: the batch; the rate of GPT-3's next size; 20 tokens per parameter",
    )  # fmt: skip


def _gpt3(sequences: int, rate: float) -> Preset:
    return Preset(
        tokens=int(300e9), sequences=sequences, muon_lr=0.0, adam_lr=rate, schedule="cosine", dropout=0.0,
        why="Brown et al. 2020, table 2.1",
    )  # fmt: skip


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "pico": _ladder(2.6e6, 0.01),
        "nano": _ladder(6.2e6, 5e-3),
        "micro": _ladder(13e6, 3.5e-3),
        "mini": _ladder(24e6, 2.5e-3),
        "midi": _ladder(48e6, 1.5e-3),
        "maxi": _ladder(110e6, 1.2e-3),
        "gpt1": Preset(
            tokens=int(2.3e9), sequences=64, muon_lr=0.0, adam_lr=2.5e-4, schedule="cosine", dropout=0.1,
            why="Radford et al. 2018, section 4.1; 20 tokens per parameter for its 100 epochs of BooksCorpus",
        ),
        "117M": _gpt2(2.5e9, 6e-4),
        "345M": _gpt2(7.1e9, 3e-4),
        "762M": _gpt2(15e9, 2.5e-4),
        "1542M": _gpt2(31e9, 2e-4),
        "gpt3-125M": _gpt3(256, 6e-4),
        "gpt3-350M": _gpt3(256, 3e-4),
        "gpt3-760M": _gpt3(256, 2.5e-4),
        "gpt3-1.3B": _gpt3(512, 2e-4),
        "gpt3-2.7B": _gpt3(512, 1.6e-4),
        "gpt3-6.7B": _gpt3(1024, 1.2e-4),
        "gpt3-13B": _gpt3(1024, 1e-4),
        "gpt3-175B": _gpt3(1600, 0.6e-4),
    }
)  # fmt: skip

# Of --arch modern; the budgets are those of the GPT-2s, so that both can be compared.
MODERN: Mapping[str, Preset] = MappingProxyType(
    {
        size: replace(PRESETS[size], muon_lr=0.02, adam_lr=0.01, why="the budget of the GPT-2 of this size; trials")
        for size in LADDER
    }
)


def preset(size: str, architecture: Architecture = "gpt2") -> Preset:
    """Return the preset of a named size in an architecture. Raises UsageError for another name of a size."""
    if size not in SIZES:
        raise unknown("size", size, SIZES)
    return MODERN.get(size, PRESETS[size]) if architecture == "modern" else PRESETS[size]


def nearest(shape: GPTConfig) -> str:
    """Return the name of the size whose blocks have the number of parameters nearest to a shape's, in ratio."""
    return min(SIZES, key=lambda size: abs(math.log(SIZES[size].block_parameters / shape.block_parameters)))
