"""The formats of checkpoints that are read without conversion: one file each, found by itself.

Packages may add formats (`[project.entry-points."evalkit.formats"]`). Needs no torch, except to open some of them.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

from evalkit.errors import CheckpointError
from evalkit.files import check_regular
from evalkit.model import vocabularies
from evalkit.model.checkpoint import Checkpoint, Format, Vocabulary
from evalkit.model.formats import transformers
from evalkit.plugins import Registry
from evalkit.tokenizer.files import FILES as TOKENIZER_FILES

# A step in a name: after other words, at its end. Parts of one checkpoint (model-00001-of-00002) do not match.
_NAMED = re.compile(r"[a-z_.-]*?(\d{1,18})(?:[-_](?:ckpt|model))?(?:\.[a-z]+)?", re.IGNORECASE)

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
        check_regular(path, CheckpointError)
        if not path.exists():
            raise CheckpointError(f"{path}: no such file or folder")
        hint = f"give the folder {path.parent}, which is one" if find(path.parent) else f"evalkit reads {_known()}"
        raise CheckpointError(f"{path}: not a checkpoint, or a damaged one; {hint}")
    # A folder of no known kind is most likely an incomplete one of transformers, whose error says what is missing.
    return (found or transformers.FORMAT).opens(path, vocabulary=vocabulary)


def _known() -> str:
    return ", ".join(FORMATS[name].known for name in FORMATS)


def within(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, by the steps in their names: step-500, checkpoint-500, ckpt_500.pt, ..."""
    recognised = [path for path in _children(folder) if find(path)]
    return sorted(recognised, key=lambda path: (step_in(path) is None, step_in(path), path.name))


def step_in(path: Path) -> int | None:
    """Return the step in a checkpoint's name; None if there is none."""
    named = _NAMED.fullmatch(path.name)
    return int(named[1]) if named else None


def _children(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []


def vocabulary_at(path: Path) -> Vocabulary:
    """Return the tokenizer of a checkpoint, or of a folder or a file that holds only a tokenizer."""
    if path.name == "meta.pkl":
        return vocabularies.of_characters(path)
    if path.name in TOKENIZER_FILES:
        return Vocabulary.of(path.parent)
    return open(path).vocabulary if find(path) and not _has_tokenizer(path) else Vocabulary.of(path)


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZER_FILES)
