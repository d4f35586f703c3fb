"""The table of named models: shape, size, cost, and where the weights are."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from evalkit.model import config, resolve

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


def _memory(size: int) -> str:
    """Write bytes in MB or GB (powers of ten).

    >>> _memory(3_115_222_400), _memory(618_496)
    ('3.12 GB', '0.62 MB')
    """
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.2f} MB"
