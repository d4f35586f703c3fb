"""What one ladder of models buys over another: on the same held-out tokens, in parameters and in compute.

    python tests/benchmarks/measure_ladders.py --corpus FOLDER --base FOLDER --other FOLDER [--out PAGE.md]
        [--title TEXT] [--resamples 2000]

--base and --other hold one checkpoint per size (pico, nano, ...; pico-seed1 is another seed of pico), all trained on
--corpus and on equally many tokens. Of each size the mean loss of its seeds is taken. The curve of the base is the
straight line between neighbouring sizes, its loss against the logarithm of parameters (without embeddings) or of FLOPs;
a model of the other ladder is worth as many times its own parameters as a model of that curve needs for the same loss.
Beyond the base's largest and smallest size the nearest line goes on, and the factor is marked with a tilde. Intervals
are 95%, from resampling held-out windows (documents that are longer share theirs), the same ones for all models: they
say what other held-out text would have given, not what other seeds would.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.corpus import Corpus
from evalkit.corpus.prepare import open_corpus
from evalkit.errors import UsageError, program
from evalkit.files import read_json, write_atomic
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.stats.resampling import counts_with_replacement, percentile_interval
from evalkit.train.config import TrainConfig
from evalkit.train.validation import token_losses

HEAD = """# What today's architecture buys

Two ladders of equal layers, width and heads, each size trained on the same text: GPT-2's architecture, and
`--arch modern` (rotary positions, RMS norms, also of queries and keys, SwiGLU, no biases; docs/training.md). `make
architectures` makes this page and the reports of tasks beside it, [on the world](architectures/world/report.md) and
[on books](architectures/books/report.md); docs/log.md has the trials before it and what was read from it.

Losses are in nats per held-out token, means of the seeds where there are several (last column). A modern model is worth
as many times its own parameters (without embeddings), or FLOPs of training, as a GPT-2 needs for the same loss, by
straight lines between neighbouring sizes over the logarithm; ~: beyond the largest GPT-2, the last line goes on.
Intervals are 95%, from resampling the held-out windows, the same ones for all models: they say what other text would
have given, not what other seeds would.
"""
Array = NDArray[np.float64]
_SEED = re.compile(r"-seed\d+$")
_ROWS = 32  # windows in the model at once


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A size of a ladder. losses: sums over each held-out window, the mean of the seeds. seeds: their mean losses."""

    name: str
    shape: GPTConfig
    tokens: int
    losses: Array
    seeds: tuple[float, ...]

    @property
    def flops(self) -> int:
        """FLOPs of the training."""
        return self.tokens * self.shape.flops_per_token


def windows_of(corpus: Corpus, context: int) -> NDArray[np.int64]:
    """Return the whole windows of the held-out text, (W, context + 1)."""
    stream, count = corpus.validation, (len(corpus.validation) - 1) // context
    if not count:
        raise UsageError(f"the corpus {corpus.info.name} holds no window of {context} tokens out")
    return np.stack([stream[n * context : (n + 1) * context + 1] for n in range(count)]).astype(np.int64)


def ladder(folder: Path, corpus: Corpus) -> list[Rung]:
    """Measure the checkpoints of a folder, the smallest first."""
    found: dict[str, list[tuple[GPTConfig, int, Array]]] = {}
    for path in sorted(folder.glob("*/training.json")):
        record = read_json(path, UsageError)
        if record["settings"]["corpus"] != corpus.info.fingerprint:
            raise UsageError(f"{path.parent} was trained on another corpus")
        model, _ = weights.load(path.parent)
        config = TrainConfig(model=model.config, tokens=1, dtype=record["settings"]["dtype"])
        rows = torch.from_numpy(windows_of(corpus, model.config.context)).split(_ROWS)
        losses = torch.cat([token_losses(model, part, config).double().sum(1) for part in rows]).numpy()
        found.setdefault(_SEED.sub("", path.parent.name), []).append((model.config, int(record["tokens"]), losses))
    rungs = []
    for name, members in found.items():
        shape, tokens, _ = members[0]
        sums = np.stack([losses for *_, losses in members])
        means = tuple((sums.sum(1) / (sums.shape[1] * shape.context)).tolist())
        rungs.append(Rung(name=name, shape=shape, tokens=tokens, losses=sums.mean(0), seeds=means))
    return sorted(rungs, key=lambda rung: rung.shape.block_parameters)


def factors(base: list[Rung], other: list[Rung], sizes: tuple[Array, Array], counts: Array) -> tuple[Array, Array]:
    """Return how many times its size each other rung is worth, and whether that lies beyond the base; (R, rungs).

    sizes: of the base's and the other's rungs. counts: how often each window was drawn, (R, windows).
    """
    curves, losses = (
        counts @ np.stack([rung.losses for rung in rungs], 1) / counts.sum(1, keepdims=True) / rungs[0].shape.context
        for rungs in (base, other)
    )
    logs = np.log(sizes[0])
    # The first line whose end is at or below the loss; the last, if none is.
    line = np.clip((curves[:, None, 1:] > losses[:, :, None]).sum(2), 0, len(base) - 2)
    above, below = (np.take_along_axis(curves, line + end, 1) for end in (0, 1))
    share = (above - losses) / (above - below)
    worth = logs[line] + share * (logs[line + 1] - logs[line])
    return np.exp(worth - np.log(sizes[1])), (share > 1) | (share < 0)


def page(title: str, base: list[Rung], other: list[Rung], *, names: tuple[str, str], resamples: int) -> str:
    """Return the comparison as Markdown."""
    count = len(base[0].losses)
    draws = counts_with_replacement(count, resamples=resamples, rng=np.random.default_rng(0))
    whole, context = np.ones((1, count)), base[0].shape.context
    lines = [
        f"## {title}",
        "",
        f"{base[0].tokens:,} tokens read; {count * context:,} held-out tokens, the same for all.",
        "",
        f"| size | without embeddings: {names[0]} | {names[1]} | loss: {names[0]} | {names[1]} | difference | "
        "worth its parameters | worth its FLOPs | seeds |",
        "|---|" + "---:|" * 8,
    ]  # fmt: skip
    columns = []
    for sizes in (lambda rung: rung.shape.block_parameters, lambda rung: rung.flops):
        pair = tuple(np.array([sizes(rung) for rung in rungs], dtype=np.float64) for rungs in (base, other))
        value, beyond = factors(base, other, pair, whole)
        low, high = percentile_interval(factors(base, other, pair, draws)[0], level=0.95)
        columns.append([
            f"{'~' * bool(b)}{v:.2f} [{lo:.2f}, {hi:.2f}]"
            for v, b, lo, hi in zip(value[0], beyond[0], low, high, strict=True)
        ])  # fmt: skip
    for number, (one, two) in enumerate(zip(base, other, strict=True)):
        gaps = (two.losses - one.losses) / context
        low, high = percentile_interval(draws @ gaps / count, level=0.95)
        seeds = "; ".join(" ".join(f"{loss:.3f}" for loss in rung.seeds) for rung in (one, two))
        lines.append(
            f"| {one.name} | {one.shape.block_parameters:,} | {two.shape.block_parameters:,} "
            f"| {one.losses.mean() / context:.3f} | {two.losses.mean() / context:.3f} "
            f"| {gaps.mean():+.3f} [{low:+.3f}, {high:+.3f}] | {columns[0][number]} | {columns[1][number]} "
            f"| {seeds if max(len(one.seeds), len(two.seeds)) > 1 else ''} |"
        )
    return "\n".join(lines) + "\n"


@program
def main() -> None:
    """Read the options, measure both ladders, print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--other", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--title", default="Two ladders")
    parser.add_argument("--out", type=Path, help="a page to append to (default: print)")
    parser.add_argument("--resamples", type=int, default=2000)
    arguments = parser.parse_args()
    _, corpus = open_corpus(arguments.corpus)
    base, other = ladder(arguments.base, corpus), ladder(arguments.other, corpus)
    if [rung.name for rung in base] != [rung.name for rung in other] or len(base) < 2:
        raise UsageError(f"{arguments.base} and {arguments.other} must hold the same sizes, two at least")
    if len({rung.tokens for rung in (*base, *other)}) > 1:
        raise UsageError("the models have read different numbers of tokens")
    names = (arguments.base.name, arguments.other.name)
    text = page(arguments.title, base, other, names=names, resamples=arguments.resamples)
    if arguments.out is None:
        print(text, end="")
        return
    before = arguments.out.read_text(encoding="utf-8") if arguments.out.is_file() else HEAD
    write_atomic(arguments.out, f"{before}\n{text}")


if __name__ == "__main__":
    sys.exit(main())
