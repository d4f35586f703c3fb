"""How wide text is on paper, at most: in Computer Modern or Times, whichever is wider, so a table fits in either."""

from __future__ import annotations

import math

from evalkit.errors import UsageError

COLUMN, PAGE = 3.25, 6.75  # inches: a column and the page of a paper in two columns, as ICML's
_LEAST, _MOST = 2.0, 20.0
POINTS = 72.27  # TeX's, per inch

# The widths of characters in em at 10 points, rounded up, from the fonts' metrics (cmr10.afm, ptmr8a.afm).
_WIDTHS = {
    0.2: "'", 0.3: ",.:;il", 0.35: " !-[]fj", 0.4: "()Irst", 0.45: "cez", 0.5: "*/?ago0123456789", 0.55: "Jkqvxy",
    0.6: "Sbdhnpu_", 0.65: "LZ", 0.7: "EFP", 0.75: "ABCHNRTUVXYw", 0.8: "&+=DGKOQ±−<>", 0.85: "#%m", 0.95: "@M",
}  # fmt: skip
_EM = {character: width for width, characters in _WIDTHS.items() for character in characters}
_OTHER = 1.05
_BOLD = 1.2
# Computer Modern's small sizes are wider than the large ones in proportion (cmr5 to cmr9 against cmr10).
_SMALL = {5: 1.37, 6: 1.23, 7: 1.14, 8: 1.07, 9: 1.03}


def inches(text: str) -> float:
    """Return the width that "column", "page" or a number of inches means. Raises UsageError for another text.

    >>> inches("column"), inches("5.5")
    (3.25, 5.5)
    """
    named = {"column": COLUMN, "page": PAGE}
    try:
        width = named[text] if text in named else float(text)
    except ValueError:
        width = math.nan
    if not _LEAST <= width <= _MOST:
        raise UsageError(
            f"--width {text}: expected column ({COLUMN} in), page ({PAGE} in) or inches from {_LEAST:g} to {_MOST:g}"
        )
    return width


def width(text: str, points: int, *, bold: bool = False) -> float:
    """Return at most how wide a text is, in inches, at a size in points."""
    ems = sum(_EM.get(character, _OTHER) for character in text) * (_BOLD if bold else 1.0)
    return ems * _SMALL.get(points, 1.0) * points / POINTS
