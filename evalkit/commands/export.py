"""evalkit export: convert a checkpoint of any format to transformers' layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from evalkit.commands import options
from evalkit.errors import unknown

SUMMARY = "Convert a checkpoint of any format to a folder that transformers reads, at a given precision."
EXAMPLES = """examples:
  evalkit export checkpoints/mine --to mine-bf16 --dtype bf16
  evalkit export out/ckpt.pt --to mine                nanoGPT's file as a folder for AutoModelForCausalLM
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("checkpoint", metavar="CKPT", help="a checkpoint (file, folder, FOLDER@STEP) or a model's name")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="a new folder")
    options.add_tokenizer(parser)
    parser.add_argument("--dtype", type=options.dtype, default="fp32", help="fp32 (default), bf16 or fp16")


def run(arguments: argparse.Namespace) -> None:
    """Write the copy."""
    from evalkit.model import resolve
    from evalkit.model.precision import DTYPES

    if arguments.dtype not in DTYPES:
        raise unknown("dtype", arguments.dtype, DTYPES)
    path = resolve.path_of(arguments.checkpoint)
    import torch

    from evalkit.model import weights

    vocabulary = options.vocabulary(arguments.tokenizer)
    weights.export(path, arguments.to, dtype=getattr(torch, DTYPES[arguments.dtype]), vocabulary=vocabulary)
    print(f"wrote {arguments.checkpoint} in {arguments.dtype} to {arguments.to}")
