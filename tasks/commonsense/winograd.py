"""Winograd schemas: what a pronoun stands for, where one word decides and no grammar helps.

Paper: Levesque, Davis and Morgenstern 2012, "The Winograd Schema Challenge"; scored as Trinh & Le 2018 do,
https://arxiv.org/abs/1806.02847, which is what GPT-2 (section 3.4) and GPT-3 use.
Link: https://cs.nyu.edu/~davise/papers/WinogradSchemas/WS.html.
Splits: 273 schemas, no other split, so shots come from the schemas themselves (as in GPT-3). The cluster is the pair of
candidates, which the twins of a schema share.
`pdp`: the 60 pronoun disambiguation problems of the first challenge (Davis, Morgenstern and Ortiz 2017,
https://doi.org/10.1609/aimag.v38i4.2734), from children's books and essays, with two to five candidates.
`winograd` is partial scoring: the likelihood of what follows the pronoun, after each candidate.
`winograd_full` is full scoring: the likelihood of the whole sentence with each candidate. GPT-2 plots both.

    document  {"text": "The trophy doesn't fit into the brown suitcase because it is too large.", "pronoun": "it",
               "pronoun_loc": 54, "options": ["the trophy", "the suitcase"], "label": 0}
    prompt    The trophy doesn't fit into the brown suitcase because the trophy
    target     is too large.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.data.formats import read_problems
from evalkit.data.rows import choice_of, texts_of
from evalkit.data.sources import BenchmarkSource, Hub, Row, released
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_POSSESSIVE = {"his", "hers", "its", "their", "my", "your", "our", "her"}
_SMALL = {"The", "A", "An", "My", "His", "Her", "Its", "Their", "Our", "Your", "This", "That", "These", "Those"}


# The release hides that some pronouns were "his" or "her"; then what follows is one of these (the second part: of PDP).
_OWNED = frozenset(
    """
    arms back bassinet bathroom bishop boyfriend bunk chest concentration education empty legs place shoulders silence
    toy turn will

    approval berth boss crew everlasting favorite feet financial hair innate shoulder Sunday wing work
    """.split()
)


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Give the problems the hub's columns; [MASK] stands where the pronoun was."""
    for row in read_problems(paths):
        following = row["sentence"].partition(row["pronoun"])[2].split()
        owner = bool(following) and following[0].strip(".,") in _OWNED
        yield {
            "text": row["sentence"],
            "pronoun": row["pronoun"],
            "pronoun_loc": row["sentence"].index(row["pronoun"]),
            "options": [f"{name}'s" if owner else name for name in row["candidates"]],
            "label": row["label"],
        }


def _documents(row: Mapping[str, Any], index: int) -> Iterable[Document]:
    yield Document(id=str(index), row=row, cluster=" / ".join(sorted(option.lower() for option in row["options"])))


def _in_place(option: str, *, before: str, pronoun: str) -> str:
    """Write a candidate as it would stand in the sentence: lower case within it, possessive for "his"."""
    first = option.split()[0]
    if not before.strip() or before.rstrip().endswith((".", "!", "?", '."', '?"')):
        option = option[:1].upper() + option[1:]
    elif first in _SMALL:
        option = option[:1].lower() + option[1:]
    if pronoun.lower() in _POSSESSIVE and not option.endswith(("'s", "s'")):
        option += "'" if option.endswith("s") and pronoun.lower() == "their" else "'s"
    return option


def _to_example(document: Document) -> Example:
    row = document.row
    text, pronoun, place = row["text"], row["pronoun"], row["pronoun_loc"]
    if not pronoun or text[place : place + len(pronoun)] != pronoun:
        raise ValueError(f"expected the pronoun {pronoun!r} at character {place} of the text")
    before, after = " ".join(text[:place].split()), " ".join(text[place + len(pronoun) :].split())
    options = texts_of(row["options"], "options")
    choices = tuple(_in_place(option.strip(), before=before, pronoun=pronoun) for option in options)
    gold = choice_of(row["label"], choices)
    return choice_example(
        "say what the pronoun stands for",
        input=" ".join(text.split()),
        parts={
            "before": f"{before} " if before else "",
            # What is attached to the pronoun stays attached to the candidate: "'s", a full stop.
            "after": after if re.match(r"['’.,;:!?]", after) else f" {after}",
        },
        choices=choices,
        gold=gold,
    )


_SOURCE = BenchmarkSource(
    name="winograd",
    hub=Hub(id="ErnestSDavis/winograd_wsc", config="wsc273", splits={"test": "test"}),
    releases=released("wsc/wsc273.txt", read=_read),
)


_PDP = BenchmarkSource(
    name="pdp",
    hub=Hub(id="coref-data/davis_pdp_raw", config="davis_pdp", splits={"test": "test"}),
    releases=released("wsc/PDP.txt", read=_read),
)


def _task(name: str, title: str, protocols: Mapping[str, Protocol], *, source: BenchmarkSource = _SOURCE) -> Task:
    return Task(
        name=name,
        family="commonsense",
        title=title,
        licence="CC BY 4.0",
        source=source,
        documents=_documents,
        to_example=_to_example,
        protocols=protocols,
    )


_PARTIAL = Protocol(
    kind="choice",
    query="{before}{choice}",
    target="{after}",
    metrics=("acc", "acc_per_token"),
    paper_shots=7,
)

TASKS = (
    _task(
        "winograd",
        "what a pronoun stands for, partial scoring (Levesque et al. 2012)",
        {"gpt2": _PARTIAL, "gpt3": _PARTIAL},
    ),
    _task(
        "winograd_full",
        "what a pronoun stands for, full scoring (Levesque et al. 2012)",
        {"gpt2": Protocol(kind="choice", query="", target="{before}{choice}{after}", metrics=("acc", "acc_per_token"))},
    ),
    _task(
        "pdp",
        "what a pronoun in a story stands for, partial scoring (Davis et al. 2017)",
        {"gpt2": replace(_PARTIAL, paper_shots=None)},
        source=_PDP,
    ),
)
