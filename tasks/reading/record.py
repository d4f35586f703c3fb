"""ReCoRD: the entity that is missing from a sentence about a piece of news.

Paper: Zhang et al. 2018, "ReCoRD: Bridging the Gap between Human and Machine Commonsense Reading Comprehension",
https://arxiv.org/abs/1810.12885; here as a part of SuperGLUE (Wang et al. 2019).
Splits: validation, 10,000 sentences; shots from train (100,730) if it is there, otherwise from the scored split.
A document is a sentence, named PASSAGE_QUERY; those on a passage are one cluster. Every entity of the passage is put
into the sentence in turn, and the filled sentence of the highest mean token log-probability is the answer.

    document  {"passage": "(CNN) ... \n@highlight\nthe highlights ...", "query": "... like @placeholder ...",
               "entities": ["CNN", ...], "answers": ["Netanyahu"], "idx": {"passage": 0, "query": 0}}
    prompt    (CNN) Yuval Rabin, whose father, Yitzhak Rabin, was assassinated while serving as Prime Minister ...

              - Yuval Rabin says ...
    target    - Referring to his father, he said ... Netanyahu ...
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.data.formats import read_records
from evalkit.data.glue import superglue
from evalkit.data.rows import texts_of
from evalkit.data.sources import Row
from evalkit.errors import LabelError
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_HIGHLIGHT = "@highlight"
_PLACEHOLDER = "@placeholder"


def _sentences(line: Mapping[str, Any]) -> Iterable[Row]:
    """Yield one row per sentence with the hub's columns, of a passage in SuperGLUE's release."""
    text = line["passage"]["text"]
    for sentence in line["qas"]:
        yield {
            "passage": text,
            "query": sentence["query"],
            "entities": [text[span["start"] : span["end"] + 1] for span in line["passage"]["entities"]],
            "answers": [answer["text"] for answer in sentence["answers"]],
            "idx": {"passage": line["idx"], "query": sentence["idx"]},
        }


_read = read_records(
    _sentences, expected="idx, a passage with text and entities, and qas, each with idx, query and answers"
)


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    place = row["idx"]
    yield Document(id=f"{place['passage']}_{place['query']}", row=row, cluster=str(place["passage"]))


def _to_example(document: Document) -> Example:
    row = document.row
    passage, *highlights = (part.strip() for part in row["passage"].split(_HIGHLIGHT))
    before, placeholder, after = row["query"].strip().partition(_PLACEHOLDER)
    if not placeholder:
        raise ValueError(f"expected {_PLACEHOLDER} in the column 'query'")
    choices = tuple(dict.fromkeys(text.strip() for text in texts_of(row["entities"], "entities")))
    answers = tuple(dict.fromkeys(text.strip() for text in texts_of(row["answers"], "answers")))
    gold = next((i for i, choice in enumerate(choices) if choice in answers), None)
    if gold is None:
        raise LabelError(f"none of the answers {list(answers)!r:.60} is one of its {len(choices)} choices")
    return Example(
        task="fill in the entity that is missing from the sentence",
        input="\n".join((passage, *highlights, row["query"].strip())),
        output=choices[gold],
        parts={
            "passage": passage,
            "highlights": "".join(f"\n- {text}" for text in highlights),
            "before": before,
            "after": after,
        },
        choices=choices,
        gold=gold,
        references=answers,
    )


TASKS = (
    Task(
        name="record",
        family="reading",
        title="the entity missing from a sentence about news (Zhang et al. 2018)",
        licence="the authors' own, for research; the news are CNN's and the Daily Mail's",
        source=superglue("record", folder="ReCoRD", read=_read),
        to_example=_to_example,
        documents=_documents,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query="{passage}\n{highlights}",
                target="\n- {before}{choice}{after}",
                metrics=("record_em", "record_f1"),
                shrink=("passage", "left"),
                paper_shots=32,
            )
        },
    ),
)
