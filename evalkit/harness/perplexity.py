"""What the perplexity benchmarks share: stretches of text that are scored as a whole, and the units of the papers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from evalkit.data.formats import last_bytes
from evalkit.data.readers import Row
from evalkit.harness.task import Protocol
from evalkit.types import Document, Example

# GPT-2's units for text in words (Radford et al. 2019, table 3).
WORDS = ("ppl_word", "ppl_token", "bits_per_byte", "bits_per_char")


def rolling(*metrics: str) -> Protocol:
    """Return the protocol that scores the whole text after nothing."""
    return Protocol(kind="rolling", query="{input}", target="", metrics=metrics)


def whole_text(column: str, detokenizer: Callable[[str], str] | None = None) -> Callable[[Document], Example]:
    """Return the to_example of the text in a column.

    detokenizer: makes what the model reads of a tokenised text, whose words, bytes and characters are counted as
    released; None: the text is read as it is.
    """

    def to_example(document: Document) -> Example:
        text = document.row[column]
        if detokenizer is None:
            return Example(task="continue the text", input=text, output="")
        return Example(task="continue the text", input=detokenizer(text), output="", original=text)

    return to_example


def last_stretches(size: int, *, pattern: str) -> Callable[[Iterable[Row]], Iterator[Row]]:
    """Return a BenchmarkSource.prepare that cuts the last `size` bytes of a text into rows `text`.

    pattern: a regular expression that matches one stretch after the other; "." matches newlines too.
    """
    stretch = re.compile(pattern, re.DOTALL)

    def prepare(rows: Iterable[Row]) -> Iterator[Row]:
        text = last_bytes("".join(row["text"] for row in rows), size)
        yield from ({"text": match.group()} for match in stretch.finditer(text))

    return prepare
