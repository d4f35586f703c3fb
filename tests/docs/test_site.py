"""The site builds without a warning, is whole, and fetches nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from lxml import html

from tests.docs.blocks import REPOSITORY

DOCS = REPOSITORY / "docs"


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml without the functions that it names."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)
NAVIGATION = yaml.load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]


def listed(entries: object) -> Iterator[str]:
    """Yield each page of a navigation."""
    if isinstance(entries, str):
        yield entries
    else:
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from listed(entry)


def test_every_page_is_in_the_navigation_once() -> None:
    written = [page for page in listed(NAVIGATION) if not page.startswith("reference/") and page != "CONTRIBUTING.md"]
    assert sorted(written) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def links(page: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the element, attribute and target of each link of a built page."""
    for element, attribute, link, _ in html.parse(page).getroot().iterlinks():
        yield element.tag, attribute, link


def test_no_link_is_dead(site: Path) -> None:
    anchors = {page: {*html.parse(page).getroot().xpath("//@id | //@name")} for page in site.rglob("*.html")}
    dead = []
    for page in anchors.keys() - {site / "404.html"}:  # which is served at any path
        for _, _, link in links(page):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link == "#":
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in anchors.get(target, ())):
                dead.append(f"{page.relative_to(site)}: {link}")
    assert not dead, "\n".join(dead)


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No font, script, style or picture of a server: the site is whole without a network."""
    for page in site.rglob("*.html"):
        for tag, attribute, link in links(page):
            if tag not in ("a", "form") and attribute in ("href", "src"):
                assert not urlsplit(link).netloc, f"{page.relative_to(site)}: <{tag} {attribute}={link}>"


@pytest.mark.parametrize("name", ["index.html", "search/search_index.json"])
def test_it_has_a_front_page_and_a_search(site: Path, name: str) -> None:
    assert (site / name).stat().st_size > 1000
