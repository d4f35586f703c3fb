"""A badge for a README: a small SVG, and the JSON that shields.io draws one from (its endpoint schema)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from evalkit.sinks import xml

# shields.io's names and their colours.
COLOURS: Mapping[str, str] = {"brightgreen": "#4c1", "red": "#e05d44", "blue": "#007ec6", "lightgrey": "#9f9f9f"}

_HEIGHT, _PAD, _LETTER = 20, 6, 6.6  # pixels; the width of a letter is that of Verdana at 11 pixels, about


@dataclass(frozen=True, kw_only=True)
class Badge:
    """What a badge says. colour: one of COLOURS."""

    label: str
    message: str
    colour: str

    def endpoint(self) -> str:
        """Return the JSON of shields.io's endpoint badge."""
        fields = {"schemaVersion": 1, "label": self.label, "message": self.message, "color": self.colour}
        return json.dumps(fields, ensure_ascii=False) + "\n"

    def svg(self) -> str:
        """Return the badge as a picture that needs no server."""
        left, right = (round(_LETTER * len(text)) + 2 * _PAD for text in (self.label, self.message))
        title = escape(xml(f"{self.label}: {self.message}"), {'"': "&quot;"})
        texts = "".join(
            f'<text x="{start + _PAD}" y="14" textLength="{width - 2 * _PAD}">{escape(xml(text))}</text>'
            for start, width, text in ((0, left, self.label), (left, right, self.message))
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{_HEIGHT}" role="img" '
            f'aria-label="{title}"><title>{title}</title>'
            f'<clipPath id="r"><rect width="{left + right}" height="{_HEIGHT}" rx="3"/></clipPath>'
            f'<g clip-path="url(#r)"><rect width="{left}" height="{_HEIGHT}" fill="#555"/>'
            f'<rect x="{left}" width="{right}" height="{_HEIGHT}" fill="{COLOURS[self.colour]}"/></g>'
            f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{texts}</g></svg>\n'
        )
