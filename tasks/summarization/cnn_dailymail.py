"""CNN/Daily Mail: the highlights of a news article, asked for with "TL;DR:".

Papers: Hermann et al. 2015, "Teaching Machines to Read and Comprehend", https://arxiv.org/abs/1506.03340; Nallapati
et al. 2016, https://arxiv.org/abs/1602.06023; the text with names is See et al.'s 2017, https://arxiv.org/abs/1704.04368.
Splits: test, 11,490 articles on the hub; shots from its validation split (train is too large to draw a few from). The
file cnndm_test_198.jsonl holds the 198 test articles that carry human ratings; they are tokenised and half of them
lower-cased. As in GPT-2 (section 3.6): 100 tokens, each sampled among the two likeliest, of which the first three
sentences count. The control `no_hint` is the same without "TL;DR:", whose loss in ROUGE GPT-2 reports; the baselines
lead3 and random3 are the article's first three sentences, and three drawn at random.

    document  {"id": "18a3", "article": "Roma ended their four-month winless streak at home ...",
               "highlights": "Roma win at home for the first time since November . ..."}
    prompt    Roma ended their four-month winless streak at home ...
              TL;DR:
    target     Roma win at home for the first time since November . ...
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.files import digest
from evalkit.harness.task import Protocol, Task
from evalkit.text import normalize
from evalkit.text.sentences import split_sentences
from evalkit.types import Decoding, Document, Example


def _to_example(document: Document) -> Example:
    article, highlights = document.row["article"].strip(), document.row["highlights"].strip()
    return Example(
        task="summarize the article", input=article, output=highlights, parts={"article": article, "hint": "\nTL;DR:"}
    )


def _without_hint(example: Example) -> Example:
    return replace(example, parts={**example.parts, "hint": "\n"})


def _first_three(text: str) -> str:
    return normalize.first_sentences(text, 3)


def _lead(example: Example, pool: Sequence[Example]) -> str:
    return _first_three(example.parts["article"])


def _random(example: Example, pool: Sequence[Example]) -> str:
    """Three sentences of the article in their order, the same ones on every machine: the article is the seed."""
    article = example.parts["article"]
    sentences = split_sentences(article)
    places = random.Random(digest(article)).sample(range(len(sentences)), min(3, len(sentences)))
    return " ".join(sentences[place] for place in sorted(places))


TASKS = (
    Task(
        name="cnn_dailymail",
        family="summarization",
        title="highlights of news articles (See et al. 2017)",
        licence="Apache-2.0 for the hub's dataset; the articles belong to CNN and the Daily Mail",
        source=BenchmarkSource(
            name="cnn_dailymail",
            hub=Hub(id="abisee/cnn_dailymail", config="3.0.0", splits={"test": "test", "shots": "validation"}),
            releases=released("cnn_dailymail/cnndm_test_198.jsonl"),
        ),
        to_example=_to_example,
        protocols={
            "gpt2": Protocol(
                kind="generate",
                query="{article}{hint}",
                metrics=("rouge1", "rouge2", "rougeLsum", "rougeL"),
                decoding=Decoding(until=(), max_tokens=100, top_k=2),
                cleanup=_first_three,
                shrink=("article", "right"),  # news is told from the top: the lead carries the summary
            )
        },
        baselines={"lead3": _lead, "random3": _random},
        controls={"no_hint": _without_hint},
    ),
)
