"""LAMBADA: the last word of a passage, which people can only guess from the whole passage.

Paper: Paperno et al. 2016, "The LAMBADA dataset: Word prediction requiring a broad discourse context",
https://arxiv.org/abs/1606.06031. The text is OpenAI's: raw, not tokenised and not lower-cased (GPT-2, section 3.3).
Splits: 5,153 test passages. No other split has the raw text, so shots come from the test passages themselves.
A document is named by its position in the file, which is the same in the release and on the hub.
GPT-3 (section 3.1.2) asks with examples for the word that fills a blank; without examples it takes the passage as it
is, which is this task's `gpt2`.
GPT-2's stop-word filter (section 3.3: accuracy 52.66 -> 63.24 for 1542M) is the task lambada_filtered: of the words
that may follow, the likeliest counts that is no stop word. The paper does not give its list; here it is ours
(evalkit.text.stopwords). The 41 last words attached to punctuation ("“Sarah") cannot be found this way.

    document  {"text": "In my palm is a clear stone, ... curved in a confident grin, I don't care about signs"}
    prompt    In my palm is a clear stone, ... curved in a confident grin, I don't care about
    target     signs
"""

from __future__ import annotations

from evalkit.data.sources import BenchmarkSource, Hub, released
from evalkit.harness.task import Protocol, Task
from evalkit.text import stopwords
from evalkit.types import Decoding, Document, Example

_LICENCE = "CC BY 4.0"

_SOURCE = BenchmarkSource(
    name="lambada",
    hub=Hub(id="EleutherAI/lambada_openai", config="default", splits={"test": "test"}),
    releases=released("lambada/lambada_test.jsonl"),
)


def _to_example(document: Document) -> Example:
    """Split at the last space; the word keeps any punctuation attached to it."""
    context, blank, word = document.row["text"].rpartition(" ")
    if not (blank and word):
        raise ValueError("expected a text of two words or more, without a space at its end")
    return Example(task="complete the passage with its last word", input=context, output=word)


TASKS = (
    Task(
        name="lambada",
        family="lm",
        title="the last word of a passage, guessable only from the whole (Paperno et al. 2016)",
        licence=_LICENCE,
        source=_SOURCE,
        to_example=_to_example,
        protocols={
            "gpt2": Protocol(kind="loglikelihood", query="{input}", metrics=("acc", "ppl"), paper_shots=0),
            "gpt3": Protocol(
                kind="loglikelihood",
                description="Fill in blank:",
                query="{input} ____. ->",
                metrics=("acc", "ppl"),
                paper_shots=15,
            ),
            "lm-eval": Protocol(kind="loglikelihood", query="{input}", metrics=("ppl", "acc")),
        },
    ),
    Task(
        name="lambada_filtered",
        family="lm",
        title="the last word of a passage, the likeliest that is no stop word (Radford et al. 2019)",
        licence=_LICENCE,
        source=_SOURCE,
        to_example=_to_example,
        protocols={
            "gpt2": Protocol(
                kind="generate",
                query="{input}",
                metrics=("verbatim_match",),
                decoding=Decoding(until=(), avoid=stopwords.ENGLISH, beams=16, max_tokens=8),
                paper_shots=0,
            ),
        },
    ),
)
