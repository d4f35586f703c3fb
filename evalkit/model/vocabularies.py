"""Where the tokenizer of a file without one comes from: its folder, nanoGPT's meta.pkl, or GPT-2's on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from evalkit.errors import CheckpointError
from evalkit.model import hub
from evalkit.model.checkpoint import Vocabulary
from evalkit.model.config import HUB
from evalkit.model.pickled import literals
from evalkit.tokenizer import Tokenizer
from evalkit.tokenizer.files import FILES as TOKENIZER_FILES


def beside(path: Path) -> Vocabulary | None:
    """Return the tokenizer in the folder of a file; None if there is none."""
    there = any((path.parent / name).is_file() for name in TOKENIZER_FILES)
    return Vocabulary.of(path.parent) if there else None


def gpt2(path: Path) -> Vocabulary:
    """Return GPT-2's tokenizer for a file that was trained with it, from the hub or its cache."""
    return Vocabulary(place=f"GPT-2's ({HUB['gpt2']} on the hub)", load=partial(_gpt2, path))


def _gpt2(path: Path) -> Tokenizer:
    folder = hub.tokenizer_folder(HUB["gpt2"])
    if folder is None:
        raise CheckpointError(
            f"{path} holds no tokenizer, and GPT-2's is neither in the hub's cache nor can it be fetched; give a "
            f"folder that has it with --tokenizer FOLDER, or put tokenizer.json beside the file"
        )
    return Tokenizer.load(folder)


def missing(path: Path, *, size: int, looked: str) -> Vocabulary:
    """Return a vocabulary that says that there is none; looked: where none was found."""

    def load() -> Tokenizer:
        raise CheckpointError(
            f"{path} has no tokenizer for its {size:,} tokens ({looked}); give one with --tokenizer PATH"
        )

    return Vocabulary(place="none", load=load)


def of_characters(path: Path) -> Vocabulary:
    """Return the characters that nanoGPT's meta.pkl lists; the pickle is read without running it."""
    return Vocabulary(place=str(path), load=partial(_of_characters, path))


def _of_characters(path: Path) -> Tokenizer:
    ids = literals(path).get("stoi")
    if not isinstance(ids, dict) or not ids or sorted(ids.values(), key=repr) != sorted(range(len(ids)), key=repr):
        raise CheckpointError(f"{path}: stoi must map each character to its number, from 0")
    if odd := next((text for text in ids if not isinstance(text, str) or len(text) != 1), None):
        raise CheckpointError(f"{path}: stoi has {odd!r}; only vocabularies of single characters are read")
    return characters(ids, name=f"the tokenizer {path}")


def characters(ids: Mapping[str, int], *, name: str) -> Tokenizer:
    """Build a tokenizer whose tokens are single characters; name: in errors.

    A line break separates documents, as in such corpora; without one, the first character does. A text with any other
    character cannot be encoded, which is an error of that text.
    """
    backend = tokenizers.Tokenizer(models.WordLevel(dict(ids), unk_token=""))
    backend.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    end = "\n" if "\n" in ids else min(ids, key=lambda text: ids[text])
    return Tokenizer(backend, end_of_text=end, name=name)
