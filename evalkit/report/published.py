"""Published facts about models that were trained elsewhere: sizes, tokens and compute, each with its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_SIZE = re.compile(r"[-_]?(?<![a-z0-9.])(\d+(?:\.\d+)?)[mb](?![a-z0-9])", re.IGNORECASE)

# GPT-2's sizes have names of two kinds, neither with a size in the middle.
_GPT2 = re.compile(r"(gpt2(-medium|-large|-xl)?|117M|345M|762M|1542M)")


@dataclass(frozen=True, kw_only=True)
class Size:
    """A published model. parameters: with embeddings; blocks: without, Kaplan et al. 2020's N."""

    parameters: int
    blocks: int
    layers: int
    width: int


# Biderman et al. 2023 (arXiv:2304.01373), Table 1: layers, width and non-embedding parameters. The totals are those of
# the released checkpoints' cards: the table's N and two matrices (embedding and output are not tied) of a vocabulary
# padded to 50,304, in 6.9b to 50,432 and in 12b to 50,688 tokens.
PYTHIA: Mapping[str, Size] = MappingProxyType(
    {
        "70m": Size(parameters=70_426_624, blocks=18_915_328, layers=6, width=512),
        "160m": Size(parameters=162_322_944, blocks=85_056_000, layers=12, width=768),
        "410m": Size(parameters=405_334_016, blocks=302_311_424, layers=24, width=1024),
        "1b": Size(parameters=1_011_781_632, blocks=805_736_448, layers=16, width=2048),
        "1.4b": Size(parameters=1_414_647_808, blocks=1_208_602_624, layers=24, width=2048),
        "2.8b": Size(parameters=2_775_208_960, blocks=2_517_652_480, layers=32, width=2560),
        "6.9b": Size(parameters=6_857_302_016, blocks=6_444_163_072, layers=32, width=4096),
        "12b": Size(parameters=11_846_072_320, blocks=11_327_027_200, layers=36, width=5120),
    }
)
_PYTHIA_CONTEXT = 2048
PYTHIA_STEP = 1024 * _PYTHIA_CONTEXT  # section 2.1: 1,024 sequences of 2,048 tokens a step, 143,000 steps
PYTHIA_LAST = 143_000


def family_of(name: str) -> str:
    """Return the ladder that a model's name belongs to: the name without owner, size and type of its numbers.

    >>> family_of("EleutherAI/pythia-1b-bf16"), family_of("hf:facebook/opt-6.7b"), family_of("gpt2-medium")
    ('pythia', 'opt', 'gpt2')
    """
    plain = re.sub(r"-(bf16|fp16|fp32)$", "", name.removeprefix("hf:").rpartition("/")[2])
    if _GPT2.fullmatch(plain):
        return "gpt2"
    return _SIZE.sub("", plain, count=1) or plain


def pythia(name: str) -> Size | None:
    """Return the size of a Pythia model, from a name such as hf:EleutherAI/pythia-1b-deduped; None for another model.

    >>> pythia("pythia-1b-bf16").width, pythia("opt-125m")
    (2048, None)
    """
    size = re.search(r"\bpythia\b.*?-(\d+(?:\.\d+)?[mb])(?![a-z0-9])", name)
    return PYTHIA.get(size[1]) if size else None


def pythia_name(name: str) -> str:
    """Return the plain name of a Pythia model, without owner, version and type of its numbers.

    >>> pythia_name("EleutherAI/pythia-v1.1-1b-bf16"), pythia_name("pythia-70m-deduped")
    ('pythia-1b', 'pythia-70m-deduped')
    """
    size = re.search(r"-(\d+(?:\.\d+)?[mb])(?![a-z0-9])", name)
    assert size, "not a Pythia model"
    return f"pythia-{size[1]}" + ("-deduped" if "deduped" in name else "")


def pythia_flops(size: Size, tokens: int) -> int:
    """Return training FLOPs: 6 per parameter that multiplies and token, and causal attention (Kaplan et al. 2020, 2.1).

    The same count as GPTConfig.flops_per_token: the output matrix counts, the embedding does not.
    """
    multiplied = size.blocks + (size.parameters - size.blocks) // 2
    return tokens * (6 * multiplied + 6 * size.layers * _PYTHIA_CONTEXT * size.width)
