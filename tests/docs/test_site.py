"""The site builds without a warning, is whole, fetches nothing from elsewhere, and works in a browser."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from lxml import html
from markdown_it import MarkdownIt

from docs.generate.navigation import listed
from tests import browsing
from tests.docs.blocks import PAGES, REPOSITORY

DOCS = REPOSITORY / "docs"


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml without the functions that it names."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)
NAVIGATION = yaml.load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]


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


def built(site: Path, page: Path) -> html.HtmlElement:
    """Return the content of a written page as the site has it."""
    name = "" if page.stem == "index" else page.stem
    [article] = html.parse(site / name / "index.html").getroot().find_class("md-content__inner")
    return article


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_page_reads_as_on_github(site: Path, page: Path) -> None:
    """Headings, items of lists, rows of tables and blocks are the same by CommonMark and by the site's Markdown."""
    kinds = {"heading_open": "heading", "list_item_open": "item", "tr_open": "row", "fence": "block"}
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    expected = Counter(kinds[token.type] for token in tokens if token.type in kinds)
    article = built(site, page)
    count = {
        "heading": article.xpath("count(.//h1 | .//h2 | .//h3 | .//h4)"),
        "item": article.xpath("count(.//li)"),
        "row": article.xpath("count(.//tr)"),
        "block": article.xpath("count(.//pre)"),
    }
    assert {name: int(number) for name, number in count.items() if number} == expected


def slugs(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    titles = [tokens[place + 1].children or [] for place, token in enumerate(tokens) if token.type == "heading_open"]
    texts = ["".join(child.content for child in children) for children in titles]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_of_a_page_hold_on_github(page: Path) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    children = [child for token in tokens for child in token.children or ()]
    for link in filter(None, (child.attrs.get("href") or child.attrs.get("src") for child in children)):
        parts = urlsplit(str(link))
        if parts.scheme:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        assert target.exists() and target.is_relative_to(REPOSITORY), link
        assert not parts.fragment or target.suffix != ".md" or parts.fragment in slugs(target), link


browser = pytest.fixture(scope="module")(browsing.started)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each on standard error."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


SHOWN = pytest.mark.parametrize(
    ("place", "title", "text"),
    [
        ("/", "evalkit", "evalkit run --model nano"),
        ("/reference/commands/run/", "evalkit run - evalkit", "--all-metrics"),
        ("/reference/tasks/reading/coqa/", "CoQA - evalkit", "Brown et al. 2020"),
        ("/reference/python/functions/", "Functions - evalkit", "max_failed"),
    ],
    ids=["home", "command", "task", "python"],
)


@browsing.needed
@SHOWN
def test_a_page_in_a_browser(browser, address: str, place: str, title: str, text: str) -> None:
    """Nothing complains, nothing is fetched from elsewhere, and the page fits a phone."""
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(address + place)
    assert browser.title == title and text in browser.find_element("tag name", "article").text
    assert browser.get_log("browser") == []
    messages = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert urls and [url for url in urls if not url.startswith((address, "data:", "blob:"))] == []
    phone = {"width": 375, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.get(address + place)
    widths = browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert widths == [375, 375]


@browsing.needed
def test_a_search_finds_a_page(browser, address: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(address + "/")
    browser.find_element("css selector", ".md-search__input").send_keys("coqa conversation")
    found = WebDriverWait(browser, 20).until(
        lambda driver: driver.find_elements("css selector", ".md-search-result__link")
    )
    assert any("/reference/tasks/reading/coqa/" in link.get_attribute("href") for link in found)
