"""What a run's settings and its training say about a model: its name, its size, and what it was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evalkit.errors import StoreError
from evalkit.files import canonical_json, digest
from evalkit.report import published

MOST = 1e36  # of anything that is counted: beyond any model, and figures can still show it


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What decides whether two models are one, or one recipe with two seeds; "" and () where unknown.

    content: the hash of weights, configuration and tokenizer. reading: how it was run (dtype, context, ...).
    recipe: a digest of the training's settings except its seed. corpus: the fingerprint of training text and tokenizer.
    """

    content: str = ""
    reading: tuple[tuple[str, str], ...] = ()
    recipe: str = ""
    corpus: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What is known about a model; None where unknown.

    family: the ladder it belongs to. parameters: N with embeddings; block_parameters: N without.
    tokens: D, seen in training up to `step`; flops: C. loss: held-out, in nats per token; loss_stderr: its standard
    error over loss_tokens tokens. seed: of the training. pool: shared by the trainings that differ in their seed alone
    ("" until identity.py sets it).
    """

    name: str
    family: str = ""
    parameters: int | None = None
    block_parameters: int | None = None
    tokens: int | None = None
    flops: float | None = None
    seed: int | None = None
    step: int | None = None
    loss: float | None = None
    loss_stderr: float | None = None
    loss_tokens: int | None = None
    provenance: Provenance = field(default=Provenance(), compare=False, repr=False)
    pool: str = field(default="", compare=False, repr=False)

    @property
    def training(self) -> tuple[str, str, int | None]:
        """What identifies the model's training: all its checkpoints share it."""
        return self.family, self.name, self.seed

    @property
    def checkpoint(self) -> tuple[tuple[str, str, int | None], int]:
        """The training and the step, or the tokens where the step is unknown; without both it has one checkpoint, 0."""
        return self.training, (self.tokens if self.step is None else self.step) or 0


def last_checkpoints(models: Iterable[ModelFacts]) -> set[tuple[tuple[str, str, int | None], int]]:
    """Return the last checkpoint of each training, as `ModelFacts.checkpoint` gives it."""
    steps: dict[tuple[str, str, int | None], int] = {}
    for facts in models:
        training, place = facts.checkpoint
        steps[training] = max(place, steps.get(training, 0))
    return set(steps.items())


def model_facts(manifest: dict[str, Any]) -> ModelFacts:
    """Return what a run's manifest says about its model; the facts of Pythia come from its paper."""
    about = manifest["settings"].get("model")
    training = manifest.get("training") or {}
    if not isinstance(about, dict) or "model" not in about or not isinstance(training, dict):
        raise StoreError("its manifest does not say which model ran")
    name = str(about["model"])
    published_size = published.pythia(name)
    try:
        return ModelFacts(
            name=name,
            family=str(training.get("ladder") or training.get("corpus") or "") or published.family_of(name),
            parameters=_whole(about.get("parameters")) or (published_size.parameters if published_size else None),
            block_parameters=_whole(about.get("block_parameters"))
            or (published_size.blocks if published_size else None),
            tokens=_whole(training.get("tokens")),
            flops=_whole(training.get("flops")),
            seed=_whole(training.get("seed")),
            step=_whole(training.get("step")),
            loss=_number(training.get("loss")),
            loss_stderr=_number(training.get("loss_stderr")),
            loss_tokens=_whole(training.get("loss_tokens")),
            provenance=_provenance(manifest["settings"], training),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"its manifest holds a wrong figure of model {name} ({error})") from None


def _provenance(settings: Mapping[str, Any], training: Mapping[str, Any]) -> Provenance:
    about = settings["model"]
    # A fine-tuning names the weights that it started from; its settings are part of the content.
    content = str(about.get("hash") or "")
    if "finetune" in settings:
        content = digest(canonical_json([content, settings["finetune"]]))
    reading = {k: v for k, v in about.items() if k not in ("model", "hash", "parameters", "block_parameters")}
    return Provenance(
        content=content,
        reading=tuple(sorted((str(k), str(v)) for k, v in reading.items())),
        recipe=str(training.get("recipe") or ""),
        corpus=str(training.get("fingerprint") or ""),
    )


def _number(value: Any) -> float | None:
    """Return a number of a manifest. Raises ValueError for an impossible one."""
    if value is not None and not 0 <= float(value) <= MOST:
        raise ValueError(f"{value!s:.40} is not a number from 0 to {MOST:.0e}")
    return None if value is None else float(value)


def _whole(value: Any) -> int | None:
    """Return a count of a manifest. Raises ValueError for an impossible one."""
    if value is not None and not 0 <= int(value) <= MOST:
        raise ValueError(f"{value!s:.40} is not a number from 0 to {MOST:.0e}")
    return None if value is None else int(value)
