"""MRPC: whether two sentences from the news mean the same.

Paper: Dolan and Brockett 2005, "Automatically Constructing a Corpus of Sentential Paraphrases",
https://aclanthology.org/I05-5002; a task of GLUE, Wang et al. 2019, https://arxiv.org/abs/1804.07461.
Splits: test of the original corpus, 1,725 pairs (GLUE's hidden test, on which GPT-1 was scored), shots from its train
(4,076 pairs, GLUE's train and validation); from the hub GLUE's validation (408) and train (3,668).
A document is a pair, named by its position.

    document  {"sentence1": "Amrozi accused his brother, ...", "sentence2": "Referring to him as ...", "label": 1}
    prompt    Sentence 1: Amrozi accused his brother, whom he called "the witness", of deliberately ...
              Sentence 2: Referring to him as only "the witness", Amrozi accused his brother of ...
              Question: Do both sentences mean the same thing?
              Answer:
    target     yes
"""

from __future__ import annotations

from evalkit.data.formats import read_table
from evalkit.data.glue import glue
from evalkit.data.sources import released
from evalkit.harness.examples import sentence_pair
from evalkit.harness.task import Protocol, Task

_read = read_table({"Quality": "label", "#1 String": "sentence1", "#2 String": "sentence2"}, delimiter="\t")

_to_example = sentence_pair(
    "sentence1", "sentence2", task="say whether the two sentences mean the same", choices=("no", "yes")
)

TASKS = (
    Task(
        name="mrpc",
        family="classification",
        title="whether two sentences of the news say the same (Dolan and Brockett 2005)",
        licence="Microsoft Research's, for research",
        source=glue(
            "mrpc",
            releases=released(
                "glue/MRPC/msr_paraphrase_test.txt", shots="glue/MRPC/msr_paraphrase_train.txt", read=_read
            ),
        ),
        to_example=_to_example,
        protocols={
            "lm-eval": Protocol(
                kind="choice",
                query=(
                    "Sentence 1: {sentence1}\nSentence 2: {sentence2}\n"
                    "Question: Do both sentences mean the same thing?\nAnswer:"
                ),
                target=" {choice}",
                metrics=("acc", "label_f1"),
            )
        },
    ),
)
