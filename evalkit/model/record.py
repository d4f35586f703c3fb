"""The facts of a checkpoint's training.json that reports use. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.files import canonical_json, digest


def facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a training record.

    step, tokens, flops: of the weights. corpus: its name; fingerprint: of its tokens and tokenizer. loss: held-out, in
    nats per token; loss_stderr, loss_tokens, if known: its standard error, and the tokens it was measured on. seed: of
    the training; recipe: a digest of every other setting that decides the weights, so that trainings of one recipe
    differ only in their seed. Of a training that started from weights, tokens and flops count what those had read too,
    None if nobody knows, and ladder names what it started from.

    Raises KeyError or TypeError for another trainer's record.
    """
    corpus, settings = record["corpus"], record["settings"]
    precision = {f"loss_{name}": record.get(f"validation_{name}") for name in ("stderr", "tokens")}
    start = record.get("from")
    return {
        "step": record["step"],
        **{key: _total(record[key], start[key] if start else 0) for key in ("tokens", "flops")},
        "corpus": corpus["name"],
        **({"ladder": f"{corpus['name']} from {start['model']}"} if start else {}),
        "loss": record["validation_loss"],
        **{key: value for key, value in precision.items() if value is not None},
        "seed": settings["seed"],
        "fingerprint": corpus["fingerprint"],
        "recipe": _recipe(settings),
    }


def _total(own: int, before: int | None) -> int | None:
    return None if before is None else own + before


def _recipe(settings: Mapping[str, Any]) -> str:
    """Hash settings without the seed; a setting that is off counts like one that an older version did not have."""
    return digest(canonical_json(_switched_on({**settings, "seed": None})))


def _switched_on(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _switched_on(part) for key, part in value.items() if part is not None and part is not False}
