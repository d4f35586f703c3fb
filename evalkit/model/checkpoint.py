"""What a format is, and what opening a checkpoint of any format gives: everything but the weights. Needs no torch.

A format's file in formats/ recognises its files and names their tensors; reading, checking and converting are the same
for all (weights.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.files import canonical_json, digest, hash_files
from evalkit.model.config import GPTConfig
from evalkit.model.family import Family
from evalkit.model.pieces import Piece, Shape
from evalkit.model.saved import Saved
from evalkit.tokenizer import Tokenizer

if TYPE_CHECKING:
    from evalkit.model.tensors import Source


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A tokenizer yet to be read. place: where it comes from, for people; load: reads it, or says what is missing."""

    place: str
    load: Callable[[], Tokenizer]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, read once."""
        return self.load()

    @classmethod
    def of(cls, folder: Path) -> Vocabulary:
        """Return the tokenizer of a folder in transformers' or OpenAI's layout."""
        return cls(place=str(folder), load=lambda: Tokenizer.load(folder))


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint: its shape, tokenizer and training, and how to read its weights.

    path: the file or folder. format: its format's name. pieces: from the shapes of our tensors to where their numbers
    are stored. source: opens the stored tensors under the names that the pieces use. content: hashes everything that
    decides the scores (see content_of). ends: ids that end a generated text besides end of text. training: the facts
    that reports use, as record.facts gives them (at least step and tokens, where they are known). about: further facts
    for people, by name. family: the layout of transformers that it is stored in, if it is one.
    """

    path: Path
    format: str
    config: GPTConfig
    vocabulary: Vocabulary
    pieces: Callable[[Mapping[str, Shape]], Iterable[Piece]]
    source: Callable[[Sequence[Piece]], Source]
    content: Callable[[], str]
    ends: Sequence[int] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    family: Family | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises CheckpointError where there is none."""
        return self.vocabulary.tokenizer

    @cached_property
    def content_hash(self) -> str:
        """16 hexadecimal digits of everything that decides its scores."""
        return self.content()


class Opens(Protocol):
    """Opens a checkpoint that the format recognises; vocabulary: the user's, in place of the checkpoint's own.

    Raises NotNativeError for a sound model that our network cannot be, naming what differs, and CheckpointError, naming
    the file, for a damaged one. No code in a file is ever run.
    """

    def __call__(self, path: Path, *, vocabulary: Vocabulary | None) -> Checkpoint:
        """Open a checkpoint."""
        ...


@dataclass(frozen=True, kw_only=True)
class Format:
    """A way to store a model. name: short; known: what people call it.

    recognises: whether a file or folder is one, cheaply, by what it holds and not only by its name; it raises nothing,
    and it never imports torch.
    saved: what there is of one that it recognises, which a trainer may be writing; None while bytes are missing. Cheap,
    and without torch; raises CheckpointError or OSError where files are damaged or going. None: only time can tell.
    """

    name: str
    known: str
    recognises: Callable[[Path], bool]
    opens: Opens
    saved: Callable[[Path], Saved | None] | None = None


def content_of(files: Sequence[Path], vocabulary: Vocabulary, *, ends: Sequence[int] = ()) -> str:
    """Return 16 hexadecimal digits of a checkpoint's files, its tokenizer and the ids that end a text."""
    return digest(canonical_json([hash_files(*files)[:16], vocabulary.tokenizer.content_hash(), list(ends)]))
