"""What mkdocs calls: adds generated pages and files outside docs/, expands the navigation, mends links."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from docs.generate import navigation, outside
from docs.generate.pages import pages


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace `FOLDER/*` in the navigation by the generated pages of that folder, in their order."""
    config.nav = navigation.expanded(config.nav, pages())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and what any page links to outside docs/."""
    for uri, content in pages().items():
        files.append(File.generated(config, uri, content=content))
    texts = {outside.place(file): file.content_string for file in files if file.is_documentation_page()}
    for path in outside.needed(texts, navigation.listed(config.nav)):
        absolute = str(outside.ROOT / path)
        files.append(
            File.generated(config, outside.uri(path), abs_src_path=absolute, inclusion=InclusionLevel.NOT_IN_NAV)
        )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links from or to files outside docs/ to their place on the site."""
    return outside.relinked(markdown, outside.place(page.file))
