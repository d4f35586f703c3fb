"""evalkit train: build the corpus (once), then train."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from evalkit.commands import options
from evalkit.errors import UsageError, unknown

if TYPE_CHECKING:
    from evalkit.corpus import Corpus
    from evalkit.tokenizer import Tokenizer

SUMMARY = "Train a GPT of a ladder size from nothing."
EXAMPLES = """examples:
  evalkit train --size nano --corpus world --tokens 6M --out checkpoints/nano
  evalkit train --size mini --corpus books/ more.txt --vocab 8192 --tokens 20M --out checkpoints/books
  evalkit train --size mini --corpus books/ more.txt --vocab 8192 --tokens 20M --out checkpoints/books --resume
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--size", required=True, help="ladder names with commas, or any other of `evalkit models`")
    parser.add_argument(
        "--corpus", required=True, nargs="+",
        help="a folder of `evalkit corpus build` or of another training (OUT/corpus), or sources as that takes them",
    )  # fmt: skip
    parser.add_argument("--tokens", default="6M", help="training budget, for example 6M (default)")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--resume", action="store_true", help="go on with the training in --out")
    parser.add_argument("--vocab", type=int, help="size of the BPE trained on raw sources (default: 3000)")
    parser.add_argument("--tokenizer", help="take this one instead: a folder, or a model's (gpt2)")
    parser.add_argument("--context", type=int, help="positions (default: the size's)")
    parser.add_argument("--sequences", type=int, default=8, help="sequences per step (default: 8)")
    parser.add_argument("--seed", default="0", help="of the weights and the order of the text; several with commas")
    parser.add_argument("--world-seed", type=int, default=0, help="of the people and texts of the generated world")
    parser.add_argument("--jobs", type=int, help="trainings at a time, if several (default: the number of cores)")
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
    """Build the corpus (once), then train one model, or several on the same text."""
    from evalkit.model.config import SIZES
    from evalkit.train.compiled import Compile
    from evalkit.train.optim import Schedule

    sizes, seeds = arguments.size.split(","), options.integers(arguments.seed, "--seed")
    for size in sizes:
        if size not in SIZES:
            raise unknown("size", size, SIZES)
    if arguments.dtype not in ("bf16", "fp32"):
        raise unknown("dtype", arguments.dtype, ("bf16", "fp32"))
    if arguments.schedule not in get_args(Schedule):
        raise unknown("schedule", arguments.schedule, get_args(Schedule))
    if arguments.compile not in get_args(Compile):
        raise unknown("compile", arguments.compile, get_args(Compile))
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, not {arguments.jobs}")
    options.check_device(arguments.device)
    if len(sizes) * len(seeds) == 1:
        _train_one(arguments, size=sizes[0], seed=seeds[0])
    else:
        _train_several(arguments, sizes=sizes, seeds=seeds)


def _prepare(arguments: argparse.Namespace, *, reuse: bool) -> tuple[Tokenizer, Corpus]:
    from evalkit.corpus.prepare import prepare

    return prepare(
        arguments.corpus, arguments.out / "corpus", tokens=options.count(arguments.tokens, "--tokens"),
        vocab_size=arguments.vocab, tokenizer=options.tokenizer(arguments.tokenizer), seed=arguments.world_seed,
        reuse=reuse,
    )  # fmt: skip


def _train_one(arguments: argparse.Namespace, *, size: str, seed: int) -> None:
    from evalkit.model.config import SIZES, with_shape
    from evalkit.train import loop
    from evalkit.train.optim import OptimConfig

    loop.check_free(arguments.out, resume=arguments.resume)  # before the corpus is built over the old one
    tokenizer, text = _prepare(arguments, reuse=arguments.resume)
    shape = with_shape(SIZES[size], vocab_size=tokenizer.size, context=arguments.context)
    config = loop.TrainConfig(
        model=shape, tokens=options.count(arguments.tokens, "--tokens"), sequences=arguments.sequences, seed=seed,
        dtype=arguments.dtype, device=arguments.device, checkpoint_every=arguments.checkpoint_every,
        checkpoint_keep=arguments.checkpoint_keep, compile=arguments.compile,
        optim=OptimConfig(muon_lr=arguments.muon_lr, adam_lr=arguments.adam_lr, schedule=arguments.schedule),
    )  # fmt: skip
    loop.train(config, text, tokenizer, arguments.out, resume=arguments.resume)
    print(f"{shape.parameters:,} parameters ({shape.block_parameters:,} without embeddings) in {arguments.out}")


def _train_several(arguments: argparse.Namespace, *, sizes: Sequence[str], seeds: Sequence[int]) -> None:
    """Build the corpus for all, then train the largest first, so that the small ones fill the gaps at the end."""
    import os

    from evalkit.model.config import SIZES
    from evalkit.train import ladder, loop

    order = sorted(sizes, key=lambda size: SIZES[size].block_parameters, reverse=True)
    names = {ladder.name_of(size, seed): (size, seed) for size in order for seed in seeds}
    for name in names:
        loop.check_free(arguments.out / name, resume=arguments.resume)
    _prepare(arguments, reuse=arguments.resume)
    passed = ["dtype", "device", "schedule", "compile", "tokens"]
    passed += ["context", "sequences", "muon_lr", "adam_lr", "checkpoint_every", "checkpoint_keep"]
    same = [f"--{key.replace('_', '-')}={value}" for key in passed if (value := getattr(arguments, key)) is not None]
    same += ["--corpus", str(arguments.out / "corpus"), *(["--resume"] if arguments.resume else [])]
    trainings = {
        name: [f"--size={size}", f"--seed={seed}", f"--out={arguments.out / name}", *same]
        for name, (size, seed) in names.items()
    }
    ladder.train_all(trainings, jobs=arguments.jobs or os.cpu_count() or 1)
    print(f"{', '.join(reversed(names))} in {arguments.out}")
