"""enwik8: bits per byte of the first hundred million bytes of a Wikipedia dump, markup and all.

Source: Mahoney 2006, the Hutter Prize's file, http://mattmahoney.net/dc/textdata.html.
Splits: the last 5,000,000 of the 100,000,000 bytes, as since Graves 2013, https://arxiv.org/abs/1308.0850; a character
that the cut would split belongs to train. A file of these bytes alone (test.txt) will do. There are no shots. A
document is a stretch of whole lines of at least 50,000 characters, named by its position. Nothing is de-tokenised; the
documents' concatenation is the end of the file.

    document  {"text": "'''Sorbian languages''' ..."}
    prompt    (nothing)
    target    '''Sorbian languages''' ...
"""

from __future__ import annotations

from evalkit.data.formats import read_whole
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.perplexity import last_stretches, rolling, whole_text
from evalkit.harness.task import Task

_BYTES = 5_000_000
# A stretch ends with a line.
_read = read_whole(size=100_000_000, part=_BYTES)
_stretches = last_stretches(_BYTES, pattern=r".{50000}[^\n]*\n?|.+")


TASKS = (
    Task(
        name="enwik8",
        family="lm",
        title="bits per byte of a Wikipedia dump (Mahoney 2006)",
        licence="GFDL and CC BY-SA (Wikipedia)",
        source=BenchmarkSource(
            name="enwik8",
            hub=Hub(id="LTCB/enwik8", config="enwik8-raw", splits={"test": "train"}),
            releases=released("enwik8/enwik8", read=_read),
            samples=released("enwik8/test.txt", read=_read),
            prepare=_stretches,
        ),
        to_example=whole_text("text"),
        protocols={"gpt2": rolling("bits_per_byte", "bits_per_char", "ppl_token")},
    ),
)
