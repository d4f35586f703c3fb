"""A folder in transformers' layout (families/): config.json, weights, a tokenizer.

Besides evalkit's own training.json, the trainer_state.json of transformers' Trainer says how far a training was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import CheckpointError
from evalkit.files import canonical_json, digest, read_json
from evalkit.model import families, record
from evalkit.model.checkpoint import Checkpoint, Format, Vocabulary
from evalkit.model.config import GPTConfig
from evalkit.model.family import Family
from evalkit.model.folder import CONFIG, content_hash, stop_ids, weight_files
from evalkit.model.pieces import Piece
from evalkit.model.saved import Saved, whole

if TYPE_CHECKING:
    from evalkit.model.tensors import Source


def recognises(path: Path) -> bool:
    """Whether a folder has a configuration and weights."""
    if not (path / CONFIG).is_file():
        return False
    try:
        return bool(weight_files(path))
    except CheckpointError:
        return False


def saved(path: Path) -> Saved | None:
    """Return the weights, the configuration, and the trainer's record, which is written last and names the step."""
    read_json(path / CONFIG, CheckpointError)
    files = [*weight_files(path), path / CONFIG]
    if not all(map(whole, files[:-1])):
        return None
    for name, read in (("training.json", _of_ours), ("trainer_state.json", record.of_trainer_state)):
        if (path / name).exists():
            facts = read(read_json(path / name, CheckpointError))
            return None if facts is None else Saved(files=[*files, path / name], finished=True, facts=facts)
    return Saved(files=files, finished=False)


def _of_ours(record: Any) -> dict[str, Any] | None:
    step = record.get("step") if isinstance(record, dict) else None
    return {"step": step} if isinstance(step, int) else None  # the rest is read with the model


def opens(path: Path, *, vocabulary: Vocabulary | None = None) -> Checkpoint:
    """Open a folder."""
    if not path.is_dir():
        raise CheckpointError(f"no checkpoint folder {path}")
    family, config = families.read(path)

    def content() -> str:
        files = content_hash(path)
        return files if vocabulary is None else digest(canonical_json([files, vocabulary.tokenizer.content_hash()]))

    def source(pieces: Sequence[Piece]) -> Source:
        return _source(path, pieces, family=family, config=config)

    return Checkpoint(
        path=path, format=FORMAT.name, config=config, vocabulary=vocabulary or Vocabulary.of(path),
        pieces=lambda shapes: family.pieces(config, shapes), source=source, content=content, ends=stop_ids(path),
        training=training_of(path), family=family,
    )  # fmt: skip


def _source(path: Path, pieces: Sequence[Piece], *, family: Family, config: GPTConfig) -> Source:
    from evalkit.model import tensors

    stored = tensors.Folder(path)
    return tensors.Renamed(stored, family.names(stored.shapes, pieces, tied=not config.untied))


def training_of(folder: Path) -> dict[str, Any]:
    """Return the facts of a folder's records that reports use; empty if there are none, or broken ones."""
    try:
        return record.facts(read_json(folder / "training.json", CheckpointError))
    except (CheckpointError, KeyError, TypeError):  # another trainer's record, or none: facts for reports only
        pass
    try:
        return record.of_trainer_state(read_json(folder / "trainer_state.json", CheckpointError)) or {}
    except CheckpointError:
        return {}


FORMAT = Format(
    name="transformers",
    known="a folder in transformers' layout",
    recognises=recognises,
    opens=opens,
    saved=saved,
)
