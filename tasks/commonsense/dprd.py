"""Definite pronoun resolution: what a pronoun stands for, in twin sentences written by students.

Paper: Rahman and Ng 2012, "Resolving Complex Cases of Definite Pronouns: The Winograd Schema Challenge",
https://aclanthology.org/D12-1071.
Link: https://www.hlt.utdallas.edu/~vince/data/emnlp12.
Splits: test, 564 sentences; shots from train, 1,322. A document is a sentence, named by its position; the cluster is
the pair of candidates, which twins share.
As in GPT-1 (section 5) each candidate is put in the pronoun's place, and the higher mean log-probability of a token of
the rest of the sentence decides. The release names the pronoun but not its place: it is the first one after both
candidates, else the last.

    document  {"sentence": "The bird ate the pie and it died.", "pronoun": "it", "candidates": ["The bird", "the pie"],
               "label": 0}
    prompt    The bird ate the pie and the bird
    target     died.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.data.formats import read_problems
from evalkit.data.rows import choice_of, texts_of
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_ARTICLE = re.compile(r"(?:The|A|An|His|Her|Its|Their|My|Our|Your)\b")


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=str(index), row=row, cluster=" / ".join(sorted(name.lower() for name in row["candidates"])))


def _place(sentence: str, pronoun: str, candidates: Iterable[str]) -> tuple[int, int]:
    """Return where the pronoun stands."""
    spans = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(pronoun)}(?!\w)", sentence, re.IGNORECASE)]
    if not spans:
        raise ValueError(f"expected the pronoun {pronoun!r} in the sentence")
    last_candidate = max(sentence.lower().find(candidate.lower()) for candidate in candidates)
    return next((span for span in spans if span[0] > last_candidate), spans[-1])


def _to_example(document: Document) -> Example:
    row = document.row
    sentence = " ".join(row["sentence"].split())
    candidates = [candidate.strip() for candidate in texts_of(row["candidates"], "candidates")]
    start, stop = _place(sentence, row["pronoun"].strip(), candidates)
    before = sentence[:start]
    inner = before.strip() and not before.rstrip().endswith((".", "!", "?"))
    choices = tuple(
        c[:1].lower() + c[1:] if inner and _ARTICLE.match(c) else c if inner else c[:1].upper() + c[1:]
        for c in candidates
    )
    after = sentence[stop:]
    gold = choice_of(row["label"], choices)
    return choice_example(
        "say what the pronoun stands for",
        input=sentence,
        # In the masked form of this data a space separates the mask from the full stop.
        parts={"before": before, "after": re.sub(r"^ (?=[.,;:!?'’])", "", after)},
        choices=choices,
        gold=gold,
    )


TASKS = (
    Task(
        name="dprd",
        family="commonsense",
        title="what a pronoun stands for, sentences by students (Rahman and Ng 2012)",
        source=BenchmarkSource(
            name="dprd",
            hub=Hub(
                id="community-datasets/definite_pronoun_resolution",
                config="plain_text",
                splits={"test": "test", "shots": "train"},
            ),
            releases=released("dprd/test.c.txt", shots="dprd/train.c.txt", read=read_problems),
        ),
        documents=_documents,
        to_example=_to_example,
        protocols={
            "gpt1": Protocol(
                kind="choice", query="{before}{choice}", target="{after}", metrics=("acc_per_token", "acc")
            )
        },
    ),
)
