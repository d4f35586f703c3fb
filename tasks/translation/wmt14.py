"""WMT 2014, French and German with English: news sentences, translated from example pairs alone.

Paper: Bojar et al. 2014, "Findings of the 2014 Workshop on Statistical Machine Translation",
https://aclanthology.org/W14-3302.
Link: https://www.statmt.org/wmt14/translation-task.html.
Splits: newstest2014, 3,003 pairs; shots from newstest2013, 3,000 pairs (the hub's validation split). The English of
2014 is not the same for both languages, so German has a folder of its own.
A document is a pair, named by its position. As in GPT-2 (section 3.7) a prompt is lines `english = french`, decoding
is greedy and the first generated sentence counts; GPT-2 does not say how many pairs it gave.

    document  {"translation": {"en": "Spectacular Wingsuit Jump Over Bogota",
                               "fr": "Spectaculaire saut en \\"wingsuit\\" au-dessus de Bogota"}}
    prompt    Spectacular Wingsuit Jump Over Bogota =
    target     Spectaculaire saut en "wingsuit" au-dessus de Bogota
"""

from __future__ import annotations

from evalkit.data.formats import read_parallel
from evalkit.data.sources import BenchmarkSource, Hub, Release
from evalkit.harness import translation
from evalkit.harness.task import Task


def _source(name: str, other: str, *, folder: str, ending: str) -> BenchmarkSource:
    """Return the source of a language with English. ending: of its files' names."""

    def release(year: int) -> Release:
        files = (f"{folder}/newstest{year}.eng", f"{folder}/newstest{year}.{ending}")
        return Release(files=files, read=read_parallel("en", other))

    return BenchmarkSource(
        name=name,
        hub=Hub(id="wmt/wmt14", config=f"{other}-en", splits={"test": "test", "shots": "validation"}),
        releases={"test": release(2014), "shots": release(2013)},
    )


_FRENCH = _source("wmt14", "fr", folder="wmt14", ending="fra")
_GERMAN = _source("wmt14_de_en", "de", folder="wmt14/deu-eng", ending="deu")


def _task(data: BenchmarkSource, source: str, target: str, *, max_tokens: int) -> Task:
    names = translation.LANGUAGES
    return translation.task(
        f"wmt14_{source}_{target}",
        f"news sentences from {names[source]} to {names[target]} (WMT 2014)",
        licence="the test sets may be used for research",
        source=data,
        languages=(source, target),
        max_tokens=max_tokens,
    )


# With GPT-2's BPE no English reference is longer than 82 tokens; 8 French ones are longer than 128 (139 than 96).
# Query and answer must fit into 256 tokens together: the longest source has 82 (English) and 159 (French).
# German takes more of an English tokenizer's tokens than French.
TASKS = (
    _task(_FRENCH, "fr", "en", max_tokens=96),
    _task(_FRENCH, "en", "fr", max_tokens=128),
    _task(_GERMAN, "de", "en", max_tokens=96),
    _task(_GERMAN, "en", "de", max_tokens=160),
)
