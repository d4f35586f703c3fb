"""A GPT that reads many sequences as one: the forward pass for scoring, without padding and without gradients.

The tokens of a batch are the nodes of a tree of prefixes. Norms and matrix products treat all tokens alike and take
them at once; only attention depends on the tree, see model/tree_attention.py. In bf16 and fp16 the matrix products are
half precision; the residual stream, the norms, the attention weights and the logits are fp32.

Shapes: N new tokens, S tokens with the held ones, U requested states, D width, G heads of keys and values, K width of a
head, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evalkit.model.gpt import GPT, Block, apply
from evalkit.model.onednn import product
from evalkit.model.rotary import rotation_at
from evalkit.model.tree_attention import Tree, attention_over

# Values of the perceptron's inner layer held at once, few enough for the cache, and the fewest tokens: with fewer,
# products are slow.
_INNER, _FEWEST = 1 << 20, 512
# Values and columns of the (positions, vocabulary) matrix of scores that are held at once (but at least _FEWEST
# positions), and values of the output matrix in fp32: with what a softmax needs in addition, 64 MiB at most.
_LOGITS, _COLUMNS, _MATRIX = 1 << 20, 8192, 1 << 23


@dataclass(frozen=True)
class Held:
    """What a batch holds for the next: keys and values of some tokens in each layer (G, K each), and last states.

    last: the states after the last block of the last few of these tokens, of which a batch may need the final states.
    """

    kv: Sequence[tuple[Tensor, Tensor]]
    last: Tensor


class PackedGPT:
    """Reads trees of tokens with the weights of a GPT."""

    def __init__(self, model: GPT):
        self._model, self._config = model, model.config
        self._dtype = model.tokens.weight.dtype
        self._columns = max(1, min(_COLUMNS, _MATRIX // model.config.d_model, model.config.vocab_size))
        self._norms: dict[nn.Module, nn.Module] = {
            part: _fp32(part) for part in model.modules() if isinstance(part, nn.LayerNorm | nn.RMSNorm)
        }

    def read(
        self, tokens_N: Tensor, tree: Tree, *, held: Held | None, keep: Tensor, keep_last: Tensor, states: Tensor
    ) -> tuple[Tensor, Held]:
        """Return the final normalised states (U, D) of the tokens `states`, and what is held for the tokens `keep`.

        keep_last: the last few of `keep`, whose last states are held too. All number tokens as the tree does: first
        those held from the batch before. Only tokens that need it attend in the last block and pass its perceptron.
        """
        model = self._model
        padding = model.padding(len(tokens_N))  # rows whose results are not used
        tokens_N, places_N = F.pad(tokens_N, (0, padding)), F.pad(tree.places[tree.held :], (0, padding))
        x_ND = model.embed(tokens_N, places_N, dtype=torch.float32, norm=self._norm)
        attend, rotation = attention_over(tree, self._config), rotation_at(places_N, self._config)
        needed = torch.cat([states, keep_last]).unique()
        last_N = needed[needed >= tree.held] - tree.held
        kept_kv: list[tuple[Tensor, Tensor]] = []
        for layer, module in enumerate(model.blocks):
            block: Block = module  # type: ignore[assignment]
            before = None if held is None else held.kv[layer]
            banded = self._config.is_banded(layer)
            rows = last_N if layer == len(model.blocks) - 1 and len(last_N) < len(tokens_N) - padding else None
            added = padding if rows is None else model.padding(len(rows))

            def attention(
                normed_ND: Tensor,
                block: Block = block,
                before: Any = before,
                banded: bool = banded,
                rows: Tensor | None = rows,
                added: int = added,
            ) -> Tensor:
                part = block.attention
                q, k, v = part.heads(normed_ND.to(self._dtype), rotation, self._norm)
                if before is not None:
                    k, v = torch.cat([before[0], k]), torch.cat([before[1], v])
                kept_kv.append((k.index_select(0, keep), v.index_select(0, keep)))
                attended_ND = attend(q, k, v, banded=banded, scale=part.scale, only=rows)
                out_ND: Tensor = part.out(F.pad(attended_ND, (0, 0, 0, added)) if added else attended_ND)
                return out_ND

            x_ND = block.through(
                x_ND,
                attention=attention,
                perceptron=partial(self._perceptron, block),
                norm=self._norm,
                keep=None if rows is None else F.pad(rows, (0, added)),
            )
        places = last_N + tree.held
        if held is not None:
            places = torch.cat([torch.arange(tree.held - len(held.last), tree.held, device=places.device), places])
            x_ND = torch.cat([held.last, x_ND])
        final_UD = self._norm(model.norm, x_ND[torch.searchsorted(places, states)])
        return final_UD, Held(kept_kv, x_ND[torch.searchsorted(places, keep_last)])

    def scores(self, states_UD: Tensor, rows_M: Tensor, targets_M: Tensor) -> tuple[Tensor, Tensor]:
        """Return the targets' log-probabilities (M) and whether each target is the argmax.

        rows_M: for each target the index of the state that predicts it, ascending. All in fp32, for any model.
        """
        logprobs, greedy, done = [], [], 0
        for states_RD in states_UD.split(max(_FEWEST, _LOGITS // self._columns)):
            [start, stop] = torch.searchsorted(rows_M, rows_M.new_tensor([done, done + len(states_RD)])).tolist()
            rows, targets = rows_M[start:stop] - done, targets_M[start:stop]
            best_R = total_R = states_RD.new_full((len(states_RD),), -torch.inf)
            chosen = torch.empty_like(rows, dtype=torch.float32)
            padded_RD = F.pad(states_RD, (0, 0, 0, self._model.padding(len(states_RD))))
            for first, logits_RC in self._logits(padded_RD):
                logits_RC = logits_RC[: len(states_RD)]
                best_R = torch.maximum(best_R, logits_RC.amax(1))
                # log_softmax is torch's fastest way to compute a log-sum-exp.
                total_R = torch.logaddexp(total_R, logits_RC[:, 0] - logits_RC.log_softmax(1)[:, 0])
                [in_columns] = torch.where((first <= targets) & (targets < first + logits_RC.shape[1]))
                chosen[in_columns] = logits_RC[rows[in_columns], targets[in_columns] - first]
            logprobs.append(chosen - total_R[rows])
            greedy.append(chosen == best_R[rows])
            done += len(states_RD)
        return torch.cat(logprobs), torch.cat(greedy)

    def _logits(self, states_RD: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield blocks of columns of the fp32 logits, each with the token of its first column."""
        for i, matrix_CD in enumerate(self._model.output_matrix.split(self._columns)):
            if matrix_CD.is_cuda and self._dtype != torch.float32:
                logits_RC = torch.mm(states_RD.to(self._dtype), matrix_CD.t(), out_dtype=torch.float32)
            else:
                # Logits around -100, as in GPT-2, are half a unit apart in bf16, and torch has no CPU product of bf16
                # matrices with fp32 results.
                logits_RC = product(states_RD, matrix_CD.float())
            yield i * self._columns, self._model.capped(logits_RC)

    def _norm(self, norm: nn.Module, x: Tensor) -> Tensor:
        return apply(self._norms.get(norm, norm), x.float())

    def _perceptron(self, block: Block, x_ND: Tensor) -> Tensor:
        parts = x_ND.to(self._dtype).split(max(_INNER // self._config.d_ff, _FEWEST))
        return torch.cat([block.perceptron(part_ND) for part_ND in parts])


def _fp32(norm: nn.Module) -> nn.Module:
    """Return a norm whose parameters are fp32: itself, or a copy."""
    return norm if all(part.dtype == torch.float32 for part in norm.parameters()) else deepcopy(norm).float()
