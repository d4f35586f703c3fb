"""XSum: a BBC article in one sentence, which stood above it as its introduction.

Paper: Narayan, Cohen and Lapata 2018, "Don't Give Me the Details, Just the Summary!",
https://arxiv.org/abs/1808.08745.
Link: https://github.com/EdinburghNLP/XSum.
Splits: test, 11,334 articles on the hub; shots from its validation split. The file xsum_test_1000.jsonl holds 1,000
test articles. The article is asked for with GPT-2's "TL;DR:"; the first sentence counts.

    document  {"document": "Prison Link Cymru had 1,099 referrals in 2015-16 ...", "id": "35232142",
               "summary": "There is a \"chronic\" need for more housing for prison leavers in Wales, ..."}
    prompt    Prison Link Cymru had 1,099 referrals in 2015-16 ...
              TL;DR:
    target     There is a "chronic" need for more housing for prison leavers in Wales, ...
"""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.task import Protocol, Task
from evalkit.text import normalize
from evalkit.types import Decoding, Document, Example


def _to_example(document: Document) -> Example:
    article, summary = document.row["document"].strip(), document.row["summary"].strip()
    return Example(task="summarize the article", input=article, output=summary, parts={"article": article})


def _lead(example: Example, pool: Sequence[Example]) -> str:
    return normalize.first_sentence(example.parts["article"])


TASKS = (
    Task(
        name="xsum",
        family="summarization",
        title="a news article in one sentence (Narayan et al. 2018)",
        licence="the articles are the BBC's",
        source=BenchmarkSource(
            name="xsum",
            hub=Hub(id="EdinburghNLP/xsum", splits={"test": "test", "shots": "validation"}),
            releases=released("xsum/xsum_test_1000.jsonl"),
        ),
        to_example=_to_example,
        protocols={
            "plain": Protocol(
                kind="generate",
                query="{article}\nTL;DR:",
                metrics=("rouge1", "rouge2", "rougeL", "rougeLsum"),
                decoding=Decoding(until=("\n",), max_tokens=64),
                cleanup=normalize.first_sentence,
                shrink=("article", "right"),  # the lead carries the summary
            )
        },
        baselines={"lead1": _lead},
    ),
)
