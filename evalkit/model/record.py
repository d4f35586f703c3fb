"""The facts of a training that reports use, from our training.json or transformers' trainer_state.json; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evalkit.errors import UsageError
from evalkit.files import canonical_json, digest
from evalkit.model.config import GPTConfig, modern

# The fields of a shape that records had from the beginning.
_SIZES = ("n_layer", "d_model", "n_head", "context", "vocab_size")
_FIRST = (*_SIZES, "dropout", "epsilon", "norm", "band", "untied")


def facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a training record.

    step, tokens, flops: of the weights. corpus: its name; fingerprint: of its tokens and tokenizer. loss: held-out, in
    nats per token; loss_stderr, loss_tokens, if known: its standard error, and the tokens it was measured on. seed: of
    the training; recipe: a digest of every other setting that decides the weights, so that trainings of one recipe
    differ only in their seed. Of a training that started from weights, tokens and flops count what those had read too,
    None if nobody knows, and ladder names what it started from; so it does with a modern shape.

    Raises KeyError or TypeError for another trainer's record.
    """
    corpus, settings = record["corpus"], record["settings"]
    precision = {f"loss_{name}": record.get(f"validation_{name}") for name in ("stderr", "tokens")}
    start = record.get("from")
    shape = _shape(settings)
    named = f"from {start['model']}" if start else "(modern)" if shape and shape == modern(shape) else ""
    return {
        "step": record["step"],
        **{key: _total(record[key], start[key] if start else 0) for key in ("tokens", "flops")},
        "corpus": corpus["name"],
        **({"ladder": f"{corpus['name']} {named}"} if named else {}),
        "loss": record["validation_loss"],
        **{key: value for key, value in precision.items() if value is not None},
        "seed": settings["seed"],
        "fingerprint": corpus["fingerprint"],
        "recipe": _recipe(settings),
    }


def of_trainer_state(state: Any) -> dict[str, Any] | None:
    """Return the facts of a trainer_state.json of transformers' Trainer; None for another file.

    The Trainer counts tokens only if it is asked to.
    """
    step = state.get("global_step") if isinstance(state, dict) else None
    if not isinstance(step, int):
        return None
    counts = {"tokens": state.get("num_input_tokens_seen"), "flops": state.get("total_flos")}
    return {"step": step, **{name: value for name, value in counts.items() if isinstance(value, int | float) and value}}


def _shape(settings: Mapping[str, Any]) -> GPTConfig | None:
    """Return the shape of a record's model; None if it is not one of ours."""
    try:
        return GPTConfig.of(settings["model"])
    except (UsageError, KeyError, TypeError, ValueError):
        return None


def _own(settings: Mapping[str, Any]) -> Any:
    """Return the fields of a shape that every record has, and of the newer ones those that are not GPT-2's."""
    fields, shape = settings.get("model"), _shape(settings)
    if shape is None:
        return fields
    plain = asdict(GPTConfig(**{name: getattr(shape, name) for name in _SIZES}))
    return {
        name: value
        for name, value in asdict(shape).items()
        if name in _FIRST or canonical_json(value) != canonical_json(plain[name])
    }


def _total(own: int, before: int | None) -> int | None:
    return None if before is None else own + before


def _recipe(settings: Mapping[str, Any]) -> str:
    """Hash settings without the seed; a setting that is off counts like one that an older version did not have."""
    return digest(canonical_json(_switched_on({**settings, "model": _own(settings), "seed": None})))


def _switched_on(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _switched_on(part) for key, part in value.items() if part is not None and part is not False}
