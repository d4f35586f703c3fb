"""The families of models that our network can be: one file each, found by itself, named after its model_type.

Packages may add families (`[project.entry-points."evalkit.model_families"]`). Needs no torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from pathlib import Path

from evalkit.errors import CheckpointError, UsageError
from evalkit.model.config import BIASES, GPTConfig
from evalkit.model.family import Family
from evalkit.model.settings import NotNativeError, Settings
from evalkit.model.stored import differs
from evalkit.plugins import Registry

FAMILIES: Registry[Family] = Registry(
    "model family",
    {
        family.model_type: family
        for module in pkgutil.iter_modules(__path__)
        for family in [importlib.import_module(f"{__name__}.{module.name}").FAMILY]
    },
    group="evalkit.model_families",
)


def read(folder: Path) -> tuple[Family, GPTConfig]:
    """Read config.json, and from the weights whether the output matrix is separate.

    If config.json says that it is the token embedding but the files hold another matrix, the files count, as in
    transformers. Raises NotNativeError for a sound model that our network cannot be, CheckpointError for a broken file.
    """
    family, settings = _described(folder)
    return family, family.config(
        settings, untied=lambda: differs(folder, family.embedding, family.output, prefix=family.prefix)
    )


def _described(folder: Path) -> tuple[Family, Settings]:
    """Read config.json as far as to its family."""
    settings = Settings.read(folder / "config.json")
    kind = settings.text("model_type")
    if kind not in FAMILIES:
        raise settings.refused("model_type", f"our GPT has {', '.join(FAMILIES)}")
    return FAMILIES[kind], settings


def read_config(folder: Path) -> GPTConfig:
    """Read the shape of a checkpoint folder; errors as in `read`."""
    return read(folder)[1]


def foreign(folder: Path) -> str:
    """Return why our network cannot be a folder's model; an empty text if it can, or if the folder is broken."""
    try:
        family, settings = _described(folder)
        family.config(settings)
    except NotNativeError as error:
        return str(error)
    except CheckpointError:
        return ""
    return ""


def layout_for(config: GPTConfig) -> tuple[Family, GPTConfig]:
    """Return a family that can hold a shape, and the shape as it is written there: perhaps with biases, all zero.

    Biases of zero compute the same. Errors as in `family_for`.
    """
    try:
        return family_for(config), config
    except UsageError:
        biased = replace(config, biases=tuple(name for name in BIASES if (name, config.norm_kind) != ("norm", "rms")))
        for family in FAMILIES.values():
            if not family.lost(biased):
                return family, biased
        raise


def family_for(config: GPTConfig) -> Family:
    """Return the first family that can hold a shape; what it stores is what transformers computes.

    Raises UsageError, naming what the nearest family lacks, if there is none.
    """
    lost = {kind: FAMILIES[kind].lost(config) for kind in FAMILIES}
    nearest = min(lost, key=lambda kind: len(lost[kind]))
    if lost[nearest]:
        raise UsageError(
            f"no layout of transformers holds this GPT; the nearest, {nearest}, has no {', '.join(lost[nearest])}"
        )
    return FAMILIES[nearest]
