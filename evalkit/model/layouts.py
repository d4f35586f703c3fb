"""The layouts in which checkpoints are stored: the content of config.json, and the names of tensors.

GPT-1 and GPT-2 are stored as transformers stores them ("openai-gpt", "gpt2"). transformers has no GPT-3; stored as
"gpt2", it would be loaded with dense attention and silently compute something else. So GPT-3 is "evalkit-gpt3", GPT-2's
layout with a `band`, which transformers refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from evalkit.errors import CheckpointError, UsageError
from evalkit.files import read_json
from evalkit.model.config import GPTConfig
from evalkit.model.stored import differs

if TYPE_CHECKING:
    import torch

# transformers' name of a module -> ours, inside a block. Its Conv1D holds matrices transposed.
_BLOCK = {
    "ln_1": "norm_1",
    "attn.c_attn": "attention.qkv",
    "attn.c_proj": "attention.out",
    "ln_2": "norm_2",
    "mlp.c_fc": "up",
    "mlp.c_proj": "down",
}
_SHAPE = {"n_layer": "n_layer", "n_embd": "d_model", "n_head": "n_head", "n_positions": "context"}
_SHAPE |= {"vocab_size": "vocab_size"}
# The output matrix, the only tensor outside "transformer.".
OUTPUT = "lm_head.weight"
# Buffers and copies that are not parameters: masks of old versions; the tied output matrix.
SKIPPED = (".attn.bias", ".attn.masked_bias", OUTPUT)
# A hint for kinds of GPT that ours does not cover.
_ELSEWHERE = "; transformers may run it: try --model hf:FOLDER"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """outer: names outside the blocks, theirs -> ours. activation: (key, default, the values that mean our GELU)."""

    architecture: str
    outer: Mapping[str, str]
    norm: Literal["pre", "post"]
    activation: tuple[str, str, tuple[str, ...]]


_GPT2 = Layout(
    architecture="GPT2LMHeadModel",
    outer={
        "wte.weight": "tokens.weight",
        "wpe.weight": "positions.weight",
        "ln_f.weight": "norm.weight",
        "ln_f.bias": "norm.bias",
    },
    norm="pre",
    activation=("activation_function", "gelu_new", ("gelu_new", "gelu_pytorch_tanh")),
)
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "gpt2": _GPT2,
        "openai-gpt": Layout(
            architecture="OpenAIGPTLMHeadModel",
            outer={"tokens_embed.weight": "tokens.weight", "positions_embed.weight": "positions.weight"},
            norm="post",
            activation=("afn", "gelu", ("gelu",)),  # this model's "gelu" is transformers' gelu_new elsewhere
        ),
        "evalkit-gpt3": _GPT2,
    }
)


def _embedding(layout: Layout) -> str:
    """Return the stored name of the token embedding."""
    return next(theirs for theirs, ours in layout.outer.items() if ours == "tokens.weight")


def model_type(config: GPTConfig) -> str:
    """Return the model_type under which a GPT is stored."""
    if config.norm == "post":
        return "openai-gpt"
    return "gpt2" if config.band is None else "evalkit-gpt3"


def stored_names(config: GPTConfig) -> dict[str, tuple[str, bool]]:
    """Map each of our tensors to (its stored name, whether it is stored transposed), the largest first."""
    names = {ours: (theirs, False) for theirs, ours in LAYOUTS[model_type(config)].outer.items()}
    for layer in range(config.n_layer):
        for theirs, ours in _BLOCK.items():
            transposed = not theirs.startswith("ln_")
            names[f"blocks.{layer}.{ours}.weight"] = (f"h.{layer}.{theirs}.weight", transposed)
            names[f"blocks.{layer}.{ours}.bias"] = (f"h.{layer}.{theirs}.bias", False)
    return {"output.weight": (OUTPUT, False), **names} if config.untied else names


def read_config(folder: Path) -> GPTConfig:
    """Read config.json, and from the weights whether the output matrix is separate.

    If config.json says that it is the token embedding but the files hold another matrix, the files count, as in
    transformers. Raises CheckpointError for another architecture or for settings that our GPT does not support.
    """
    path = folder / "config.json"
    raw = read_json(path, CheckpointError)
    stored_type = raw.get("model_type") if isinstance(raw, dict) else type(raw).__name__
    if not isinstance(stored_type, str) or stored_type not in LAYOUTS:
        choices = ", ".join(map(repr, LAYOUTS))
        raise CheckpointError(
            f"{path}: model_type is {stored_type!r}; evalkit's own GPT reads only {choices}{_ELSEWHERE}"
        )
    layout = LAYOUTS[stored_type]
    _check_settings(raw, layout, path)
    missing = [key for key in _SHAPE if not isinstance(raw.get(key), int)]
    if stored_type == "evalkit-gpt3" and not isinstance(raw.get("band"), int):
        missing.append("band")
    if missing:
        raise CheckpointError(f"{path}: {', '.join(missing)} must be given as whole numbers")
    if raw.get("n_inner") not in (None, 4 * raw["n_embd"]):
        raise CheckpointError(f"{path}: n_inner {raw['n_inner']}; only 4 x n_embd is supported{_ELSEWHERE}")
    try:
        return GPTConfig(
            **{ours: raw[theirs] for theirs, ours in _SHAPE.items()},
            epsilon=float(raw.get("layer_norm_epsilon", 1e-5)),
            norm=layout.norm,
            band=raw["band"] if stored_type == "evalkit-gpt3" else None,
            untied=not raw.get("tie_word_embeddings", True) or differs(folder, _embedding(layout), OUTPUT),
        )
    except (UsageError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def _check_settings(raw: Mapping[str, Any], layout: Layout, path: Path) -> None:
    key, default, allowed = layout.activation
    if raw.get(key, default) not in allowed:
        raise CheckpointError(f"{path}: {key} {raw[key]!r}; only {allowed[0]!r} is supported{_ELSEWHERE}")
    for name in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        if raw.get(name):
            raise CheckpointError(f"{path}: {name} is not supported{_ELSEWHERE}")
    if not raw.get("scale_attn_weights", True):
        raise CheckpointError(f"{path}: scale_attn_weights false is not supported{_ELSEWHERE}")


def stored_config(config: GPTConfig, *, end_of_text: int, dtype: torch.dtype) -> dict[str, Any]:
    """Return the contents of config.json."""
    kind = model_type(config)
    layout = LAYOUTS[kind]
    return {
        "architectures": [layout.architecture] if kind != "evalkit-gpt3" else [],
        "model_type": kind,
        layout.activation[0]: layout.activation[1],
        **{theirs: getattr(config, ours) for theirs, ours in _SHAPE.items()},
        **({} if config.band is None else {"band": config.band}),
        "n_ctx": config.context,
        "layer_norm_epsilon": config.epsilon,
        "attn_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "initializer_range": 0.02,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "tie_word_embeddings": not config.untied,
        "dtype": str(dtype).removeprefix("torch."),
    }
