"""Rotary positions and sliding windows in config.json, both ways; families/ share these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.model.config import GPTConfig, Llama3Scaling, Rotary
from evalkit.model.settings import Settings

_FULL, _SLIDING = "full_attention", "sliding_attention"
_SCALINGS = ("default", "linear", "llama3")


def read_rotary(settings: Settings, *, base: str = "rope_theta", share: str | None = None) -> Rotary:
    """Read rotary positions: since transformers 5 all of them are in rope_parameters, before only their scaling was.

    base, share: the older keys. Without `share`, the family rotates whole heads.
    """
    table = settings.table("rope_scaling" if settings.has("rope_scaling") else "rope_parameters")
    kind = next((table.text(key) for key in ("rope_type", "type") if table.has(key)), "default")
    if kind not in _SCALINGS:
        raise table.refused("rope_type" if table.has("rope_type") else "type", f"our GPT has {', '.join(_SCALINGS)}")
    partial = "partial_rotary_factor"
    if share is None:
        for place in (table, settings):
            if place.has(partial) and place.number(partial) != 1.0:
                raise place.refused(partial, "this family rotates whole heads")
    return Rotary(
        base=table.number("rope_theta") if table.has("rope_theta") else settings.number(base),
        share=1.0 if share is None else table.number(partial) if table.has(partial) else settings.number(share),
        scaling=_scaling(table, kind, settings),
    )


def _scaling(table: Settings, kind: str, settings: Settings) -> Llama3Scaling | float | None:
    if kind == "default":
        return None
    if kind == "linear":
        return table.number("factor")
    place = table if table.has(_ORIGINAL) else settings
    return Llama3Scaling(
        factor=table.number("factor"),
        low=table.number("low_freq_factor"),
        high=table.number("high_freq_factor"),
        context=place.whole(_ORIGINAL if place.has(_ORIGINAL) else "max_position_embeddings"),
    )


_ORIGINAL = "original_max_position_embeddings"


def write_rotary(config: GPTConfig, *, base: str = "rope_theta", share: str | None = None) -> Mapping[str, Any]:
    """Return the settings of rotary positions, in the places that every version of transformers reads."""
    if config.rotary is None:
        return {}
    scaling: dict[str, Any] | None = None
    if isinstance(given := config.rotary.scaling, Llama3Scaling):
        scaling = {"rope_type": "llama3", "factor": given.factor, "low_freq_factor": given.low}
        scaling |= {"high_freq_factor": given.high, _ORIGINAL: given.context}
    elif given is not None:
        scaling = {"rope_type": "linear", "factor": given}
    rotated = {} if share is None else {share: config.rotary.share}
    return {base: config.rotary.base, **rotated, "rope_scaling": scaling}


def read_windows(settings: Settings) -> Mapping[str, Any]:
    """Read which layers have a sliding window, as Qwen says it: by layer_types, or from max_window_layers on."""
    window = settings.whole_or_none("sliding_window") if settings.flag("use_sliding_window") else None
    if settings.has("layer_types"):
        banded = layers_of(settings, "layer_types", settings.items("layer_types"), {_FULL: False, _SLIDING: True})
    else:
        banded = tuple(range(max(0, settings.whole("max_window_layers")), settings.whole("num_hidden_layers")))
    return {} if window is None or not banded else {"band": window, "banded": banded}


def layers_of(settings: Settings, key: str, kinds: Sequence[Any], choices: Mapping[str, bool]) -> tuple[int, ...]:
    """Return the layers whose kind, one for each layer, stands for a sliding window."""
    for kind in kinds:
        if not isinstance(kind, str) or kind not in choices:
            raise settings.refused(key, f"our GPT has layers of {' and '.join(choices)}")
    return tuple(layer for layer, kind in enumerate(kinds) if choices[kind])


def write_windows(config: GPTConfig) -> Mapping[str, Any]:
    """Return Qwen's settings of sliding windows."""
    banded = [config.is_banded(layer) for layer in range(config.n_layer)]
    return {
        "use_sliding_window": any(banded),
        "sliding_window": config.band if any(banded) else None,
        "max_window_layers": banded.index(True) if any(banded) else config.n_layer,
        "layer_types": [_SLIDING if band else _FULL for band in banded],
    }
