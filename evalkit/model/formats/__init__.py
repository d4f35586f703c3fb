"""The formats of checkpoints that are read without conversion: one file each, found by itself.

Packages may add formats (`[project.entry-points."evalkit.formats"]`). Needs no torch, except to open some of them.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from evalkit.errors import CheckpointError
from evalkit.model.checkpoint import Checkpoint, Format, Vocabulary
from evalkit.model.formats import transformers
from evalkit.plugins import Registry

FORMATS: Registry[Format] = Registry(
    "format",
    {
        form.name: form
        for form in (
            transformers.FORMAT,  # first: other trainers put their files beside those that they were made of
            *(importlib.import_module(f"{__name__}.{module.name}").FORMAT for module in pkgutil.iter_modules(__path__)),
        )
    },
    group="evalkit.formats",
)


def find(path: Path) -> Format | None:
    """Return the format of a file or folder; None if there is none that recognises it."""
    return next((FORMATS[name] for name in FORMATS if FORMATS[name].recognises(path)), None)


def open(path: Path, *, vocabulary: Vocabulary | None = None) -> Checkpoint:
    """Open a checkpoint of any format; vocabulary: in place of its own tokenizer. Errors as in checkpoint.Opens."""
    found = find(path)
    if found is None and not path.is_dir():
        raise CheckpointError(
            f"{path}: not a checkpoint that evalkit reads "
            f"({'; '.join(FORMATS[name].known for name in FORMATS)}), or a damaged one"
            if path.exists()
            else f"{path}: no such file or folder"
        )
    # A folder of no known kind is most likely an incomplete one of transformers, whose error says what is missing.
    return (found or transformers.FORMAT).opens(path, vocabulary=vocabulary)
