"""evalkit train: build the corpus (once), then train."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from evalkit.commands import options
from evalkit.errors import unknown

SUMMARY = "Train a GPT of a ladder size from nothing."
EXAMPLES = """examples:
  evalkit train --size nano --corpus world --tokens 6M --out checkpoints/nano
  evalkit train --size mini --corpus books/ more.txt --vocab 8192 --tokens 20M --out checkpoints/books
  evalkit train --size mini --corpus books/ more.txt --vocab 8192 --tokens 20M --out checkpoints/books --resume
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--size", required=True, help="a ladder name, or any other of `evalkit models`")
    parser.add_argument("--corpus", required=True, nargs="+", help="'world', or text and JSONL files and folders")
    parser.add_argument("--tokens", default="6M", help="training budget, for example 6M (default)")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--resume", action="store_true", help="go on with the training in --out")
    parser.add_argument("--vocab", type=int, default=3000, help="size of the BPE trained on the corpus (default: 3000)")
    parser.add_argument("--tokenizer", type=Path, help="use this folder's tokenizer instead")
    parser.add_argument("--context", type=int, help="positions (default: the size's)")
    parser.add_argument("--sequences", type=int, default=8, help="sequences per step (default: 8)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dtype", default="bf16", help="bf16 (default) or fp32: of the matrix products; weights stay fp32"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--muon-lr", type=float, default=0.01, help="peak rate of the block matrices; 0: AdamW for all")
    parser.add_argument("--adam-lr", type=float, default=5e-3, help="peak rate of the rest (default: 5e-3)")
    parser.add_argument("--schedule", default="linear", help="linear (default), cosine or trapezoid, after a warm-up")
    parser.add_argument("--checkpoint-every", type=int, default=500, metavar="STEPS")
    parser.add_argument(
        "--checkpoint-keep", type=int, metavar="STEPS", help="keep a model of every so many steps in OUT/step-N"
    )
    parser.add_argument("--compile", default="auto", help="auto (default: for long trainings), on or off")


def run(arguments: argparse.Namespace) -> None:
    """Build the corpus (once), then train."""
    from evalkit.model.config import SIZES, with_shape
    from evalkit.train.compiled import Compile
    from evalkit.train.optim import OptimConfig, Schedule

    if arguments.size not in SIZES:
        raise unknown("size", arguments.size, SIZES)
    if arguments.dtype not in ("bf16", "fp32"):
        raise unknown("dtype", arguments.dtype, ("bf16", "fp32"))
    if arguments.schedule not in get_args(Schedule):
        raise unknown("schedule", arguments.schedule, get_args(Schedule))
    if arguments.compile not in get_args(Compile):
        raise unknown("compile", arguments.compile, get_args(Compile))
    tokens = options.count(arguments.tokens, "--tokens")
    options.check_device(arguments.device)
    from evalkit.train import corpus, loop

    loop.check_free(arguments.out, resume=arguments.resume)  # before the corpus is built over the old one
    tokenizer, text = corpus.prepare(
        arguments.corpus, arguments.out / "corpus", tokens=tokens, vocab_size=arguments.vocab,
        tokenizer_folder=arguments.tokenizer, seed=arguments.seed, reuse=arguments.resume,
    )  # fmt: skip
    shape = with_shape(SIZES[arguments.size], vocab_size=tokenizer.size, context=arguments.context)
    config = loop.TrainConfig(
        model=shape, tokens=tokens, sequences=arguments.sequences, seed=arguments.seed, dtype=arguments.dtype,
        device=arguments.device, checkpoint_every=arguments.checkpoint_every,
        checkpoint_keep=arguments.checkpoint_keep, compile=arguments.compile,
        optim=OptimConfig(muon_lr=arguments.muon_lr, adam_lr=arguments.adam_lr, schedule=arguments.schedule),
    )  # fmt: skip
    loop.train(config, text, tokenizer, arguments.out, resume=arguments.resume)
    print(f"{shape.parameters:,} parameters ({shape.block_parameters:,} without embeddings) in {arguments.out}")
