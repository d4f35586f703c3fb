"""Lines of the engine beside lm-evaluation-harness, in processes of their own, that answer in turn."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from evalkit.tokenizer import Tokenizer
from tests.benchmarks.engine_peer.folder import compare
from tests.benchmarks.engine_peer.process import Process
from tests.benchmarks.engine_peer.works import works

# Of engine_peer's lines, at a quarter of their documents.
_NAMES = (
    "4 choices, 5 shots drawn per document",
    "two contexts and one ending, 5 shots per document",
    "rolling perplexity of WikiText-2 test",
    "NQ-open, 16 greedy tokens, 5 shots per document",
)
_SCALE = 0.25


def engines(peer: str | None, *, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield measured lines. peer: the Python that has lm_eval, or None."""
    data = os.environ.get("EVALKIT_DATA", "")
    with tempfile.TemporaryDirectory() as name:
        folder = f"{name}/model"
        _ours({"kind": "model", "to": folder, "data": data})
        peak = _ours({"kind": "throughput", "dtype": "fp32"})["flops"]
        common = {"dtype": "fp32", "clock": "wall", "folder": folder}
        arguments = argparse.Namespace(lm_eval=peer, batches="1,8", repeat=rounds, threads=None)
        tools = ["native", *(["lm-eval"] if peer else [])]
        for work in works(Path(data) if data else None, Tokenizer.load(Path(folder)), scale=_SCALE):
            if not work.name.startswith(_NAMES):
                continue
            results = {tool: result for tool, (_, result) in compare(work, tools, common, arguments).items()}
            seconds = {tool: median(result["every"]) for tool, result in results.items()}
            yield {
                "area": "engine",
                "work": work.name,
                "ours": seconds["native"],
                "peer": seconds.get("lm-eval"),
                "peer_name": "lm-eval 0.4.13" if peer else "",
                "limit": results["native"]["flops"] / peak,
                "limit_name": "the matrix products that the answers need",
            }


def _ours(job: dict[str, Any]) -> dict[str, Any]:
    return Process(sys.executable, "ours.py", job).finish()[1]
