"""LAMBADA: guess the last word of a passage, which people can only guess from the whole of it.

Paper: Paperno et al. 2016, "The LAMBADA dataset: Word prediction requiring a broad discourse context",
https://arxiv.org/abs/1606.06031. The text is OpenAI's: raw, not tokenised and not lower-cased (GPT-2, section 3.3).
Licence: CC BY 4.0.
Splits: 5,153 test passages. No other split has the raw text, so shots come from the test passages themselves.
A document is named by its position in the file, which is the same in the release and on the hub.

    document  {"text": "In my palm is a clear stone, ... curved in a confident grin, I don't care about signs"}
    prompt    In my palm is a clear stone, ... curved in a confident grin, I don't care about
    target     signs
"""

from __future__ import annotations

from evalkit.harness.sources import BenchmarkSource, Hub, Release, read_jsonl
from evalkit.harness.task import Protocol, Task
from evalkit.types import Document, Example


def _to_example(document: Document) -> Example:
    """Split at the last blank; the word keeps whatever sign touches it."""
    context, blank, word = document.row["text"].rpartition(" ")
    if not (blank and word):
        raise ValueError("expected a text of two words or more, without a blank at its end")
    return Example(task="complete the passage with its last word", input=context, output=word)


TASKS = (
    Task(
        name="lambada",
        family="lm",
        title="the last word of a passage, guessable only from the whole (Paperno et al. 2016)",
        source=BenchmarkSource(
            name="lambada",
            hub=Hub(id="EleutherAI/lambada_openai", config="default", splits={"test": "test"}),
            releases={"test": Release(files=("lambada/lambada_test.jsonl",), read=read_jsonl)},
        ),
        to_example=_to_example,
        protocols={"gpt2": Protocol(kind="loglikelihood", query="{input}", metrics=("acc", "ppl"))},
    ),
)
