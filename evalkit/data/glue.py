"""Where the tasks of GLUE and SuperGLUE are: their configs on the hub and the folders of SuperGLUE's release.

Papers: Wang et al. 2019, https://arxiv.org/abs/1804.07461 (GLUE) and https://arxiv.org/abs/1905.00537 (SuperGLUE).
The labels of both test sets are hidden, so the validation split is scored, and shots come from train.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from evalkit.data.readers import Row, read_jsonl
from evalkit.data.sources import BenchmarkSource, Hub, Release, Split, released


def glue(
    name: str, *, config: str = "", validation: str = "validation", releases: Mapping[Split, Release] | None = None
) -> BenchmarkSource:
    """Return the source of a task of GLUE; config: its name on the hub where that is another one."""
    hub = Hub(id="nyu-mll/glue", config=config or name, splits={"test": validation, "shots": "train"})
    return BenchmarkSource(name=name, hub=hub, releases=releases or {})


def superglue(
    name: str,
    *,
    folder: str,
    config: str = "",
    read: Callable[[Sequence[Path]], Iterator[Row]] = read_jsonl,
    samples: Mapping[Split, Release] | None = None,
    prepare: Callable[[Iterable[Row]], Iterator[Row]] = iter,
) -> BenchmarkSource:
    """Return the source of a task of SuperGLUE; folder: its name in the release; the rest as in BenchmarkSource."""
    return BenchmarkSource(
        name=name,
        hub=Hub(id="aps/super_glue", config=config or name, splits={"test": "validation", "shots": "train"}),
        releases=released(f"superglue/{folder}/val.jsonl", shots=f"superglue/{folder}/train.jsonl", read=read),
        samples=samples or {},
        prepare=prepare,
    )
