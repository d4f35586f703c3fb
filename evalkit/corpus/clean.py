"""One spelling of a text: Unicode NFC, line ends as newlines, no control characters, no outer white space.

What parts words stays a parting: form feeds, vertical tabs and the separators of files, groups and records are line
ends, the separator of units is a space. NFC comes after the controls are gone, for what stood around one may compose.
"""

from __future__ import annotations

import re
import unicodedata

# C0 and C1 controls but tab and newline, the byte order mark and noncharacters; lone surrogates are no text at all.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return a text in its one spelling. Done twice it changes nothing more."""
    text = _CONTROL.sub("", _LINE_END.sub("\n", text).replace("\x1f", " "))
    if not text.isascii():
        text = unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", text))
    return text.strip()
