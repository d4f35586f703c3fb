"""Links that lead out of docs/ (reports, examples, CONTRIBUTING.md): their targets become part of the site.

Pages are written for readers of the repository, with relative links that work there. docs/ is the top of the site, and
anything else has the path that it has in the repository.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

ROOT = Path(__file__).resolve().parent.parent.parent

_DOCS = PurePosixPath("docs")
# The README is for the repository's front; the site has its own.
_HOMES = {PurePosixPath("README.md"): PurePosixPath("docs/index.md")}
_LINK = re.compile(r"(\]\(|^\[[^\]]+\]: )([^)\s#]+)((?:#[^)\s]*)?)", re.MULTILINE)
_FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2", re.DOTALL | re.MULTILINE)


class SiteFile(Protocol):
    """A file of the site, as mkdocs has it."""

    src_uri: str

    @property
    def abs_src_path(self) -> str | None:
        """The path of its file; None for a page that is generated."""
        ...


def place(file: SiteFile) -> PurePosixPath:
    """Return a file's path in the repository; a generated page's is the one that it would have."""
    if file.abs_src_path is None:
        return _DOCS / file.src_uri
    return PurePosixPath(Path(file.abs_src_path).resolve().relative_to(ROOT).as_posix())


def uri(path: PurePosixPath) -> str:
    """Return the place on the site of a file of the repository."""
    path = _HOMES.get(path, path)
    return str(path.relative_to(_DOCS) if path.is_relative_to(_DOCS) else path)


def needed(texts: Mapping[PurePosixPath, str], listed: Iterable[str]) -> Iterable[PurePosixPath]:
    """Return every file outside docs/ that the navigation lists, or that a page links to.

    texts: the pages by their paths; what they link to is followed. listed: the places in the navigation.
    """
    waiting = [PurePosixPath(name) for name in listed if not (ROOT / _DOCS / name).exists()]
    for path, text in texts.items():
        waiting += _targets(text, path)
    found: dict[PurePosixPath, None] = {}
    while waiting:
        path = waiting.pop()
        inside = path.is_relative_to(_DOCS) or path in _HOMES
        if path in found or inside or not (ROOT / path).is_file():
            continue
        found[path] = None
        if path.suffix == ".md":
            waiting += _targets((ROOT / path).read_text(encoding="utf-8"), path)
    return list(found)


def relinked(text: str, path: PurePosixPath) -> str:
    """Return a page's text with links between docs/ and the rest of the repository as they are on the site."""

    def replaced(match: re.Match[str]) -> str:
        target = _target(match[2], path)
        if target is None or (target.is_relative_to(_DOCS) and path.is_relative_to(_DOCS)):
            return match[0]
        relative = os.path.relpath(uri(target), PurePosixPath(uri(path)).parent)
        return f"{match[1]}{relative}{match[3]}"

    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(replaced, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(replaced, text[end:])])


def _targets(text: str, path: PurePosixPath) -> Iterator[PurePosixPath]:
    for match in _LINK.finditer(_FENCE.sub("", text)):
        if target := _target(match[2], path):
            yield target


def _target(link: str, path: PurePosixPath) -> PurePosixPath | None:
    """Return the path in the repository that a link on a page means; None for addresses."""
    if ":" in link or link.startswith("/"):
        return None
    return PurePosixPath(os.path.normpath(path.parent / link))
