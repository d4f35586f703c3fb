"""What mkdocs calls: adds generated pages and files outside docs/, expands the navigation, mends links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from docs.generate import outside
from docs.generate.pages import pages

_EVERY = "/*"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace `FOLDER/*` in the navigation by the generated pages of that folder, in their order."""
    config.nav = _expanded(config.nav, list(pages()))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and what any page links to outside docs/."""
    for uri, content in pages().items():
        files.append(File.generated(config, uri, content=content))
    texts = {outside.place(file): file.content_string for file in files if file.is_documentation_page()}
    for path in outside.needed(texts, _listed(config.nav)):
        absolute = str(outside.ROOT / path)
        files.append(
            File.generated(config, outside.uri(path), abs_src_path=absolute, inclusion=InclusionLevel.NOT_IN_NAV)
        )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links from or to files outside docs/ to their place on the site."""
    return outside.relinked(markdown, outside.place(page.file))


def _listed(entries: Any) -> Iterator[str]:
    """Yield each page of a navigation."""
    if isinstance(entries, str):
        yield entries
    else:
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from _listed(entry)


def _expanded(entries: Any, uris: list[str]) -> Any:
    """Return part of a navigation with its `FOLDER/*` replaced; within a list, by several entries."""
    if isinstance(entries, list):
        parts = [_expanded(entry, uris) for entry in entries]
        return [entry for part in parts for entry in (part if isinstance(part, list) else [part])]
    if isinstance(entries, dict):
        return {title: _expanded(entry, uris) for title, entry in entries.items()}
    if not entries.endswith(_EVERY):
        return entries
    folder = PurePosixPath(entries.removesuffix(_EVERY))
    return [uri for uri in uris if PurePosixPath(uri).parent == folder]
