"""enwik8: bits per byte of the first hundred million bytes of a Wikipedia dump, markup and all.

Source: Mahoney 2006, the Hutter Prize's file, http://mattmahoney.net/dc/textdata.html.
Licence: GFDL and CC BY-SA (Wikipedia).
Splits: the last 5,000,000 of the 100,000,000 bytes, as since Graves 2013, https://arxiv.org/abs/1308.0850; a character
that the cut would split belongs to train. There are no shots. A document is a stretch of whole lines of at least 50,000
characters, named by its position. Nothing is de-tokenised; the documents' concatenation is the end of the file.

    document  {"text": "'''Sorbian languages''' ..."}
    prompt    (nothing)
    target    '''Sorbian languages''' ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from evalkit.data.formats import last_bytes, read_whole
from evalkit.data.sources import BenchmarkSource, Hub, Release, Row
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_BYTES = 5_000_000
_STRETCH = re.compile(r".{50000}[^\n]*\n?|.+", re.DOTALL)


def _stretches(rows: Iterable[Row]) -> Iterator[Row]:
    """Take the end of the file and cut it where a line ends."""
    text = last_bytes("".join(row["text"] for row in rows), _BYTES)
    yield from ({"text": match.group()} for match in _STRETCH.finditer(text))


def _to_example(document: Document) -> Example:
    return Example(task="continue the text", input=document.row["text"], output="")


TASKS = (
    Task(
        name="enwik8",
        family="lm",
        title="bits per byte of a Wikipedia dump (Mahoney 2006)",
        source=BenchmarkSource(
            name="enwik8",
            hub=Hub(id="LTCB/enwik8", config="enwik8-raw", splits={"test": "train"}),
            releases={"test": Release(files=("enwik8/enwik8",), read=read_whole(size=100_000_000))},
            prepare=_stretches,
        ),
        to_example=_to_example,
        protocols={
            "gpt2": Protocol(
                kind="rolling", query="{input}", target="", metrics=("bits_per_byte", "bits_per_char", "ppl_token")
            )
        },
    ),
)
