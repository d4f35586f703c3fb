"""Penn Treebank: perplexity of the Wall Street Journal as Mikolov prepared it.

Papers: Marcus, Santorini and Marcinkiewicz 1993, "Building a Large Annotated Corpus of English: The Penn Treebank",
https://aclanthology.org/J93-2004; Mikolov et al. 2010, "Recurrent neural network based language model": lower case, no
punctuation, figures as N, 10,000 words, the others <unk>.
Splits: test, 3,761 sentences, 82,430 words with ends of line. There are no shots.
Article boundaries are lost, so a document is 128 sentences in a row, named by its position; the sentences of a
document are lines. The model reads de-tokenised text, which can be turned back (evalkit.text.detokenize).

    document  {"sentences": " no it was n't black monday \\n but while the new york stock exchange did n't fall ..."}
    prompt    (nothing)
    target    no it wasn't black monday\\nbut while the new york stock exchange didn't fall ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from evalkit.data.formats import read_column
from evalkit.data.sources import BenchmarkSource, Hub, Row, released
from evalkit.harness.perplexity import WORDS, rolling, whole_text
from evalkit.harness.task import Task
from evalkit.text import detokenize

_SENTENCES = 128


def _blocks(rows: Iterable[Row]) -> Iterator[Row]:
    """Join sentences, each as in the release: a space at both ends and a newline."""
    lines = (f" {' '.join(row['sentence'].split())} \n" for row in rows)
    while block := "".join(islice(lines, _SENTENCES)):
        yield {"sentences": block}


TASKS = (
    Task(
        name="ptb",
        family="lm",
        title="perplexity of the Wall Street Journal (Marcus et al. 1993)",
        licence="the corpus is the LDC's; the prepared text is shared for research",
        source=BenchmarkSource(
            name="ptb",
            # The dataset is a script, which `datasets` no longer runs; this revision is its conversion to parquet.
            hub=Hub(id="ptb-text-only/ptb_text_only", revision="refs/convert/parquet", splits={"test": "test"}),
            releases=released("ptb/ptb.test.txt", read=read_column("sentence")),
            prepare=_blocks,
        ),
        to_example=whole_text("sentences", detokenize.ptb),
        protocols={"gpt2": rolling(*WORDS)},
    ),
)
