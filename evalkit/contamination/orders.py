"""Does a model know the order in which a benchmark was published? A test that needs the model alone.

To a model that has not read them, documents that could stand in any order are as likely in the published one as in a
shuffled one. So a higher likelihood of the published order is evidence that the model has read them, in that order
(Oren et al. 2023, "Proving Test Set Contamination in Black-Box Language Models", section 3). The documents are cut into
shards of neighbours, and each shard is compared with shuffles of itself.

p is exact: under the null each shard's published order is any of its orders, so every choice of one order per shard is
as likely; p is the share of choices whose likelihood is as high as that of the published orders. student_p is the
paper's t test of the shards' gains, with the unbiased variance.

Documents that share a passage stay together, and only documents of one level change places: what distinguishes levels
would betray the order to any model. Whether the rest might stand in any order is the test's assumption, which only a
model that has not read the documents can check.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit.contamination.documents import Item
from evalkit.engine.base import Engine, ask
from evalkit.errors import CheckpointError
from evalkit.progress import progress
from evalkit.stats.resampling import monte_carlo_p
from evalkit.types import Request

# Of a shard: the fewest documents that it may have, and the fewest shards that small sets of documents are cut into.
_LEAST_DOCUMENTS, _LEAST_SHARDS = 5, 8
# Choices of an order per shard that p is computed from, and the share of a sum below which a difference is rounding.
_CHOICES, _ROUNDING = 9_999, 1e-9
# What stands between two documents.
_SEPARATOR = "\n\n"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OrderTest:
    """The likelihoods of the published order of each shard, and of its shuffles.

    documents: in the shards that were read. loglikelihoods: (R, 1 + M) in nats, the published order first.
    """

    documents: int
    loglikelihoods: NDArray[np.float64]
    p: float

    @property
    def shards(self) -> int:
        """The number of shards."""
        return len(self.loglikelihoods)

    @property
    def gains(self) -> NDArray[np.float64]:
        """Of each shard: the published order's log-likelihood less the mean of its shuffles."""
        gains: NDArray[np.float64] = self.loglikelihoods[:, 0] - self.loglikelihoods[:, 1:].mean(1)
        return gains

    @property
    def student_p(self) -> float:
        """The one-sided p of the paper's t test; NaN for fewer than two shards, or gains that are all the same."""
        from scipy.special import stdtr

        gains = self.gains
        if len(gains) < 2 or not (deviation := float(gains.std(ddof=1))):
            return math.nan
        return float(stdtr(len(gains) - 1, -gains.mean() / deviation * math.sqrt(len(gains))))


def order_test(
    items: Sequence[Item], engine: Engine, *, shards: int = 50, permutations: int = 30, seed: int = 1, note: str = ""
) -> OrderTest | None:
    """Compare the order of documents with shuffles of it; None where no two documents can change places.

    shards: at most so many are read, evenly spread over the documents. permutations: shuffles of each.
    Raises CheckpointError for documents that the model cannot read.
    """
    encoded = engine.tokenizer.encode_batch([item.text + _SEPARATOR for item in items])
    chosen = spread(_movable(items, encoded, engine.context_length), shards)
    if not chosen:
        return None
    rows = []
    with progress("test the order", total=len(chosen), unit="shards") as bar:
        for number, shard in enumerate(chosen):
            rng = np.random.default_rng([seed, number])
            orders = [np.arange(len(shard.blocks)), *(shard.shuffled(rng) for _ in range(permutations))]
            rows.append(_loglikelihoods(engine, [shard.tokens(order) for order in orders]))
            bar.advance(1, note=note)
    table = np.array(rows)
    return OrderTest(documents=sum(shard.documents for shard in chosen), loglikelihoods=table, p=_exact(table, seed))


def spread(values: Sequence[T], most: int) -> list[T]:
    """Return at most so many of the values, evenly spread over them, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place)] for place in np.linspace(0, len(values) - 1, most).tolist()]


@dataclass(frozen=True)
class _Shard:
    """Neighbours. blocks: the tokens of documents that stay together. strata: (B,) equal for those that may change."""

    blocks: Sequence[Sequence[int]]
    strata: NDArray[np.int64]
    documents: int

    @property
    def movable(self) -> bool:
        return len(np.unique(self.strata)) < len(self.strata)

    def shuffled(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return an order of the blocks in which only those of one stratum have changed places."""
        order = np.arange(len(self.blocks))
        for stratum in np.unique(self.strata):
            places = np.flatnonzero(self.strata == stratum)
            order[places] = rng.permutation(places)
        return order

    def tokens(self, order: NDArray[np.int64]) -> tuple[int, ...]:
        return tuple(token for place in order for token in self.blocks[place])


def _movable(items: Sequence[Item], encoded: Sequence[Sequence[int]], context: int) -> list[_Shard]:
    """Return shards that fill the model's context, or more of it where otherwise nothing could change places."""
    fit = context * len(encoded) // max(1, sum(map(len, encoded)))
    size = min(max(fit, _LEAST_DOCUMENTS), max(2, len(items) // _LEAST_SHARDS))
    while not (shards := [shard for shard in _shards(items, encoded, size) if shard.movable]) and size < len(items):
        size *= 2
    return shards


def _shards(items: Sequence[Item], encoded: Sequence[Sequence[int]], size: int) -> Iterator[_Shard]:
    """Cut the documents into shards of `size` documents, or more where the last ones share a passage."""
    levels: dict[str, int] = defaultdict(lambda: len(levels))
    blocks: list[list[int]] = []
    strata: list[int] = []
    documents = 0
    for i, item in enumerate(items):
        if i and item.cluster and item.cluster == items[i - 1].cluster:
            blocks[-1] += encoded[i]
        else:
            if documents >= size:
                yield _Shard(blocks, np.array(strata), documents)
                blocks, strata, documents = [], [], 0
            blocks.append(list(encoded[i]))
            strata.append(levels[item.level])
        documents += 1
    if blocks:
        yield _Shard(blocks, np.array(strata), documents)


def _loglikelihoods(engine: Engine, texts: Sequence[tuple[int, ...]]) -> list[float]:
    """Return the log-likelihood of each text; equal texts are read once."""
    different = list(dict.fromkeys(texts))
    requests = [
        Request(kind="loglikelihood_rolling", task="order", doc_id=str(i), continuation_ids=tokens)
        for i, tokens in enumerate(different)
    ]
    scores: dict[tuple[int, ...], float] = {}
    for place, response in ask(engine, "loglikelihood_rolling", requests):
        if response.error:
            raise CheckpointError(response.error)
        scores[different[place]] = response.loglikelihood
    return [scores[tokens] for tokens in texts]


def _exact(table: NDArray[np.float64], seed: int) -> float:
    """Return the p of the published orders among all choices of one order per shard, from a sample of these."""
    rng = np.random.default_rng(seed)
    shards, orders = table.shape
    changes = table - table[:, :1]
    sums = changes[np.arange(shards), rng.integers(orders, size=(_CHOICES, shards))].sum(1)
    rounding = _ROUNDING * float(np.abs(table[:, 0]).sum())
    return monte_carlo_p(int((sums >= -rounding).sum()), resamples=_CHOICES)
