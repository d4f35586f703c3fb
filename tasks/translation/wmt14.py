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

from evalkit.data.formats import read_parallel
from evalkit.data.sources import BenchmarkSource, Hub, Release
from evalkit.harness import translation
from evalkit.harness.task import Task


def _release(year: int) -> Release:
    return Release(
        files=tuple(f"wmt14/newstest{year}.{ending}" for ending in ("eng", "fra")), read=read_parallel("en", "fr")
    )


_SOURCE = BenchmarkSource(
    name="wmt14",
    hub=Hub(id="wmt/wmt14", config="fr-en", splits={"test": "test", "shots": "validation"}),
    releases={"test": _release(2014), "shots": _release(2013)},
)


def _task(source: str, target: str, *, max_tokens: int) -> Task:
    names = translation.LANGUAGES
    return translation.task(
        f"wmt14_{source}_{target}",
        f"news sentences from {names[source]} to {names[target]} (WMT 2014)",
        source=_SOURCE,
        languages=(source, target),
        max_tokens=max_tokens,
    )


# With GPT-2's BPE no English reference is longer than 82 tokens; 8 French ones are longer than 128 (139 than 96).
# Query and answer must fit into 256 tokens together: the longest source has 82 (English) and 159 (French).
TASKS = (_task("fr", "en", max_tokens=96), _task("en", "fr", max_tokens=128))
