"""WMT 2016, German and Romanian with English: news sentences, translated from example pairs alone.

Paper: Bojar et al. 2016, "Findings of the 2016 Conference on Machine Translation", https://aclanthology.org/W16-2301.
Link: https://www.statmt.org/wmt16/translation-task.html.
Splits: newstest2016, 2,999 pairs of German and English and 1,999 of Romanian and English; shots from newstest2015
(2,169 pairs) for German and from newsdev2016 (1,999 pairs) for Romanian, the hub's validation splits.
A document is a pair, named by its position. The files are plain text, one sentence a line, one file a language.

    document  {"translation": {"en": "Obama receives Netanyahu", "de": "Obama empfängt Netanyahu"}}
    prompt    Obama empfängt Netanyahu =
    target     Obama receives Netanyahu
"""

from __future__ import annotations

from evalkit.data.formats import read_parallel
from evalkit.data.sources import BenchmarkSource, Hub, Release
from evalkit.harness import translation
from evalkit.harness.task import Task

_LICENCE = "the test sets may be used for research"

_ENDINGS = {"de": "deu", "ro": "ron"}


def _source(other: str, *, shots: str) -> BenchmarkSource:
    """Return the source of a language with English; shots: the name of the earlier set."""

    def release(name: str) -> Release:
        folder = f"wmt16/{_ENDINGS[other]}-eng"
        return Release(
            files=(f"{folder}/{name}.eng", f"{folder}/{name}.{_ENDINGS[other]}"), read=read_parallel("en", other)
        )

    return BenchmarkSource(
        name=f"wmt16_{other}_en",
        hub=Hub(id="wmt/wmt16", config=f"{other}-en", splits={"test": "test", "shots": "validation"}),
        releases={"test": release("newstest2016"), "shots": release(shots)},
    )


def _tasks(other: str, *, shots: str) -> tuple[Task, Task]:
    """Return both directions."""
    source = _source(other, shots=shots)
    name = translation.LANGUAGES[other]
    return (
        translation.task(
            f"wmt16_{other}_en",
            f"news sentences from {name} to English (WMT 2016)",
            licence=_LICENCE,
            source=source,
            languages=(other, "en"),
            max_tokens=96,
        ),
        translation.task(
            f"wmt16_en_{other}",
            f"news sentences from English to {name} (WMT 2016)",
            licence=_LICENCE,
            source=source,
            languages=("en", other),
            # German and Romanian take more of an English tokenizer's tokens.
            max_tokens=160,
        ),
    )


TASKS = (*_tasks("de", shots="newstest2015"), *_tasks("ro", shots="newsdev2016"))
