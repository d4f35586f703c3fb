"""The named models, how each is trained by default, and the families and formats that are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from docs.generate.markdown import code, escaped, table
from evalkit.model.config import GPT1, GPT2, GPT3, HUB, LADDER, GPTConfig
from evalkit.model.families import FAMILIES
from evalkit.model.formats import FORMATS
from evalkit.model.resolve import bundled
from evalkit.train.presets import PRESETS

_COLUMNS = (
    "model", "layers", "width", "heads", "context", "vocabulary", "parameters", "without embeddings", "FLOPs per token",
    "weights",
)  # fmt: skip
_PAPERS = {
    "The ladder": (LADDER, "Trained by this project on the generated world."),
    "GPT-1": (GPT1, "Radford et al. 2018, section 4.1."),
    "GPT-2": (
        GPT2,
        "Radford et al. 2019, table 2; `gpt2`, `gpt2-medium`, `gpt2-large` and `gpt2-xl` are the same models.",
    ),
    "GPT-3": (GPT3, "Brown et al. 2020, table 2.1. The weights were never released; the shapes can be trained."),
}


def pages() -> Mapping[str, str]:
    """Return the page of models."""
    parts = ["# Named models", "`evalkit models -v` prints these sizes, `evalkit models NAME` shows one."]
    for title, (sizes, source) in _PAPERS.items():
        rows = [_row(name, shape) for name, shape in sizes.items()]
        parts += [f"## {title}", source, table(_COLUMNS, rows), *_presets(sizes)]
    families = [(code(kind), escaped(FAMILIES[kind].known)) for kind in FAMILIES]
    formats = [(code(name), escaped(FORMATS[name].known)) for name in FORMATS]
    parts += [
        "## Families",
        "What evalkit's own network can be, by `model_type` in config.json; transformers runs any other causal model "
        "([more](../models.md)).",
        table(("model_type", "models"), families),
        "## Formats",
        "What is read without conversion ([more](../checkpoints.md)).",
        table(("format", "known as"), formats),
    ]
    return {"reference/models.md": "\n\n".join(parts)}


def _row(name: str, shape: GPTConfig) -> Sequence[str]:
    sizes = (shape.n_layer, shape.d_model, shape.n_head, shape.context, shape.vocab_size)
    counts = (*sizes, shape.parameters, shape.block_parameters)
    return (code(name), *(f"{count:,}" for count in counts), f"{shape.flops_per_token:.2e}", _weights(name))


def _weights(name: str) -> str:
    """Return where the weights are, on any machine."""
    if name in bundled():
        return "bundled"
    if name in HUB:
        return f"[{HUB[name]}](https://huggingface.co/{HUB[name]})"
    return "to be trained" if name in LADDER else "not released"


def _presets(sizes: Mapping[str, GPTConfig]) -> list[str]:
    lines = [f"- {code(f'evalkit train --size {name}')}: {escaped(PRESETS[name].text())}" for name in sizes]
    return ["How `evalkit train` trains them by default:", "\n".join(lines)]
