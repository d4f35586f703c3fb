"""What `evalkit models` shows: the named models, the families that our network can be, and one folder's model."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from evalkit import tables
from evalkit.errors import CheckpointError, UsageError
from evalkit.model import config, families, formats, resolve
from evalkit.model.checkpoint import Checkpoint, Vocabulary
from evalkit.model.config import GPTConfig
from evalkit.model.settings import NotNativeError

_SHAPE = ("n_layer", "d_model", "n_head", "context")
_COST = ("vocabulary", "without embeddings", "FLOPs/token", "fp32", "bf16")


def table(*, verbose: bool = False) -> Table:
    """Return one row per named size: its shape, parameters, and where its weights are.

    verbose: also the vocabulary, parameters without embeddings, FLOPs of training, memory of the weights alone, hub ID.
    """
    rows = tables.table(
        ("model", *_SHAPE, "parameters", *(_COST if verbose else ()), "weights"), left=("model", "weights")
    )
    rows.columns[-1].no_wrap = not verbose
    for name, shape in config.SIZES.items():
        cells = [*map(str, (shape.n_layer, shape.d_model, shape.n_head, shape.context)), f"{shape.parameters:,}"]
        place = resolve.whereabouts(name)
        if verbose:
            cells += [f"{shape.vocab_size:,}", f"{shape.block_parameters:,}", f"{shape.flops_per_token:.2e}"]
            cells += [_memory(4 * shape.parameters), _memory(2 * shape.parameters)]
        rows.add_row(name, *cells, Text(place if verbose else place.partition(":")[0]))
    return rows


def family_table() -> Table:
    """Return one row per family of transformers' models that our own network runs, and one for all others."""
    rows = tables.table(("model_type", "models", "run by"), left=("model_type", "models", "run by"))
    rows.columns[1].no_wrap = False
    for kind, family in families.FAMILIES.items():
        rows.add_row(kind, family.known, "evalkit")
    rows.add_row("any other", "causal models that transformers knows, also hf:ID", "transformers")
    return rows


def summary(path: Path, *, vocabulary: Vocabulary | None = None) -> Table:
    """Return what a checkpoint is and what would be done with it; its weights are not read.

    vocabulary: in place of its own tokenizer. Raises CheckpointError for broken files.
    """
    rows = Table("", "", box=None, show_header=False)
    rows.add_row("checkpoint", Text(str(path)))
    try:
        checkpoint = formats.open(path, vocabulary=vocabulary)
    except NotNativeError as error:
        if not formats.transformers.recognises(path):
            raise
        rows.add_row("run by", Text(f"transformers, because of {error}"))
        return rows
    rows.add_row("format", f"{checkpoint.format} ({formats.FORMATS[checkpoint.format].known})")
    rows.add_row("run by", "evalkit")
    if family := checkpoint.family:
        rows.add_row("family", f"{family.model_type} ({family.known})")
    _describe(rows, checkpoint)
    return rows


def _describe(rows: Table, checkpoint: Checkpoint) -> None:
    """Add what is known of any format's checkpoint."""
    shape = checkpoint.config
    rows.add_row("shape", _shape(shape))
    rows.add_row("context", f"{shape.context:,} tokens")
    output = "an output matrix of its own" if shape.untied else "the output matrix is the token embedding"
    rows.add_row("vocabulary", f"{shape.vocab_size:,} token ids; {output}")
    rows.add_row("tokenizer", Text(_tokenizer(checkpoint)))
    rows.add_row("parameters", f"{shape.parameters:,}; {shape.block_parameters:,} without embeddings")
    rows.add_row("memory", f"{_memory(4 * shape.parameters)} in fp32, {_memory(2 * shape.parameters)} in bf16")
    rows.add_row("training", f"{shape.flops_per_token:.2e} FLOPs per token")
    for name, value in _trained(checkpoint).items():
        rows.add_row(name, Text(value))
    rows.add_row("export", Text(_export(checkpoint)))


def _trained(checkpoint: Checkpoint) -> dict[str, str]:
    """Return what is known of the training, and whatever else the format tells."""
    known = checkpoint.training
    counts = {"step": known.get("step"), "tokens read": known.get("tokens")}
    facts = {name: "not recorded" if count is None else f"{count:,}" for name, count in counts.items()}
    if known.get("corpus"):
        facts["corpus"] = str(known["corpus"])
    if isinstance(loss := known.get("loss"), float):
        facts["held-out loss"] = f"{loss:.4f} nats per token"
    return facts | dict(checkpoint.about)


def _export(checkpoint: Checkpoint) -> str:
    try:
        family = checkpoint.family or families.layout_for(checkpoint.config)[0]
    except UsageError as error:
        return f"not possible: {error}"
    if not family.architecture:
        return "not possible: transformers has no such model"
    return f"evalkit export {checkpoint.path} --to FOLDER writes transformers' layout of {family.model_type}"


def _shape(shape: GPTConfig) -> str:
    """Say a shape in words."""
    grouped = "" if shape.n_kv_head == shape.n_head else f" ({shape.n_kv_head} of keys and values)"
    gate = "gated " if shape.gated else ""
    norms = {"pre": "before branches", "post": "after sums", "output": "after branches", "both": "around branches"}
    parts = [
        f"{shape.n_layer} layers, d_model {shape.d_model}",
        f"{shape.n_head} heads of {shape.d_head}{grouped}",
        f"perceptrons of {shape.d_ff} with {gate}{shape.activation}",
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


def _tokenizer(checkpoint: Checkpoint) -> str:
    try:
        tokenizer = checkpoint.tokenizer
    except CheckpointError as error:
        return f"none: {error}"
    begin = "nothing" if tokenizer.begin is None else f"token {tokenizer.begin:,}"
    ends = sorted({tokenizer.end_of_text, *checkpoint.ends})
    return (
        f"{tokenizer.size:,} tokens; texts begin with {begin}; end of text is {tokenizer.end_of_text:,}; "
        f"generation ends at {', '.join(f'{end:,}' for end in ends)}; from {checkpoint.vocabulary.place}"
    )


def _memory(size: int) -> str:
    """Write bytes in MB or GB (powers of ten).

    >>> _memory(3_115_222_400), _memory(618_496)
    ('3.12 GB', '0.62 MB')
    """
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.2f} MB"
