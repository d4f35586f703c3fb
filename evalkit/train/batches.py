"""Batches as a pure function of the step, so that a resumed training sees exactly what an uninterrupted one would."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.corpus import Corpus, TokenStream
from evalkit.errors import CheckpointError, DataError
from evalkit.tokenizer import Tokenizer


class Batches:
    """Packs a token stream into windows of `context` tokens, shuffled again each epoch.

    An epoch cuts the stream at a random offset into windows that do not overlap, and visits each once.
    Raises DataError when the stream is shorter than one batch.
    """

    def __init__(self, stream: TokenStream, *, context: int, sequences: int, seed: int):
        self._stream, self._context, self._sequences, self._seed = stream, context, sequences, seed
        # One window is reserved for the epoch's offset, one token for the last target.
        self._windows = (len(stream) - 1) // context - 1
        if self._windows < sequences:
            raise DataError(
                f"the corpus has {len(stream):,} training tokens; a batch of {sequences} x {context} "
                f"needs at least {(sequences + 1) * context + 1:,}"
            )
        self.steps_per_epoch = self._windows // sequences
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        """Return the start of each window of an epoch, in visiting order."""
        rng = np.random.default_rng([self._seed, epoch])
        offset = int(rng.integers(self._context))
        return rng.permutation(self._windows) * self._context + offset

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of a step, both (sequences, context) int64."""
        epoch, number = divmod(step, self.steps_per_epoch)
        starts = self._order(epoch)[number * self._sequences : (number + 1) * self._sequences]
        windows = np.stack([self._stream[s : s + self._context + 1] for s in starts]).astype(np.int64)
        tokens = torch.from_numpy(windows)
        return tokens[:, :-1], tokens[:, 1:]


def check_vocabulary(corpus: Corpus, tokenizer: Tokenizer, *, size: int) -> None:
    """Raise CheckpointError when the tokenizer or the corpus holds ids beyond a vocabulary of `size`."""
    if tokenizer.size > size:
        raise CheckpointError(f"the tokenizer has {tokenizer.size:,} tokens, the model's vocabulary only {size:,}")
    largest = max(corpus.train.max(), corpus.validation.max())
    if largest >= tokenizer.size:
        raise CheckpointError(
            f"the corpus {corpus.info.name!r} holds token {largest:,}, but its tokenizer has only {tokenizer.size:,}: "
            "it was encoded with another tokenizer"
        )
