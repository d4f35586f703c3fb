"""text8: bits per character of Wikipedia in 27 characters, a to z and the space.

Source: Mahoney 2006, http://mattmahoney.net/dc/textdata.html: enwik8's text, numbers spelled out.
Splits: the last 5,000,000 of the 100,000,000 characters, as is usual; a file of these alone (test.txt) will do. There
are no shots. The file is one line; a document is a stretch of whole words of at least 50,000 characters, each with the
space before it, named by its position. Nothing is de-tokenised; the documents' concatenation is the end of the file.

    document  {"text": " be ejected and hold it there examine the chamber to ensure it is clear ..."}
    prompt    (nothing)
    target     be ejected and hold it there examine the chamber to ensure it is clear ...
"""

from __future__ import annotations

import re

from evalkit.data.formats import read_whole
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.perplexity import last_stretches, rolling
from evalkit.harness.task import Task
from evalkit.types import Document, Example

_CHARACTERS = 5_000_000
# A stretch ends with a word.
_read = read_whole(size=100_000_000, part=_CHARACTERS)
_stretches = last_stretches(_CHARACTERS, pattern=r".{50000}[^ ]*|.+")


def _to_example(document: Document) -> Example:
    text = document.row["text"]
    if wrong := re.search(r"[^a-z \n]", text):
        raise ValueError(f"expected the letters a to z and the space, found {wrong.group()!r}")
    return Example(task="continue the text", input=text, output="")


TASKS = (
    Task(
        name="text8",
        family="lm",
        title="bits per character of Wikipedia in 27 characters (Mahoney 2006)",
        licence="GFDL and CC BY-SA (Wikipedia)",
        source=BenchmarkSource(
            name="text8",
            hub=Hub(id="afmck/text8", splits={"test": "test"}),
            releases=released("text8/text8", read=_read),
            samples=released("text8/test.txt", read=_read),
            prepare=_stretches,
        ),
        to_example=_to_example,
        protocols={"gpt2": rolling("bits_per_char", "bits_per_byte", "ppl_token")},
    ),
)
