"""Speed and memory of comparisons: `pytest tests/benchmarks/test_compare.py --benchmark-only`.

The peak of memory stands in the benchmark's extra info (`--benchmark-json FILE`).
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit import __version__, metrics
from evalkit.comparison.baseline import read
from evalkit.comparison.comparison import Settings, compare
from evalkit.metrics.base import Array

Benchmark = Callable[..., Any]

# A mix as in a real suite, and one without any 0/1 metric, which is the slowest there is.
MIXED = ["acc"] * 9 + ["exact_match"] * 3 + ["f1"] * 3 + ["rougeL", "bleu", "bleu", "ppl", "ppl_word"]
GRADED = ["ppl"] * 20
DOCUMENTS = 10_000


def statistics(name: str, rng: np.random.Generator) -> Array:
    """Draw statistics as the metric would give them."""
    if metrics.get(name).binary:
        return (rng.random((DOCUMENTS, 1)) < 0.6).astype(float)
    if name == "bleu":
        words = rng.integers(8, 45, size=DOCUMENTS)
        totals = np.stack([words - order for order in range(4)], axis=1)
        return np.column_stack([words, words + 1, rng.binomial(totals, [0.6, 0.35, 0.2, 0.1]), totals]).astype(float)
    if name == "ppl_word":
        return np.column_stack([-rng.gamma(9, 20, size=DOCUMENTS), np.full(DOCUMENTS, 40.0)])
    if name == "ppl":
        return -rng.gamma(1, 3, size=(DOCUMENTS, 1))
    return (rng.binomial(20, 0.4, size=(DOCUMENTS, 1)) * 2 / rng.integers(25, 45, size=(DOCUMENTS, 1))).clip(0, 1)


def write_run(folder: Path, names: list[str], *, seed: int) -> Path:
    """Write a run folder of made-up records, prompts of 400 characters included."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    model = {"model": f"made-up-{seed}", "hash": f"{seed:016x}", "dtype": "float32"}
    tasks = {f"task{i:02}": {"documents": DOCUMENTS, "metrics": [name]} for i, name in enumerate(names)}
    rows = []
    with (folder / "records.jsonl").open("w") as file:
        for i, name in enumerate(names):
            about = {"task": f"task{i:02}", "metric": name, "family": "qa", "protocol": "plain", "shots": 0}
            signature = (
                f"task:task{i:02}.v1|protocol:plain|data:0|evalkit:{__version__}|{metrics.get(name).signature()}"
            )
            figures = {"value": 0.0, "low": 0.0, "high": 0.0, "n": DOCUMENTS, "failed": 0, "truncated": 0}
            rows.append({**about, **figures, "model": model["model"], "source": "model", "level": "", "chance": None})
            rows[-1]["signature"] = signature
            cell = {"task": f"task{i:02}", "protocol": "plain", "shots": 0, "seed": 1, "variant": ""}
            prompt = {"contexts": ["x" * 400], "shots": 0, "dropped": 0, "cut": 0}
            response = {"loglikelihood": -1.25, "is_greedy": False, "tokens": 3, "text": "", "error": ""}
            for j, row in enumerate(statistics(name, rng).tolist()):
                record = {"cell": cell, "doc_id": f"doc{j}", "cluster": "", "level": "", "prompt": prompt}
                record |= {"continuations": [" yes"], "responses": [response], "gold": "yes", "prediction": "yes"}
                record |= {"scores": {name: row}, "baselines": {}, "chance": {}, "error": ""}
                file.write(json.dumps(record) + "\n")
    settings = {"evalkit": __version__, "model": model, "tasks": tasks}
    (folder / "manifest.json").write_text(json.dumps({"settings": settings, "timing": {}}))
    (folder / "results.json").write_text(json.dumps({"settings": settings, "results": rows}))
    return folder


@pytest.mark.parametrize("names", [MIXED, GRADED], ids=["mixed", "graded"])
def test_twenty_tasks_of_ten_thousand_documents(benchmark: Benchmark, tmp_path: Path, names: list[str]) -> None:
    """From the files to the verdicts, 10,000 resamples."""
    base, new = (write_run(tmp_path / str(seed), names, seed=seed) for seed in (0, 1))
    found, _ = benchmark.pedantic(lambda: compare(read(base), read(new), Settings()), rounds=1)
    benchmark.extra_info["peak_MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"peak memory of the process: {benchmark.extra_info['peak_MB']} MB")
    assert len(found.findings) == 20 and all(f.documents == DOCUMENTS for f in found.findings)
