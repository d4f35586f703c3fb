"""WMT 2014, French and English: news sentences, translated from example pairs alone.

Paper: Bojar et al. 2014, "Findings of the 2014 Workshop on Statistical Machine Translation",
https://aclanthology.org/W14-3302.
Licence: the test sets may be used for research.
Splits: newstest2014, 3,003 pairs; shots from newstest2013, 3,000 pairs (the hub's validation split).
A document is a pair, named by its position. As in GPT-2 (section 3.7) a prompt is lines `english = french`, decoding
is greedy and the first generated sentence counts; GPT-2 does not say how many pairs it gave.

    document  {"translation": {"en": "Spectacular Wingsuit Jump Over Bogota",
                               "fr": "Spectaculaire saut en \\"wingsuit\\" au-dessus de Bogota"}}
    prompt    Spectacular Wingsuit Jump Over Bogota =
    target     Spectaculaire saut en "wingsuit" au-dessus de Bogota
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from evalkit.errors import DataError
from evalkit.harness.sources import BenchmarkSource, Hub, Release, read_lines
from evalkit.harness.task import Protocol, Task
from evalkit.text import normalize
from evalkit.types import Decoding, Document, Example

_LANGUAGES = {"en": "English", "fr": "French"}


def _read(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Pair the lines of an English and a French file. Raises DataError where one ends before the other."""
    english, french = paths
    for en, fr in zip_longest(read_lines(english), read_lines(french)):
        if en is None or fr is None:
            short, number = (english, fr[0]) if en is None else (french, en[0])
            raise DataError(f"{short} ends before its line {number}: expected as many lines as in the other language")
        yield {"translation": {"en": en[1], "fr": fr[1]}}


def _direction(source: str, target: str) -> Callable[[Document], Example]:
    def to_example(document: Document) -> Example:
        pair = document.row["translation"]
        return Example(
            task=f"translate {_LANGUAGES[source]} to {_LANGUAGES[target]}",
            input=pair[source].strip(),
            output=pair[target].strip(),
        )

    return to_example


def _release(year: int) -> Release:
    return Release(files=tuple(f"wmt14/newstest{year}.{ending}" for ending in ("eng", "fra")), read=_read)


def _task(source: str, target: str, *, max_tokens: int) -> Task:
    return Task(
        name=f"wmt14_{source}_{target}",
        family="translation",
        title=f"news sentences from {_LANGUAGES[source]} to {_LANGUAGES[target]} (WMT 2014)",
        source=BenchmarkSource(
            name="wmt14",
            hub=Hub(id="wmt/wmt14", config="fr-en", splits={"test": "test", "shots": "validation"}),
            releases={"test": _release(2014), "shots": _release(2013)},
        ),
        to_example=_direction(source, target),
        protocols={
            "gpt2": Protocol(
                kind="generate",
                query="{input} =",
                separator="\n",
                metrics=("bleu", "chrf"),
                decoding=Decoding(until=("\n",), max_tokens=max_tokens),
                cleanup=normalize.first_sentence,
            )
        },
        # The source itself: names and figures alone already match.
        baselines={"copy": lambda example, pool: example.input},
    )


# With GPT-2's BPE no English reference is longer than 82 tokens; 8 French ones are longer than 128 (139 than 96).
# Query and answer must fit into 256 tokens together: the longest source has 82 (English) and 159 (French).
TASKS = (_task("fr", "en", max_tokens=96), _task("en", "fr", max_tokens=128))
