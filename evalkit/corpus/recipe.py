"""Recipe: every choice that decides the tokens of a corpus."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from evalkit.errors import UsageError
from evalkit.files import canonical_json, digest
from evalkit.tokenizer import check_vocabulary

# Raised whenever the same recipe and sources could give other tokens.
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is kept from the sources, and how it becomes tokens.

    vocab_size: of the byte-level BPE that is trained, unless a tokenizer is given. column: that of the text in JSONL,
    parquet and datasets. languages: ISO 639-1 codes to keep; empty: all. min_characters, max_characters: of a document.
    duplicates: drop documents whose text occurred before. near_duplicates: drop documents whose words overlap with an
    earlier one's by this Jaccard similarity; 0: none. validation: share of the documents held out. skip_bad: skip and
    count rows without text and lines that are not rows, instead of ending at the first. shard_tokens: tokens of a shard
    file. sample: characters that the tokenizer is trained on.

    Raises UsageError for values that are not allowed.
    """

    vocab_size: int = 8192
    column: str = "text"
    languages: tuple[str, ...] = ()
    min_characters: int = 1
    max_characters: int | None = None
    duplicates: bool = True
    near_duplicates: float = 0.8
    validation: float = 0.01
    skip_bad: bool = False
    shard_tokens: int = 100_000_000
    sample: int = 20_000_000

    def __post_init__(self) -> None:
        check_vocabulary(self.vocab_size)
        for name in ("min_characters", "shard_tokens", "sample"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise UsageError(f"max_characters {self.max_characters} is below min_characters {self.min_characters}")
        if not 0 <= self.validation < 1:
            raise UsageError(f"validation must be at least 0 and below 1, not {self.validation}")
        if self.near_duplicates and not 0.5 <= self.near_duplicates < 1:
            raise UsageError(f"near_duplicates must be 0 or from 0.5 to below 1, not {self.near_duplicates}")

    def unfiltered(self) -> Recipe:
        """Return the recipe without filters: every document is kept."""
        return replace(self, languages=(), min_characters=1, max_characters=None, duplicates=False, near_duplicates=0.0)

    def hash(self) -> str:
        """Return 16 hexadecimal digits of the choices."""
        return digest(canonical_json({"version": VERSION, **asdict(self)}))
