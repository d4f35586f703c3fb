"""GGUF, the files of llama.cpp, with any quantisation that the gguf package undoes: Llama, Qwen 2 and 3, GPT-2.

Needs the extra [gguf].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import CheckpointError, UsageError
from evalkit.model import ggml
from evalkit.model.checkpoint import Checkpoint, Format, Vocabulary, content_of
from evalkit.model.config import GPTConfig, Llama3Scaling, Rotary
from evalkit.model.ggml_file import MAGIC, File
from evalkit.model.pieces import Names, Piece, Shape, interleaved, pieces, separate
from evalkit.model.settings import NotNativeError, Settings
from evalkit.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from evalkit.model.tensors import Source

_BLOCK = "blk.N."
_COMMON: Names = {
    "tokens": "token_embd",
    "blocks.N.norm_1": f"{_BLOCK}attn_norm",
    "blocks.N.attention.out": f"{_BLOCK}attn_output",
    "blocks.N.norm_2": f"{_BLOCK}ffn_norm",
    "blocks.N.up": f"{_BLOCK}ffn_up",
    "blocks.N.down": f"{_BLOCK}ffn_down",
    "norm": "output_norm",
    "output": "output",
}
_QKV = tuple(f"{_BLOCK}attn_{name}" for name in "qkv")
_QWEN: Names = {
    **_COMMON,
    "blocks.N.gate": f"{_BLOCK}ffn_gate",
    "blocks.N.attention.qkv": separate(*_QKV),
    "blocks.N.attention.norm_q": f"{_BLOCK}attn_q_norm",
    "blocks.N.attention.norm_k": f"{_BLOCK}attn_k_norm",
}
_NAMES: Mapping[str, Names] = {
    # llama.cpp stores the queries and keys of this architecture as Meta does.
    "llama": {**_QWEN, "blocks.N.attention.qkv": separate(*_QKV, pairs=interleaved)},
    "qwen2": _QWEN,
    "qwen3": _QWEN,
    "gpt2": {**_COMMON, "positions": "position_embd", "blocks.N.attention.qkv": f"{_BLOCK}attn_qkv"},
}
_SIZES = {"n_layer": "block_count", "d_model": "embedding_length", "d_ff": "feed_forward_length"}
_SIZES |= {"n_head": "attention.head_count", "context": "context_length"}
_OTHER = tuple(f"attention.{name}" for name in ("sliding_window", "scale", "clamp_kqv", "max_alibi_bias"))
_OTHER += ("logit_scale", "residual_scale", "embedding_scale", "use_parallel_residual")
_FREQUENCIES = "rope_freqs.weight"


def recognises(path: Path) -> bool:
    """Whether a file begins as GGUF does."""
    try:
        with path.open("rb") as file:
            return path.is_file() and file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def opens(path: Path, *, vocabulary: Vocabulary | None = None) -> Checkpoint:
    """Open a file."""
    stored = File(path)
    config = _config(stored)

    def load() -> Tokenizer:
        return ggml.tokenizer(stored.fields, place=str(path))

    own = vocabulary or Vocabulary(place=str(path), load=load)
    names = _NAMES[stored.fields["general.architecture"]]

    def parts(shapes: Mapping[str, Shape]) -> Iterator[Piece]:
        return pieces(config, shapes, names=names)

    return Checkpoint(
        path=path, format=FORMAT.name, config=config, vocabulary=own, pieces=parts,
        source=lambda pieces: _weights(stored), content=lambda: content_of([path], own),
        about={"numbers": ", ".join(stored.kinds)},
    )  # fmt: skip


def _weights(file: File) -> Source:
    """Return the tensors without the factors of rotary positions, which are part of the shape."""
    from evalkit.model import tensors

    return tensors.Renamed(file, {name: name for name in file.shapes if name != _FREQUENCIES})


def _config(file: File) -> GPTConfig:
    """Read the shape."""
    general = Settings(file.fields, Path(file.place("")), defaults={})
    kind = general.text("general.architecture")
    if kind not in _NAMES:
        raise general.refused("general.architecture", f"of GGUF our GPT reads {', '.join(_NAMES)}")
    own = {key.removeprefix(f"{kind}."): value for key, value in file.fields.items() if key.startswith(f"{kind}.")}
    settings = Settings(own, general.path, defaults={"attention.head_count_kv": None}, within=kind)
    settings.refuse("our GPT has no experts", "expert_count")
    settings.refuse("evalkit reads no such network from GGUF", *_OTHER)
    if len(tokens := file.shapes.get("token_embd.weight", ())) != 2:
        raise CheckpointError(f"{general.path}: no matrix token_embd.weight")
    sizes: dict[str, Any] = {ours: settings.whole(key) for ours, key in _SIZES.items()}
    common: dict[str, Any] = {"vocab_size": tokens[0], "untied": "output.weight" in file.shapes, **sizes}
    try:
        if kind == "gpt2":
            return GPTConfig(epsilon=settings.number("attention.layer_norm_epsilon"), **common)
        return _modern(file, settings, common, qk_norm="head" if kind == "qwen3" else None)
    except UsageError as error:
        raise CheckpointError(f"{general.path}: {error}") from error


def _modern(file: File, settings: Settings, common: Mapping[str, Any], *, qk_norm: Any) -> GPTConfig:
    """Return the shape of Llama and its kin."""
    width = settings.whole("attention.key_length") if settings.has("attention.key_length") else 0
    groups = {"qkv": "attn_q", "out": "attn_output", "mlp": "ffn_up"}
    config = GPTConfig(
        epsilon=settings.number("attention.layer_norm_rms_epsilon"), norm_kind="rms", activation="silu", gated=True,
        n_kv_head=settings.whole_or_none("attention.head_count_kv") or 0, d_head=width, qk_norm=qk_norm,
        biases=tuple(group for group, name in groups.items() if f"blk.0.{name}.bias" in file.shapes),
        rotary=_rotary(file, settings), **common,
    )  # fmt: skip
    for key in ("rope.dimension_count", "attention.value_length"):  # all of a head is rotated; values are as wide
        if settings.has(key) and settings.whole(key) != config.d_head:
            raise settings.refused(key, f"evalkit reads {config.d_head}, the width of a head")
    return config


def _rotary(file: File, settings: Settings) -> Rotary:
    """Read the rotary positions. Llama 3's scaling is stored as factors of the wave lengths."""
    base = settings.number("rope.freq_base") if settings.has("rope.freq_base") else 10_000.0
    kind = settings.text("rope.scaling.type") if settings.has("rope.scaling.type") else "none"
    if kind == "linear":
        return Rotary(base=base, scaling=settings.number("rope.scaling.factor"))
    if kind != "none":
        raise settings.refused("rope.scaling.type", "our GPT has none, linear and Llama 3's")
    if _FREQUENCIES in file.shapes:
        [(_, factors)] = file.read([_FREQUENCIES])
        return Rotary(base=base, scaling=_llama3(factors, base, settings))
    return Rotary(base=base)


def _llama3(factors: Tensor, base: float, settings: Settings) -> Llama3Scaling:
    """Return the scaling that has these factors, one per pair of components: 1 for short waves, the factor for long."""
    import torch

    from evalkit.model.rotary import frequencies

    scaling = Llama3Scaling(factor=float(factors.max()), low=1.0, high=4.0, context=8192)
    rotated = 2 * len(factors)
    plain, scaled = (frequencies(Rotary(base=base, scaling=kind), rotated) for kind in (None, scaling))
    if not torch.allclose(plain / scaled, factors, rtol=1e-4):
        raise NotNativeError(f"{settings.path}: {_FREQUENCIES} holds other factors than Llama 3's")
    return scaling


FORMAT = Format(
    name="gguf",
    known="a GGUF file",
    recognises=recognises,
    opens=opens,
)
