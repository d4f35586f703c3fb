"""report.html: one self-contained page that needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit import __version__
from evalkit.report.figures.canvas import Drawn
from evalkit.report.measurements import Problem
from evalkit.report.pages.cells import Grid
from evalkit.report.pages.pieces import Samples

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Content:
    """The content of a report, in order.

    command: the one that makes it. summary: sentences, the first on what was evaluated. missing: figures without data,
    and what they would take.
    without_samples: they were left out on purpose.
    problems: runs that were left out, and why. warnings: what a reader must know before trusting a value.
    """

    title: str
    command: str
    summary: Sequence[str]
    figures: Sequence[Drawn]
    missing: Sequence[tuple[str, str]]
    tables: Sequence[Grid]
    fits: Sequence[Grid]
    notes: Sequence[str] = ()
    samples: Samples = field(default_factory=Samples)
    without_samples: bool = False
    problems: Sequence[Problem] = ()
    warnings: Sequence[str] = ()


def html(content: Content, *, live: str = "") -> str:
    """Return the page. All text from models and data is escaped, by Jinja or in JSON.

    live: the version of a page that is served, which asks its server for newer ones; empty for a file.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    # The policy names the one script that may run, so a gap in the escaping could not run another.
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        content=content,
        version=__version__,
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; img-src data:"
        + ("; connect-src 'self'" if live else ""),
        live=live,
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        data=Markup(content.samples.script()),
        panels={drawn.figure.name: [Markup(panel) for panel in drawn.panels] for drawn in content.figures},
    )
