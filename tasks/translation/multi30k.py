"""Multi30k: captions of pictures in English and French; short, plain sentences.

Papers: Elliott et al. 2016, "Multi30K: Multilingual English-German Image Descriptions",
https://aclanthology.org/W16-3210; the French is Elliott et al.'s 2017, https://aclanthology.org/W17-4718.
Link: https://github.com/multi30k/dataset.
Splits: test 2016 (Flickr), 1,000 pairs; shots from the training captions, 29,000 pairs.
A document is a pair, named by its position. No paper of the GPT line used it: the protocols are those of its
translation benchmarks, on sentences that a small model can read.

    document  {"translation": {"en": "A man in an orange hat starring at something.",
                               "fr": "Un homme avec un chapeau orange regardant quelque chose."}}
    prompt    A man in an orange hat starring at something. =
    target     Un homme avec un chapeau orange regardant quelque chose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from evalkit.data.formats import read_parallel
from evalkit.data.sources import BenchmarkSource, Hub, Release, Row
from evalkit.harness import translation

_LICENCE = "CC BY-NC-SA for the captions"


def _paired(rows: Iterable[Row]) -> Iterator[Row]:
    """Give the hub's rows, which have a column a language, the form of the other benchmarks."""
    for row in rows:
        yield row if "translation" in row else {"translation": {"en": row["en"], "fr": row["fr"]}}


def _release(name: str) -> Release:
    return Release(files=(f"multi30k/{name}.en", f"multi30k/{name}.fr"), read=read_parallel("en", "fr"))


_SOURCE = BenchmarkSource(
    name="multi30k",
    hub=Hub(id="romrawinjp/multi30k", splits={"test": "test", "shots": "train"}),
    releases={"test": _release("test_2016_flickr"), "shots": _release("train")},
    prepare=_paired,
)

TASKS = (
    translation.task(
        "multi30k_fr_en",
        "captions of pictures from French to English (Elliott et al. 2017)",
        licence=_LICENCE,
        source=_SOURCE,
        languages=("fr", "en"),
        max_tokens=64,
    ),
    translation.task(
        "multi30k_en_fr",
        "captions of pictures from English to French (Elliott et al. 2017)",
        licence=_LICENCE,
        source=_SOURCE,
        languages=("en", "fr"),
        max_tokens=96,
    ),
)
