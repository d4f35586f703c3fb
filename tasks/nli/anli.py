"""ANLI: does one text follow from another, contradict it, or neither? The pairs were written to mislead models.

Paper: Nie et al. 2020, "Adversarial NLI: A New Benchmark for Natural Language Understanding",
https://arxiv.org/abs/1910.14599.
Splits: test of each round, 1,000, 1,000 and 1,200 pairs; shots from the round's train (16,946, 45,460 and 100,459)
if it is there, otherwise from the scored split.
A document is a pair, named by its uid. GPT-3 begins a prompt with the round's name, twice (appendix G).

    document  {"uid": "...", "premise": "...", "hypothesis": "...", "label": 1}; 0 follows, 1 neither, 2 contradicts
    prompt    anli 1: anli 1: Fulton James MacGregor MSP is a Scottish National Party (SNP) politician ...
              Question: Fulton James MacGregor is a Scottish politican who ... True, False, or Neither?
    target     Neither
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evalkit.data.sources import BenchmarkSource, Hub, Row, read_jsonl, released
from evalkit.harness.examples import sentence_pair
from evalkit.harness.task import Protocol, Task, document_per_row


def _read(paths: Sequence[Path]) -> Iterator[Row]:
    """Yield the rows of the release, whose premise is called context, with the hub's columns."""
    for row in read_jsonl(paths):
        yield {**row, "premise": row["context"]} if "context" in row else row


_to_example = sentence_pair(
    "premise",
    "hypothesis",
    task="say whether the second text is true, false or neither by the first",
    choices=("True", "Neither", "False"),
    # The hub numbers the labels; the release has their first letters.
    names=("e", "n", "c"),
)


def _protocols(round_: int) -> Mapping[str, Protocol]:
    return {
        "gpt3": Protocol(
            kind="choice",
            query=f"anli {round_}: anli {round_}: {{premise}}\nQuestion: {{hypothesis}} True, False, or Neither?",
            target=" {choice}",
            metrics=("acc", "acc_per_token"),
            shrink=("premise", "left"),
            paper_shots=50,
            templates={
                "claim": {"query": "{premise}\nClaim: {hypothesis}\nTrue, False, or Neither?"},
                "given": {"query": "Given: {premise}\nIs it True, False, or Neither that: {hypothesis}\nAnswer:"},
            },
        ),
        "lm-eval": Protocol(
            kind="choice",
            query="{premise}\nQuestion: {hypothesis} True, False, or Neither?\nAnswer:",
            target=" {choice}",
            metrics=("acc",),
            shrink=("premise", "left"),
        ),
    }


def _task(round_: int) -> Task:
    return Task(
        name=f"anli_r{round_}",
        family="nli",
        title=f"pairs of texts written to mislead, round {round_} (Nie et al. 2020)",
        licence="CC BY-NC 4.0",
        source=BenchmarkSource(
            name=f"anli_r{round_}",
            hub=Hub(id="facebook/anli", splits={"test": f"test_r{round_}", "shots": f"train_r{round_}"}),
            releases=released(f"anli_v1.0/R{round_}/test.jsonl", shots=f"anli_v1.0/R{round_}/train.jsonl", read=_read),
        ),
        to_example=_to_example,
        documents=document_per_row(id="uid"),
        protocols=_protocols(round_),
    )


TASKS = (_task(1), _task(2), _task(3))
