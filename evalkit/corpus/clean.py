"""One spelling of a text: Unicode NFC, line ends as newlines, no control characters, no outer white space."""

from __future__ import annotations

import re
import unicodedata

# C0 and C1 controls but tab and newline, the byte order mark and noncharacters; lone surrogates are no text at all.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")
_LINE_END = re.compile("\r\n?|\x85|\u2028|\u2029")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return a text in its one spelling. Done twice it changes nothing more."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", text))
    return _CONTROL.sub("", _LINE_END.sub("\n", text)).strip()
