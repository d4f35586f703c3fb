"""A GPT with three more tokens and a linear head; its folder is an ordinary checkpoint with two more files.

The head reads the last layer's state at the extract token and has no bias: "the only extra parameters we require during
fine-tuning are W_y, and embeddings for delimiter tokens" (Radford et al. 2018, section 3.2).

Shapes as in model/gpt.py; N sequences, S of each example; L scores: classes, one number, or one per answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from evalkit.errors import CheckpointError
from evalkit.files import read_json, write_atomic
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.tokenizer import Tokenizer
from evalkit.train.finetune.inputs import Form

SPECIAL = 3  # start, delimiter, extract: the last rows of the token embedding


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the head computes: `outputs` numbers per example, or one for each of its answers (compares).

    centre, scale: of a regression's training targets; the prediction is centre + scale x the score.
    """

    outputs: int
    compares: bool = False
    centre: float = 0.0
    scale: float = 1.0


class FineTuned(GPT):
    """A GPT whose vocabulary ends in the special tokens, with a head. dropout: before the head."""

    def __init__(self, config: GPTConfig, head: Head, *, dropout: float):
        super().__init__(config)
        self.about = head
        self.head_drop = nn.Dropout(dropout)
        self.head = nn.Linear(config.d_model, head.outputs, bias=False)

    def scores(self, states_NTD: Tensor, lengths_N: Tensor, *, sequences: int) -> Tensor:
        """Return scores_BL from final states; each `sequences` consecutive sequences belong to one example."""
        rows_N = torch.arange(len(states_NTD), device=states_NTD.device)
        extracted_ND = self.head_drop(states_NTD[rows_N, lengths_N - 1].float())
        if self.about.compares:
            return self.head(extracted_ND).view(-1, sequences)  # type: ignore[no-any-return]
        # The states of a similarity's two orders are added; with a single sequence this changes nothing.
        return self.head(extracted_ND.view(-1, sequences, extracted_ND.shape[1]).sum(1))  # type: ignore[no-any-return]


def build(base: GPT, head: Head, *, seed: int, pretrained: bool, dropout: float, head_dropout: float) -> FineTuned:
    """Build a model to fine-tune: the base's weights, or random ones (not pretrained), and new parameters N(0, 0.02).

    dropout: in embeddings, attention and residual branches.
    """
    shape = base.config
    config = replace(shape, vocab_size=shape.vocab_size + SPECIAL, dropout=dropout)
    model = FineTuned(config, head, dropout=head_dropout)
    model.initialize(torch.Generator().manual_seed(seed))
    if pretrained:
        state = {name: tensor.float().cpu() for name, tensor in base.state_dict().items()}
        for name in {"tokens.weight", "output.weight"} & state.keys():
            random_rows = model.get_parameter(name).detach()[-SPECIAL:]
            state[name] = torch.cat([state[name], random_rows])
        model.load_state_dict({**state, "head.weight": model.head.weight.detach()})
    return model.to(base.tokens.weight.device)


def save(
    model: FineTuned, tokenizer: Tokenizer, folder: Path, *, task: str, form: Form, record: Mapping[str, Any]
) -> None:
    """Write a checkpoint folder, head.safetensors and finetune.json (the task and how it was fine-tuned)."""
    weights.save(model, tokenizer, folder, record=None)
    write_atomic(folder / "head.safetensors", to_safetensors({"head.weight": model.head.weight.detach().cpu()}))
    description = {"task": task, "kind": form.kind, "head": vars(model.about), **record}
    write_atomic(folder / "finetune.json", json.dumps(description, indent=2) + "\n")


def load(folder: Path, *, device: str = "cpu") -> tuple[FineTuned, Tokenizer, Mapping[str, Any]]:
    """Read a folder that `save` wrote: the model in evaluation mode, its tokenizer, and the content of finetune.json.

    Raises CheckpointError for a folder that holds no fine-tuned model, or a broken one.
    """
    if not (folder / "finetune.json").is_file():
        raise CheckpointError(f"{folder} holds no fine-tuned model (no finetune.json)")
    base, tokenizer = weights.load(folder)
    description = read_json(folder / "finetune.json", CheckpointError)
    path = folder / "head.safetensors"
    try:
        model = FineTuned(base.config, Head(**description["head"]), dropout=0.0)
        model.load_state_dict({**base.state_dict(), **from_safetensors(path.read_bytes())})
        for name in ("task", "shots", "seed", "settings"):
            description[name]
    except Exception as error:  # safetensors and torch fail in many ways on a broken file
        raise CheckpointError(f"{path} and finetune.json beside it cannot be read: {error}") from error
    return model.to(device).eval(), tokenizer, description
