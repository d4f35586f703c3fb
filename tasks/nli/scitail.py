"""SciTail: whether a claim made from a school science question follows from a sentence of the web.

Paper: Khot, Sabharwal and Clark 2018, "SciTail: A Textual Entailment Dataset from Science Question Answering",
https://doi.org/10.1609/aaai.v32i1.12022.
Splits: test, 2,126 pairs; shots from train (23,596). A folder nli/scitail with dev.txt and test.txt (premise,
hypothesis and 0 follows or 1 does not, separated by tabs) is read too: shots are then from dev, 1,304 pairs.
A document is a pair, named by its position.

    document  {"premise": "Based on the list provided of the uses of substances ...",
               "hypothesis": "If a substance has a ph value greater than 7, that indicates that it is base.",
               "label": "neutral"}
    prompt    Based on the list provided of the uses of substances ...
              Question: If a substance has a ph value greater than 7, that indicates that it is base. True or False?
              Answer:
    target     False
"""

from __future__ import annotations

from evalkit.data.formats import read_table
from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.examples import sentence_pair
from evalkit.harness.task import Protocol, Task

_read = read_table(("premise", "hypothesis", "label"), delimiter="\t")

_to_example = sentence_pair(
    "premise",
    "hypothesis",
    task="say whether the second sentence follows from the first",
    choices=("True", "False"),
    # The release names the labels; the sample numbers them.
    names=("entails", "neutral"),
)

TASKS = (
    Task(
        name="scitail",
        family="nli",
        title="whether a claim of science follows from a sentence (Khot et al. 2018)",
        licence="Apache-2.0",
        source=BenchmarkSource(
            name="scitail",
            hub=Hub(id="allenai/scitail", config="tsv_format", splits={"test": "test", "shots": "train"}),
            releases=released(
                "SciTailV1.1/tsv_format/scitail_1.0_test.tsv",
                shots="SciTailV1.1/tsv_format/scitail_1.0_train.tsv",
                read=_read,
            ),
            samples=released("nli/scitail/test.txt", shots="nli/scitail/dev.txt", read=_read),
        ),
        to_example=_to_example,
        protocols={
            "plain": Protocol(
                kind="choice",
                query="{premise}\nQuestion: {hypothesis} True or False?\nAnswer:",
                target=" {choice}",
                metrics=("acc",),
            )
        },
    ),
)
