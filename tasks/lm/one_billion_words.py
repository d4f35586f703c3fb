"""One Billion Word Benchmark: perplexity of single sentences of news.

Paper: Chelba et al. 2013, "One Billion Word Benchmark for Measuring Progress in Statistical Language Modeling",
https://arxiv.org/abs/1312.3005.
Link: https://www.statmt.org/lm-benchmark.
Splits: the first of the fifty held-out files, on which results are reported; there are no shots. The hub's test split
is all fifty. The sentences are shuffled, so each is a document of its own, named by its position: GPT-2 (section 3.1)
does worst here, since nothing beyond a sentence helps.
The model reads de-tokenised text, which can be turned back (evalkit.text.detokenize); a sentence's end counts as a
word.

    document  {"text": "Having a little flexibility on that issue would go a long way ..."}
    prompt    (nothing)
    target    Having a little flexibility on that issue would go a long way ...
"""

from __future__ import annotations

from evalkit.data.formats import read_column
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.perplexity import WORDS, rolling
from evalkit.harness.task import Task
from evalkit.text import detokenize
from evalkit.types import Document, Example

_FOLDER = "1-billion-word-language-modeling-benchmark-r13output/heldout-monolingual.tokenized.shuffled"


def _to_example(document: Document) -> Example:
    line = document.row["text"] + "\n"
    return Example(task="continue the text", input=detokenize.news(line), output="", original=line)


TASKS = (
    Task(
        name="one_billion_words",
        family="lm",
        title="perplexity of single sentences of news (Chelba et al. 2013)",
        licence="Apache-2.0 for the scripts; the news is WMT 2011's",
        source=BenchmarkSource(
            name="one_billion_words",
            # The dataset is a script, which `datasets` no longer runs; this revision is its conversion to parquet.
            hub=Hub(id="billion-word-benchmark/lm1b", revision="refs/convert/parquet", splits={"test": "test"}),
            releases=released(f"{_FOLDER}/news.en.heldout-00000-of-00050", read=read_column("text")),
        ),
        to_example=_to_example,
        protocols={"gpt2": rolling(*WORDS)},
    ),
)
