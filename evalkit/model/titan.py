"""torchtitan's Llama: the names of its tensors, and its shape, which they say only in part.

The rest is in the configuration that torchtitan saves when it is asked to (--debug.save_config_file config.json), or in
a params.json as Meta's Llama has it: n_heads, rope_theta, max_seq_len and, if they are not the usual ones, norm_eps,
use_scaled_rope or rope_scaling_args, enable_weight_tying.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.errors import CheckpointError, UsageError
from evalkit.model.config import GPTConfig, Llama3Scaling, Rotary
from evalkit.model.pieces import Names, Shape, interleaved, separate
from evalkit.model.settings import Settings

EXAMPLE = '{"n_heads": ..., "rope_theta": ..., "norm_eps": ..., "max_seq_len": ...}'
EMBEDDING, OUTPUT = "tok_embeddings", "output"
_BLOCK, _FIRST = "layers.N.", "layers.0."
NAMES: Names = {
    "tokens": EMBEDDING,
    "blocks.N.norm_1": f"{_BLOCK}attention_norm",
    "blocks.N.attention.qkv": separate(*(f"{_BLOCK}attention.w{name}" for name in "qkv"), pairs=interleaved),
    "blocks.N.attention.out": f"{_BLOCK}attention.wo",
    "blocks.N.norm_2": f"{_BLOCK}ffn_norm",
    "blocks.N.gate": f"{_BLOCK}feed_forward.w1",
    "blocks.N.up": f"{_BLOCK}feed_forward.w3",
    "blocks.N.down": f"{_BLOCK}feed_forward.w2",
    "norm": "norm",
    "output": OUTPUT,
}
# Llama 3.1's, which torchtitan takes too.
_SCALING = {
    "scaling_factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_EPSILON = 1e-5


def plain(name: str) -> str:
    """Return a tensor's name as torchtitan had it before 2026."""
    name = name.replace(".qkv_linear.", ".")
    return name.replace("lm_head.", f"{OUTPUT}.") if name.startswith("lm_head.") else name


def config(settings: Settings, sizes: Mapping[str, Shape], layers: int) -> GPTConfig:
    """Return the shape. sizes: of the stored tensors.

    Raises CheckpointError for a setting or a matrix that is missing, NotNativeError for another model.
    """
    saved = settings.table("model_spec").table("model")
    source = saved if settings.has("model_spec") else settings
    tied = source.has("enable_weight_tying") and source.flag("enable_weight_tying")

    def size(name: str, axis: int = 0) -> int:
        if len(shape := sizes.get(f"{name}.weight", ())) != 2:
            raise CheckpointError(f"{settings.path}: the checkpoint beside it has no matrix {name}.weight")
        return shape[axis]

    try:
        told = _saved(saved, settings) if settings.has("model_spec") else _params(settings)
        queries = size(f"{_FIRST}attention.wq")
        width, remainder = divmod(queries, max(told["n_head"], 1))
        if remainder or not width:
            raise UsageError(f"{told['n_head']} heads do not divide {queries} queries")
        return GPTConfig(
            n_layer=layers, d_model=size(EMBEDDING, 1), d_head=width, vocab_size=size(EMBEDDING),
            n_kv_head=size(f"{_FIRST}attention.wk") // width, d_ff=size(f"{_FIRST}feed_forward.w1"),
            norm_kind="rms", biases=(), activation="silu", gated=True,
            untied=not tied and f"{OUTPUT}.weight" in sizes, **told,
        )  # fmt: skip
    except UsageError as error:
        raise CheckpointError(f"{settings.path}: {error}") from error


def _saved(model: Settings, settings: Settings) -> dict[str, Any]:
    """Read the configuration that torchtitan saved."""
    layer = next(iter(model.items("layers")), None)
    if not isinstance(layer, dict):
        raise model.wrong("layers", "a list of layers")
    first = Settings(layer, settings.path, defaults={}, within="model_spec.model.layers")
    attention = first.table("attention")
    rope = attention.table("rope").with_defaults({"scaling": "none", **_SCALING})
    attention.refuse("of torchtitan's models, our GPT reads Llama", "qk_norm")
    first.refuse("of torchtitan's models, our GPT reads Llama", "moe")
    scaled = rope.one_of("scaling", {"none": False, "llama": True})
    training = settings.table("training")
    return {
        "n_head": attention.whole("n_heads"),
        "epsilon": first.table("attention_norm").with_defaults({"eps": _EPSILON}).number("eps"),
        "context": training.whole("seq_len") if training.has("seq_len") else rope.whole("max_context_length"),
        "rotary": _rotary(rope, rope.number("theta"), scaled=scaled),
    }


def _params(settings: Settings) -> dict[str, Any]:
    """Read params.json."""
    settings = settings.with_defaults({"norm_eps": _EPSILON, "use_scaled_rope": False})
    scaling = settings.table("rope_scaling_args").with_defaults(_SCALING)
    scaled = settings.has("rope_scaling_args") or settings.flag("use_scaled_rope")
    return {
        "n_head": settings.whole("n_heads"),
        "epsilon": settings.number("norm_eps"),
        "context": settings.whole("max_seq_len"),
        "rotary": _rotary(scaling, settings.number("rope_theta"), scaled=scaled),
    }


def _rotary(scaling: Settings, base: float, *, scaled: bool) -> Rotary:
    if not scaled:
        return Rotary(base=base)
    factor, low, high = (scaling.number(key) for key in list(_SCALING)[:3])
    context = scaling.whole("original_max_position_embeddings")
    return Rotary(base=base, scaling=Llama3Scaling(factor=factor, low=low, high=high, context=context))
