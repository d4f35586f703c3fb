"""What `evalkit models` shows: the named models, the families that our network can be, and one folder's model."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from evalkit.model import config, families, resolve
from evalkit.model.config import GPTConfig
from evalkit.model.folder import stop_ids
from evalkit.model.settings import NotNativeError
from evalkit.tokenizer import Tokenizer

_SHAPE = ("layers", "width", "heads", "context", "vocabulary")
_COST = ("parameters", "without embeddings", "training FLOPs/token", "fp32", "bf16")


def table() -> Table:
    """Return one row per named size; fp32 and bf16 are the memory of the weights alone."""
    rows = Table("model", box=None, header_style="bold")
    for name in (*_SHAPE, *_COST):
        rows.add_column(name, justify="right")
    rows.add_column("weights")
    for name, shape in config.SIZES.items():
        figures = (shape.n_layer, shape.d_model, shape.n_head, shape.context, shape.vocab_size)
        rows.add_row(
            name,
            *map(str, figures),
            f"{shape.parameters:,}",
            f"{shape.block_parameters:,}",
            f"{shape.flops_per_token:.2e}",
            _memory(4 * shape.parameters),
            _memory(2 * shape.parameters),
            Text(resolve.whereabouts(name)),
        )
    return rows


def family_table() -> Table:
    """Return one row per family of transformers' models that our own network runs, and one for all others."""
    rows = Table("model_type", "models", "run by", box=None, header_style="bold")
    for kind, family in families.FAMILIES.items():
        rows.add_row(kind, family.known, "evalkit")
    rows.add_row("any other", "causal models that transformers knows, also hf:ID", "transformers")
    return rows


def summary(folder: Path) -> Table:
    """Return what a folder's model is, from its configuration and tokenizer; its weights are not read.

    Raises CheckpointError for broken files.
    """
    rows = Table("", "", box=None, show_header=False)
    try:
        family, shape = families.read(folder)
    except NotNativeError as error:
        rows.add_row("run by", Text(f"transformers, because of {error}"))
        return rows
    rows.add_row("run by", "evalkit")
    rows.add_row("family", f"{family.model_type} ({family.known})")
    rows.add_row("shape", _shape(shape))
    rows.add_row("context", f"{shape.context:,} tokens")
    output = "an output matrix of its own" if shape.untied else "the output matrix is the token embedding"
    rows.add_row("vocabulary", f"{shape.vocab_size:,} token ids; {output}")
    rows.add_row("tokenizer", Text(_tokenizer(folder)))
    rows.add_row("parameters", f"{shape.parameters:,}; {shape.block_parameters:,} without embeddings")
    rows.add_row("memory", f"{_memory(4 * shape.parameters)} in fp32, {_memory(2 * shape.parameters)} in bf16")
    rows.add_row("training", f"{shape.flops_per_token:.2e} FLOPs per token")
    return rows


def _shape(shape: GPTConfig) -> str:
    """Say a shape in words."""
    grouped = "" if shape.n_kv_head == shape.n_head else f" ({shape.n_kv_head} of keys and values)"
    gate = "gated " if shape.gated else ""
    norms = {"pre": "before branches", "post": "after sums", "output": "after branches", "both": "around branches"}
    parts = [
        f"{shape.n_layer} layers, {shape.d_model} wide",
        f"{shape.n_head} heads of {shape.d_head}{grouped}",
        f"perceptrons {shape.d_ff} wide with {gate}{shape.activation}",
        f"{'RMS' if shape.norm_kind == 'rms' else 'layer'} norms {norms[shape.norm]}",
        _positions(shape),
    ]
    if shape.qk_norm:
        parts.append("queries and keys normalised")
    if shape.parallel:
        parts.append("parallel branches")
    if banded := sum(map(shape.is_banded, range(shape.n_layer))):
        parts.append(f"a window of {shape.band} tokens in {banded} of the layers")
    parts.append(f"biases: {', '.join(shape.biases) or 'none'}")
    return "; ".join(parts)


def _positions(shape: GPTConfig) -> str:
    if shape.rotary is None:
        return "learned positions"
    share = "" if shape.rotary.share == 1 else f" of {shape.rotary.share:.0%} of each head"
    scaled = "" if shape.rotary.scaling is None else ", scaled"
    return f"rotary positions{share} (base {shape.rotary.base:g}{scaled})"


def _tokenizer(folder: Path) -> str:
    tokenizer = Tokenizer.load(folder)
    begin = "nothing" if tokenizer.begin is None else f"token {tokenizer.begin:,}"
    ends = sorted({tokenizer.end_of_text, *stop_ids(folder)})
    return (
        f"{tokenizer.size:,} tokens; texts begin with {begin}; end of text is {tokenizer.end_of_text:,}; "
        f"generation ends at {', '.join(f'{end:,}' for end in ends)}"
    )


def _memory(size: int) -> str:
    """Write bytes in MB or GB (powers of ten).

    >>> _memory(3_115_222_400), _memory(618_496)
    ('3.12 GB', '0.62 MB')
    """
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.2f} MB"
