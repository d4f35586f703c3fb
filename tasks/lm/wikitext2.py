r"""WikiText-2: perplexity of whole Wikipedia pages.

Paper: Merity et al. 2016, "Pointer Sentinel Mixture Models", https://arxiv.org/abs/1609.07843.
Licence: CC BY-SA 3.0 and GFDL (Wikipedia).
Splits: the test split, 62 pages. There are no shots.
A document is a page, named by its position. The release file is tokenised and has <unk> for rare words, as in the
results that papers report; the hub's pages are tokenised too but keep the rare words, so its perplexity is another one.
The model reads de-tokenised text; words and bytes are counted on the page as released (GPT-2, section 3.1): 245,569
words over the release's test split, one per end of line included.

    document  {"page": " = Robert <unk> = \n \n Robert <unk> is an English film , television and theatre actor . ..."}
    prompt    (nothing)
    target     = Robert <unk> = \n\nRobert <unk> is an English film, television and theatre actor. ...
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evalkit.harness.sources import BenchmarkSource, Hub, Release, read_lines
from evalkit.harness.task import Protocol, Task
from evalkit.text import detokenize
from evalkit.types import Document, Example

# One pair of signs opens a page; " = = Career = = " is a section of it.
_TITLE = re.compile(r"\s*= (?!= ).*(?<! =) =\s*")


def _read(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Cut the release into pages, whose concatenation is the file: what stands above the first title joins it."""
    for path in paths:
        page: list[str] = []
        titled = False
        for _, line in read_lines(path):
            if _TITLE.fullmatch(line):
                if titled:
                    yield {"page": "".join(page)}
                    page = []
                titled = True
            page.append(line + "\n")
        yield {"page": "".join(page)}


def _to_example(document: Document) -> Example:
    page = document.row["page"]
    return Example(task="continue the text", input=detokenize.wikitext(page), output="", original=page)


TASKS = (
    Task(
        name="wikitext2",
        family="lm",
        title="perplexity of Wikipedia pages (Merity et al. 2016)",
        source=BenchmarkSource(
            name="wikitext2",
            hub=Hub(id="EleutherAI/wikitext_document_level", config="wikitext-2-raw-v1", splits={"test": "test"}),
            releases={"test": Release(files=("wikitext-2/test.txt",), read=_read)},
        ),
        to_example=_to_example,
        protocols={
            "gpt2": Protocol(
                kind="rolling", query="{input}", target="", metrics=("ppl_word", "ppl_token", "bits_per_byte")
            )
        },
    ),
)
