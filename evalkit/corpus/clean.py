"""A uniform spelling of a text: Unicode NFC, line ends as newlines, no control characters, no outer white space.

Characters that separate words keep doing so: form feeds, vertical tabs and the separators of files, groups and records
become line ends, the separator of units a space. NFC is applied after control characters are removed, because the
characters around one may compose.
"""

from __future__ import annotations

import re
import unicodedata

# C0 and C1 controls except tab and newline, the byte order mark, noncharacters; lone surrogates are never text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return a text in its uniform spelling; cleaning it again changes nothing."""
    text = _CONTROL.sub("", _LINE_END.sub("\n", text).replace("\x1f", " "))
    if not text.isascii():
        text = unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", text))
    return text.strip()
