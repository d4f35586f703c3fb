"""How docstrings become sections: this code base writes `name: meaning.` in prose, which no common style reads.

A griffe extension. Each parameter (or field) that a docstring explains becomes a row of a table with its type and
default; everything else stays prose, in which errors are links.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import griffe

from docs.generate.markdown import fence
from evalkit import errors

# "name: " or "name, other: " at the beginning of a paragraph, a line or a sentence.
_EXPLAINED = re.compile(r"(?:(?<=^)|(?<=\n)|(?<=[.;)?] )|(?<=[.;)?]\n))(\w+(?:, \w+)*): ")
_ERROR = re.compile(rf"(?<![\w.`])({'|'.join(name for name in vars(errors) if name.endswith('Error'))})\b")
_PAGE = re.compile(r"docs/([\w-]+)\.md")
# A tree, or columns.
_LAID_OUT = re.compile(r"[├└]|\S {3,}\S")


class Docstrings(griffe.Extension):
    """Replaces the sections of every docstring of evalkit."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Set the sections of every object with a docstring."""
        for obj in _objects(pkg):
            if obj.docstring:
                obj.docstring.__dict__["parsed"] = list(sections(obj))


def _objects(parent: griffe.Object) -> Iterator[griffe.Object]:
    for member in parent.members.values():
        if isinstance(member, griffe.Object):
            yield member
            yield from _objects(member)


def sections(obj: griffe.Object) -> Iterator[griffe.DocstringSection]:
    """Yield the sections of an object's docstring: prose, then the parameters that it explains, then prose.

    Those of a class are its fields; a dataclass lists all of them, explained or not.
    """
    assert obj.docstring is not None
    names = _parameters(obj)
    explained = {name: "" for name in names if "dataclass" in obj.labels and not name.startswith("_")}
    prose: tuple[list[str], list[str]] = [], []
    seen = False
    for paragraph in re.split(r"\n\s*\n", obj.docstring.value):
        marks = [mark for mark in _EXPLAINED.finditer(paragraph) if {*mark[1].split(", ")} <= names.keys()]
        ends = [*(mark.start() for mark in marks), len(paragraph)]
        if paragraph[: ends[0]].strip():
            prose[seen].append(_prose(paragraph[: ends[0]]))
        for mark, end in zip(marks, ends[1:], strict=True):
            for name in mark[1].split(", "):
                explained[name] = _prose(paragraph[mark.end() : end])
        seen = seen or bool(marks)
    yield griffe.DocstringSectionText("\n\n".join(prose[False]))
    if explained:
        yield _table(obj, [(name, text, *names[name]) for name, text in explained.items()])
    if prose[True]:
        yield griffe.DocstringSectionText("\n\n".join(prose[True]))


def _table(obj: griffe.Object, rows: Sequence[tuple[str, str, Any, Any]]) -> griffe.DocstringSection:
    """Return the section of names, with their meanings, types and defaults."""
    if isinstance(obj, griffe.Class):
        return griffe.DocstringSectionAttributes(
            [griffe.DocstringAttribute(name, annotation=kind, description=text) for name, text, kind, _ in rows]
        )
    return griffe.DocstringSectionParameters(
        [
            griffe.DocstringParameter(name, annotation=kind, value=value, description=text)
            for name, text, kind, value in rows
        ]
    )


def _parameters(obj: griffe.Object) -> dict[str, tuple[Any, Any]]:
    """Return the annotation and default of each parameter of a function, or of a class."""
    if isinstance(obj, griffe.Class):
        fields: dict[str, tuple[Any, Any]] = {
            name: (getattr(member, "annotation", None), getattr(member, "value", None))
            for name, member in {**obj.inherited_members, **obj.members}.items()
            if member.is_attribute and "property" not in member.labels
        }
        made = obj.members.get("__init__")
        return (_parameters(made) if isinstance(made, griffe.Function) else {}) | fields
    if isinstance(obj, griffe.Function):
        return {parameter.name: (parameter.annotation, parameter.default) for parameter in obj.parameters}
    return {}


def _prose(text: str) -> str:
    """Return a paragraph with errors and pages as links; what is laid out in lines as a block of text."""
    if text.startswith("    "):
        return text.rstrip()
    text = text.strip()
    if _LAID_OUT.search(text):
        return fence(text, "text")
    text = text[:-1] + "." if text.endswith(";") else text
    linked = _PAGE.sub(r"[\1.md](../../\1.md)", _ERROR.sub(r"[`\1`][evalkit.errors.\1]", text))
    return re.sub(r"<(?=[^`]*(?:`[^`]*`[^`]*)*$)", "&lt;", linked)
