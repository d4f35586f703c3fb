"""The navigation of mkdocs.yml, in which `FOLDER/*` stands for the generated pages of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

_EVERY = "/*"


def listed(entries: Any) -> Iterator[str]:
    """Yield each page of a navigation, or part of one."""
    if isinstance(entries, str):
        yield entries
    else:
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from listed(entry)


def expanded(entries: Any, uris: Iterable[str]) -> Any:
    """Return a navigation, or part of one, with each `FOLDER/*` replaced; within a list, by several entries.

    uris: the places of the generated pages, in their order.
    """
    if isinstance(entries, list):
        parts = [expanded(entry, uris) for entry in entries]
        return [entry for part in parts for entry in (part if isinstance(part, list) else [part])]
    if isinstance(entries, dict):
        return {title: expanded(entry, uris) for title, entry in entries.items()}
    if not entries.endswith(_EVERY):
        return entries
    folder = PurePosixPath(entries.removesuffix(_EVERY))
    return [uri for uri in uris if PurePosixPath(uri).parent == folder]
