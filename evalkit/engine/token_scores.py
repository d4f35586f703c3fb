"""What a network says of each token of a text: its log-probability, and what it might have expected of any token there.

Texts are read one by one, and logits computed for some positions at a time. Shapes as in model/gpt.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Values of the (positions, vocabulary) matrix that are held at once.
_LOGITS = 1 << 23
# A log-probability below which a token has none: its part in a mean is 0, not that of an infinite logit.
_LEAST = -1e4


class Reader(Protocol):
    """A network in two steps; model.gpt.GPT and engine.network.Network are readers."""

    def hidden(self, tokens_BT: Tensor) -> Tensor:
        """Return the states (B, T, D) of tokens."""
        ...

    def unembed(self, hidden: Tensor) -> Tensor:
        """Turn states into logits."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenScores:
    """Of each token of a text, (T,): its log-probability after the tokens before it, in nats.

    means, deviations: of the log-probability of a token drawn from the model's own distribution at that place.
    """

    logprobs: NDArray[np.float64]
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]


@torch.inference_mode()
def token_scores(reader: Reader, tokens: Tensor) -> TokenScores:
    """Score all tokens (T + 1,) but the first."""
    states_TD = reader.hidden(tokens[None, :-1])[0]
    parts = []
    size = 1  # the first state alone shows how large the vocabulary is
    start = 0
    while start < len(states_TD):
        logprobs_RV = reader.unembed(states_TD[start : start + size]).float().log_softmax(1)
        targets_R1 = tokens[start + 1 : start + 1 + size, None]
        chosen_R = logprobs_RV.gather(1, targets_R1)[:, 0]
        probabilities_RV = logprobs_RV.exp()
        logprobs_RV.clamp_(min=_LEAST)
        mean_R = (probabilities_RV * logprobs_RV).sum(1)
        variance_R = (probabilities_RV * (logprobs_RV - mean_R[:, None]).square()).sum(1)
        parts.append(torch.stack([chosen_R, mean_R, variance_R.sqrt()]).double().cpu())
        start += size
        size = max(1, _LOGITS // logprobs_RV.shape[1])
    logprobs, means, deviations = torch.cat(parts, dim=1).numpy()
    return TokenScores(logprobs=logprobs, means=means, deviations=deviations)
