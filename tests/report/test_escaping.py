"""A report of runs whose every name holds a script: none of it becomes an element or an attribute."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree


class Seen(HTMLParser):
    """What a browser would make of a page: scripts by type, and all elements and attributes."""

    def __init__(self, page: str):
        super().__init__()
        self.scripts: list[str] = []
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "script":
            self.scripts.append(dict(attrs).get("type") or "")


def test_the_page_has_no_element_that_it_does_not_have_otherwise(wicked_report: Path, report: Path):
    seen, usual = (Seen((folder / "report.html").read_text()) for folder in (wicked_report, report))
    assert set(seen.scripts) == set(usual.scripts) and seen.scripts.count("") == usual.scripts.count("") == 1
    assert seen.elements <= usual.elements and "img" not in seen.elements
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert not [value for name, value in seen.attributes if name in ("href", "src") and "script" in value.lower()]
    assert any("onload=" in value for _, value in seen.attributes), "the names do stand in attributes"


def test_the_figures_are_drawings_only(wicked_report: Path):
    figures = sorted(wicked_report.rglob("*.svg"))
    assert figures
    for path in figures:
        elements = list(ElementTree.fromstring(path.read_text()).iter())
        assert not [e.tag for e in elements if e.tag.rpartition("}")[2] in ("script", "foreignObject", "a", "image")]
        assert not [name for e in elements for name in e.attrib if name.startswith("on")]
