"""The fenced blocks of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGES = (
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
)

_CHECKED_ONLY = re.compile(r"<!-- checked only: (\S.*?) -->")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of a page. line: of its first line of content. reason: why it is only checked; "" if it is run.

    beneath: whether nothing but empty lines stand between it and the block before it.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str
    beneath: bool

    @property
    def place(self) -> str:
        """The page and line, for messages."""
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """Return the blocks of a page in order; indented code, which names no language, too."""
    return list(_blocks(path.read_text(encoding="utf-8"), str(path.relative_to(REPOSITORY))))


def _blocks(text: str, page: str) -> Iterator[Block]:
    lines = text.splitlines()
    end = -1
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type not in ("fence", "code_block"):
            continue
        first, before, end = token.map[0], end, token.map[1]
        mark = _CHECKED_ONLY.fullmatch(lines[first - 1].strip()) if first else None
        yield Block(
            page=page, line=first + 2, language=token.info.strip(), text=token.content, reason=mark[1] if mark else "",
            beneath=before >= 0 and not "".join(lines[before:first]).strip(),
        )  # fmt: skip
