"""WSC in SuperGLUE: whether a pronoun means a given noun.

Papers: Levesque, Davis and Morgenstern 2012, "The Winograd Schema Challenge"; in this form a part of SuperGLUE, Wang et
al. 2019, https://arxiv.org/abs/1905.00537.
Splits: validation, 104 items; shots from train (554) if it is there, otherwise from the scored split.
A document is a text with a pronoun and a noun, named by its position. GPT-3 had the noun written, with one fixed set
of shots, and does not say how a text whose noun is the wrong one was scored; that protocol is not here.

    document  {"text": "The trophy does not fit into the suitcase because it is too small.", "span1_text": "The
               trophy", "span1_index": 0, "span2_text": "it", "span2_index": 9, "label": 0, "idx": 0}
    prompt    Passage: The trophy does not fit into the suitcase because *it* is too small.
              Question: In the passage above, does the pronoun "*it*" refer to "*The trophy*"?
              Answer:
    target     no
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.data.glue import superglue
from evalkit.data.rows import choice_of
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

_CHOICES = ("no", "yes")
_GOLD = {False: 0, True: 1}  # 0 and 1 too, as the hub has them


def _to_example(document: Document) -> Example:
    row = document.row
    spans = row.get("target", row)  # the release has them in an object of their own
    passage, noun = _marked(row["text"], spans), spans["span1_text"].strip()
    gold = choice_of(row["label"], _CHOICES, names=_GOLD)
    return choice_example(
        "say whether the pronoun means the noun",
        input=f"{passage}\n{noun}",
        parts={"passage": passage, "noun": noun, "pronoun": spans["span2_text"].strip()},
        choices=_CHOICES,
        gold=gold,
    )


def _marked(text: str, spans: Mapping[str, Any]) -> str:
    """Put asterisks around the pronoun, which is found by its word index."""
    words, pronoun = text.split(), spans["span2_text"].split()
    start = spans["span2_index"]
    end = start + len(pronoun)
    words_there = " ".join(words[start:end])
    written = " ".join(pronoun)
    if not words_there.startswith(written):  # punctuation may follow it
        raise ValueError(f"expected {written!r} at word {start} of the text, found {words_there!r}")
    return " ".join((*words[:start], f"*{written}*{words_there[len(written) :]}", *words[end:]))


TASKS = (
    Task(
        name="wsc",
        family="commonsense",
        title="does a pronoun mean a noun (Levesque et al. 2012, SuperGLUE)",
        licence="CC BY 4.0",
        source=superglue("wsc", config="wsc.fixed", folder="WSC"),
        to_example=_to_example,
        protocols={
            "lm-eval": Protocol(
                kind="choice",
                query=(
                    "Passage: {passage}\n"
                    'Question: In the passage above, does the pronoun "*{pronoun}*" refer to "*{noun}*"?\nAnswer:'
                ),
                target=" {choice}",
                metrics=("acc",),
            )
        },
    ),
)
