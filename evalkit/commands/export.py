"""evalkit export: copy a checkpoint at a given precision."""

from __future__ import annotations

import argparse
from pathlib import Path

from evalkit.errors import unknown

SUMMARY = "Copy a checkpoint at a given precision, as a folder that transformers reads."
EXAMPLES = """examples:
  evalkit export checkpoints/mine --to mine-bf16 --dtype bf16
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("checkpoint", metavar="CKPT", help="checkpoint folder or model name")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="a new folder")
    parser.add_argument("--dtype", default="fp32", help="fp32 (default), bf16 or fp16")


def run(arguments: argparse.Namespace) -> None:
    """Write the copy."""
    from evalkit.engine.open import DTYPES
    from evalkit.model import resolve

    if arguments.dtype not in DTYPES:
        raise unknown("dtype", arguments.dtype, DTYPES)
    path = resolve.path_of(arguments.checkpoint)
    import torch

    from evalkit.model import weights

    weights.export(path, arguments.to, dtype=getattr(torch, DTYPES[arguments.dtype]))
    print(f"{path} in {arguments.dtype}: {arguments.to}")
