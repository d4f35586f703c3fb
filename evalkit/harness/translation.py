"""What the translation benchmarks share: pairs of sentences in either direction, and the papers' prompts.

A row is {"translation": {"en": ..., "fr": ...}}, as on the hub.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evalkit.data.sources import Source
from evalkit.harness.task import Protocol, Task
from evalkit.text import normalize
from evalkit.types import Decoding, Document, Example

LANGUAGES: Mapping[str, str] = {"de": "German", "en": "English", "fr": "French", "ro": "Romanian"}


def direction(source: str, target: str) -> Callable[[Document], Example]:
    """Return the to_example of one direction, between languages by their codes."""

    def to_example(document: Document) -> Example:
        pair = document.row["translation"]
        return Example(
            task=f"translate {LANGUAGES[source]} to {LANGUAGES[target]}",
            input=pair[source].strip(),
            output=pair[target].strip(),
            parts={"from": LANGUAGES[source], "to": LANGUAGES[target]},
        )

    return to_example


def protocols(*, max_tokens: int) -> dict[str, Protocol]:
    """Return GPT-2's, GPT-3's and lm-evaluation-harness's prompts for a translation of at most `max_tokens`.

    gpt2: lines `source = target`, greedy; the first sentence counts (Radford et al. 2019, section 3.7).
    gpt3: the same form with 64 pairs and a beam search; the whole line counts. gpt3-zero: its question without pairs
    (Brown et al. 2020, appendix G). `bleu_intl` is the tokenisation of the paper's sacreBLEU.
    """
    line = Decoding(until=("\n",), max_tokens=max_tokens)
    beams = Decoding(until=("\n",), max_tokens=max_tokens, beams=4, length_penalty=0.6)
    return {
        "gpt2": Protocol(
            kind="generate",
            query="{input} =",
            separator="\n",
            metrics=("bleu", "chrf"),
            decoding=line,
            cleanup=normalize.first_sentence,
        ),
        "gpt3": Protocol(
            kind="generate",
            query="{input} =",
            separator="\n\n",
            metrics=("bleu_intl", "bleu", "chrf"),
            decoding=beams,
            paper_shots=64,
        ),
        "gpt3-zero": Protocol(
            kind="generate",
            query="Q: What is the {to} translation of {input} A:",
            separator="\n\n",
            metrics=("bleu_intl", "bleu", "chrf"),
            decoding=beams,
            paper_shots=0,
        ),
        "lm-eval": Protocol(
            kind="generate",
            query="{from} phrase: {input}\n{to} phrase:",
            separator="\n\n",
            metrics=("bleu", "chrf"),
            decoding=line,
        ),
    }


def task(name: str, title: str, *, licence: str, source: Source, languages: tuple[str, str], max_tokens: int) -> Task:
    """Return the task of translating from the first language to the second."""
    return Task(
        name=name,
        family="translation",
        title=title,
        licence=licence,
        languages=languages,
        source=source,
        to_example=direction(*languages),
        protocols=protocols(max_tokens=max_tokens),
        # The source sentence itself: its names and figures already match.
        baselines={"copy": lambda example, pool: example.input},
    )
