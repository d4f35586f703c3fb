"""What is measured: a line per work, with functions that do it once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import scipy.stats
import torch
from rouge_score.rouge_scorer import RougeScorer

from evalkit import metrics, world
from evalkit.comparison.evidence import read_run
from evalkit.stats import paired
from evalkit.stats.intervals import interval
from evalkit.tokenizer import Tokenizer
from evalkit.types import Example, Response
from tests.benchmarks import measure_records
from tests.benchmarks.quick.training import trainings

Work = Callable[[], Any]
AREAS = ("engine", "start-up", "metrics", "comparisons", "stored runs", "corpora", "training")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table: our code and a peer's do the same work once. limit: the part that none can leave out."""

    area: str
    work: str
    ours: Work
    peer: Work | None = None
    peer_name: str = ""
    limit: Work | None = None
    limit_name: str = ""


def lines(folder: Path) -> Iterator[Line]:
    """Yield all lines that are measured in this process; `folder` holds what they need."""
    yield from _start_up(folder)
    yield from _metrics()
    yield from _comparisons()
    yield from _stored_runs(folder)
    yield from _corpora(folder)
    yield from (Line(area="training", **works) for works in trainings(folder))


def _start_up(folder: Path) -> Iterator[Line]:
    command = ["-m", "evalkit", "run", "--model", "pico", "--tasks", "world_qa", "--shots", "0", "--limit", "1"]
    yield Line(
        area="start-up",
        work="evalkit run of one document",
        ours=lambda: _python(*command, "--no-cache", "--out", tempfile.mkdtemp(dir=folder)),
        limit=lambda: _python("-c", "import torch, tokenizers, safetensors.torch"),
        limit_name="importing torch, tokenizers and safetensors",
    )


def _metrics() -> Iterator[Line]:
    draw = random.Random(0)
    words = [f"word{i}" for i in range(2000)]
    golds = [" ".join(draw.choices(words, k=60)) for _ in range(1000)]
    answers = [f"{gold[:200]} {' '.join(draw.choices(words, k=30))}" for gold in golds]
    pairs = list(zip(golds, answers, strict=True))
    items = [(Example(task="", input="", output=gold), [Response(text=answer)]) for gold, answer in pairs]
    rouge, scorer = metrics.get("rougeL"), RougeScorer(["rougeL"])
    yield Line(
        area="metrics",
        work="ROUGE-L of 1,000 summaries",
        ours=lambda: [rouge.statistics(example, responses) for example, responses in items],
        peer=lambda: [scorer.score(gold, answer) for gold, answer in pairs],
        peer_name="rouge-score",
    )
    bleu = metrics.get("bleu")
    yield Line(
        area="metrics",
        work="BLEU of 1,000 translations with its interval",
        ours=lambda: interval(bleu, np.array([bleu.statistics(*item) for item in items])),
        peer=lambda: sacrebleu.BLEU().corpus_score(answers, [golds], n_bootstrap=1000),
        peer_name="sacrebleu with 1,000 resamples",
    )


def _comparisons() -> Iterator[Line]:
    rng = np.random.default_rng(0)
    base = rng.random(10_000)
    new = np.clip(base + rng.normal(0, 0.1, base.shape), 0, 1)
    seeds = np.ones((len(base), 1), dtype=bool)
    units = paired.gather(base[:, None, None], new[:, None, None], seeds, np.arange(len(base)))
    f1 = metrics.get("f1")
    yield Line(
        area="comparisons",
        work="randomisation test of 10,000 paired F1 scores, 2,000 resamples",
        ours=lambda: paired.randomisation(f1, units, resamples=2000),
        peer=lambda: scipy.stats.permutation_test(
            (new - base,), np.mean, permutation_type="samples", n_resamples=2000, batch=1000
        ),
        peer_name="scipy's permutation_test",
    )


def _stored_runs(folder: Path) -> Iterator[Line]:
    run = folder / "run"
    measure_records.write(run, 3_000, 1)
    journal = run / "records.jsonl"
    with journal.open("rb") as file:
        count = sum(1 for _ in file)
    yield Line(
        area="stored runs",
        work=f"statistics of {count:,} records for a comparison",
        ours=lambda: read_run(run),
        peer=lambda: [json.loads(line) for line in journal.open(encoding="utf-8")],
        peer_name="json.loads of every line",
        limit=journal.read_bytes,
        limit_name="reading the journal's bytes",
    )


def _corpora(folder: Path) -> Iterator[Line]:
    pages = list(world.corpus(seed=0, documents=20_000))
    text, tokenizer = folder / "pages.txt", Tokenizer.train(pages[:5000], vocab_size=3000)
    text.write_text("\n\n".join(pages), encoding="utf-8")
    (folder / "tokenizer").mkdir()
    tokenizer.save(folder / "tokenizer", context=256)
    command = ["-m", "evalkit", "corpus", "build", str(text), "--tokenizer", str(folder / "tokenizer"), "--jobs", "1"]
    yield Line(
        area="corpora",
        work=f"evalkit corpus build of {len(text.read_bytes()) / 1e6:.1f} MB",
        ours=lambda: _python(*command, "--decontaminate", "none", "--out", tempfile.mkdtemp(dir=folder) + "/corpus"),
        limit=lambda: tokenizer.encode_batch(pages),
        limit_name="encoding its pages",
    )


def _python(*arguments: str) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
