"""COPA: which of two sentences is the cause, or the effect, of a third.

Paper: Roemmele, Bejan and Gordon 2011, "Choice of Plausible Alternatives",
https://people.ict.usc.edu/~gordon/copa.html; here as a part of SuperGLUE, Wang et al. 2019,
https://arxiv.org/abs/1905.00537.
Splits: validation, 100 premises; shots from train (400) if it is there, otherwise from the scored split.
A document is a premise, named by its position. The premise loses its full stop, the options their capital
(unless it is "I"); GPT-3 joins them with "because" or "so", lm-evaluation-harness with "because" or "therefore".

    document  {"premise": "The man turned on the faucet.", "choice1": "The toilet filled with water.", "choice2":
               "Water flowed from the spout.", "question": "effect", "idx": 0, "label": 1}
    prompt    The man turned on the faucet so
    target     water flowed from the spout.
"""

from __future__ import annotations

from evalkit.data.glue import superglue
from evalkit.data.rows import choice_of
from evalkit.data.sources import released
from evalkit.harness.examples import choice_example
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example

# For each question: GPT-3's word, lm-evaluation-harness's word, and two natural wordings.
_LINKS = {
    "cause": ("because", "because", "What was the cause of this?", "This happened because"),
    "effect": ("so", "therefore", "What happened as a result?", "As a consequence,"),
}


def _to_example(document: Document) -> Example:
    row = document.row
    premise = row["premise"].strip()
    choices = tuple(_inside(row[name].strip()) for name in ("choice1", "choice2"))
    gold = choice_of(row["label"], choices)
    link, other_link, question, opening = _LINKS[row["question"]]
    return choice_example(
        f"choose the {row['question']}",
        input=f"{premise} {link}",
        parts={
            "premise": premise,
            "open_premise": premise.removesuffix("."),
            "link": link,
            "other_link": other_link,
            "asked": question,
            "opening": opening,
        },
        choices=choices,
        gold=gold,
    )


def _inside(sentence: str) -> str:
    """Write a sentence as it would stand within another."""
    return sentence if sentence.startswith(("I ", "I'")) else sentence[:1].lower() + sentence[1:]


TASKS = (
    Task(
        name="copa",
        family="commonsense",
        title="the likelier cause or effect of two (Roemmele et al. 2011, SuperGLUE)",
        licence="BSD 2-clause",
        source=superglue("copa", folder="COPA", samples=released("superglue/copa-validation.jsonl")),
        to_example=_to_example,
        protocols={
            "gpt3": Protocol(
                kind="choice",
                query="{open_premise} {link}",
                target=" {choice}",
                metrics=("acc_per_token", "acc", "acc_per_char", "acc_per_byte"),
                paper_shots=32,
                templates={
                    "question": {"query": "{premise}\n{asked}\nAnswer:"},
                    "two_sentences": {"query": "{premise} {opening}"},
                },
            ),
            "lm-eval": Protocol(
                kind="choice",
                query="{open_premise} {other_link}",
                target=" {choice}",
                metrics=("acc",),
            ),
        },
    ),
)
