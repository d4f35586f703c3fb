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
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit.contamination.documents import Item
from evalkit.engine.base import Engine, ask
from evalkit.errors import CheckpointError
from evalkit.progress import progress
from evalkit.stats.resampling import monte_carlo_p
from evalkit.types import Request

# The fewest documents or passages in a shard, and the fewest shards that few of them are cut into.
_LEAST_BLOCKS, _LEAST_SHARDS = 5, 8
# Choices of an order per shard that p is computed from, and the share of a sum below which a difference is rounding.
_CHOICES, _ROUNDING = 9_999, 1e-9
# What stands between two documents, and what is between spaces.
_SEPARATOR = "\n\n"
_WORD = re.compile(r"\S+")

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
    blocks = _blocks(items)
    for block, tokens in zip(blocks, engine.tokenizer.encode_batch([block.text for block in blocks]), strict=True):
        block.tokens = tokens
    chosen = spread(_movable(blocks, engine.context_length), shards)
    if not chosen:
        return None
    rows = []
    with progress("test the order", total=len(chosen), unit="shards") as bar:
        for number, shard in enumerate(chosen):
            rng = np.random.default_rng([seed, number])
            orders = [np.arange(len(shard)), *(_shuffled(shard, rng) for _ in range(permutations))]
            rows.append(_loglikelihoods(engine, [_tokens(shard, order) for order in orders]))
            bar.advance(1, note=note)
    table = np.array(rows)
    documents = sum(block.documents for shard in chosen for block in shard)
    return OrderTest(documents=documents, loglikelihoods=table, p=_exact(table, seed))


def spread(values: Sequence[T], most: int) -> list[T]:
    """Return at most so many of the values, evenly spread over them, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place)] for place in np.linspace(0, len(values) - 1, most).tolist()]


@dataclass(kw_only=True)
class _Block:
    """Documents that stay together. tokens: of the text, once it is encoded."""

    text: str
    level: str
    documents: int = 1
    tokens: Sequence[int] = ()


_Shard = Sequence[_Block]


def _blocks(items: Sequence[Item]) -> list[_Block]:
    """Join neighbours on one passage, without the words that each begins with like the one before it."""
    blocks: list[_Block] = []
    previous = Item(text="")
    for item in items:
        if item.cluster and item.cluster == previous.cluster:
            blocks[-1].text += _new(item.text, previous.text) + _SEPARATOR
            blocks[-1].documents += 1
        else:
            blocks.append(_Block(text=item.text + _SEPARATOR, level=item.level))
        previous = item
    return blocks


def _new(text: str, before: str) -> str:
    """Return a text from the first word on in which it differs from another one."""
    words = list(_WORD.finditer(text))
    pairs = zip(words, _WORD.finditer(before), strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0][0] == pair[1][0], pairs))
    return text[words[same].start() :] if same < len(words) else ""


def _movable(blocks: Sequence[_Block], context: int) -> list[_Shard]:
    """Cut the blocks into shards that fill the model's context, or more where nothing could change places in one.

    Shards in which nothing can are left out.
    """
    fit = context * len(blocks) // max(1, sum(len(block.tokens) for block in blocks))
    size = min(max(fit, _LEAST_BLOCKS), max(2, len(blocks) // _LEAST_SHARDS))
    while True:
        shards = [blocks[start : start + size] for start in range(0, len(blocks), size)]
        movable = [shard for shard in shards if len({block.level for block in shard}) < len(shard)]
        if movable or size >= len(blocks):
            return movable
        size *= 2


def _shuffled(shard: _Shard, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return an order in which only blocks of one level have changed places."""
    order = np.arange(len(shard))
    levels = np.array([block.level for block in shard])
    for level in dict.fromkeys(levels.tolist()):
        places = np.flatnonzero(levels == level)
        order[places] = rng.permutation(places)
    return order


def _tokens(shard: _Shard, order: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(token for place in order for token in shard[place].tokens)


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
