"""The options of evalkit train."""

from __future__ import annotations

import argparse

from evalkit.commands import options
from evalkit.commands.helping import group


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--size", help="one or more sizes of `evalkit models`, separated by commas")
    what.add_argument(
        "--from", metavar="MODEL", help="start from the weights, shape and tokenizer of a model: a name or a path"
    )
    shape, corpus = group(parser, "shape"), group(parser, "corpus")
    shape.add_argument("--n-layer", type=int, help="a shape of your own: layers (default: the size's)")
    shape.add_argument("--n-head", type=int, help="attention heads (default: the size's)")
    shape.add_argument("--d-model", type=int, help="width, a multiple of the heads (default: the size's)")
    shape.add_argument(
        "--arch",
        default="gpt2",
        help="gpt2 (default: the size as its paper has it) or modern (rotary positions, RMS norms, SwiGLU, no biases)",
    )
    parser.add_argument(
        "--corpus", required=True, nargs="+",
        help="a folder of `evalkit corpus build` or of another training (OUT/corpus), or sources as for corpus build",
    )  # fmt: skip
    corpus.add_argument("--column", help="column of the text in JSONL, parquet and datasets (default: text)")
    corpus.add_argument(
        "--skip-bad", action="store_true", help="skip and count rows without text instead of ending at the first"
    )
    parser.add_argument("--out", type=options.folder, required=True, help="checkpoint folder")
    parser.add_argument(
        "--resume", nargs="?", type=int, const=-1, metavar="STEP",
        help="continue the training in --out, or go back to a step kept by --keep-last; more --tokens extend it",
    )  # fmt: skip
    _add_budget(parser)
    _add_optimizer(parser)
    _add_machine(parser)
    _add_watching(parser)


def _add_budget(parser: argparse.ArgumentParser) -> None:
    corpus = group(parser, "corpus")
    parser.add_argument("--tokens", help="training budget, for example 6M (default: the size's preset)")
    corpus.add_argument("--vocab", type=int, help="size of the BPE trained on raw sources (default: 3000)")
    corpus.add_argument("--tokenizer", help="use this tokenizer instead: a folder, or a model's name (gpt2)")
    group(parser, "shape").add_argument(
        "--context", type=int, help="positions (default: the size's); with --from: of a sequence"
    )
    group(parser, "optimization").add_argument(
        "--batch-size", "--sequences", dest="sequences", type=int,
        help="sequences per step (default: the size's preset)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", default="0", help="of the weights and the order of the text; several separated by commas"
    )
    corpus.add_argument("--world-seed", type=int, default=0, help="of the people and texts of the generated world")


def _add_optimizer(parser: argparse.ArgumentParser) -> None:
    optimization = group(parser, "optimization")
    optimization.add_argument("--optimizer", help="muon (for the block matrices) or adamw (default: the size's preset)")
    optimization.add_argument("--muon-lr", type=float, help="peak rate of the block matrices (default: the preset's)")
    optimization.add_argument("--adam-lr", type=float, help="peak rate of the rest, or of all (default: the preset's)")
    optimization.add_argument(
        "--schedule", help="linear, cosine, constant or trapezoid, after a warm-up (default: the preset's)"
    )
    optimization.add_argument("--warmup", type=float, default=0.02, help="share of the steps (default: 0.02)")
    optimization.add_argument(
        "--weight-decay", type=float, default=0.1, help="applied to matrices, not to vectors (default: 0.1)"
    )
    optimization.add_argument("--clip", type=float, default=1.0, help="largest norm of the gradient (default: 1)")
    optimization.add_argument("--dropout", type=float, help="GPT-1's was 0.1 (default: the preset's)")
    optimization.add_argument(
        "--spike", type=float, default=1.0, metavar="NATS",
        help="stop when the loss stays this far above its running median (default: 1)",
    )  # fmt: skip


def _add_machine(parser: argparse.ArgumentParser) -> None:
    computing = group(parser, "computing")
    computing.add_argument(
        "--jobs", type=int, help="trainings at a time, if there are several (default: the number of cores)"
    )
    computing.add_argument(
        "--workers", type=int, metavar="N",
        help="trainings at a time as tasks of Ray, if there are several; one whose worker dies goes on from its "
        "checkpoint (needs evalkit[ray])",
    )  # fmt: skip
    computing.add_argument(
        "--ray", metavar="ADDRESS",
        help="train on this running cluster of Ray (auto: this machine's), whose machines share the file system; "
        "without --workers one training per GPU, or per machine",
    )  # fmt: skip
    computing.add_argument(
        "--dtype",
        type=options.dtype,
        help="bf16 or fp32: of the matrix products; weights stay fp32 (default: bf16 where the hardware multiplies it "
        "faster; of a resumed training its own)",
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    computing.add_argument(
        "--compile",
        default="auto",
        help="auto, on or off: torch.compile; auto, the default, compiles long trainings on a GPU and none on a "
        "processor, whose kernels are fused already",
    )
    computing.add_argument(
        "--accumulate",
        type=int,
        metavar="PARTS",
        help="split each step into this many parts (default: parts of at most 32k tokens)",
    )
    computing.add_argument(
        "--recompute",
        action="store_true",
        help="recompute activations inside blocks instead of storing them: saves memory",
    )
    computing.add_argument("--fsdp", action="store_true", help="under torchrun: split weights and optimizer (FSDP2)")


def _add_watching(parser: argparse.ArgumentParser) -> None:
    checkpoints, evaluation = group(parser, "checkpoints"), group(parser, "evaluation on the way")
    checkpoints.add_argument("--checkpoint-every", type=int, default=500, metavar="STEPS")
    checkpoints.add_argument(
        "--checkpoint-keep", type=int, metavar="STEPS", help="keep a model every STEPS steps, in OUT/step-N"
    )
    checkpoints.add_argument(
        "--keep-last",
        type=int,
        default=1,
        metavar="COUNT",
        help="number of checkpoints that --resume STEP can go back to",
    )
    evaluation.add_argument(
        "--eval-every", metavar="TOKENS", help="run --tasks during the training, into OUT/eval/step-N"
    )
    evaluation.add_argument("--tasks", default="world-quick", help="what --eval-every runs (default: world-quick)")
    evaluation.add_argument("--limit", type=int, help="documents per task of --eval-every")
    evaluation.add_argument(
        "--data", action="append", default=[], metavar="NAME=PATH", help="where the data of a benchmark in --tasks is"
    )
    evaluation.add_argument(
        "--sample-every", metavar="TOKENS", help="write samples of the model's text into OUT/samples"
    )
    group(parser, "output").add_argument(
        "--tensorboard", action="store_true", help="also write TensorBoard's files, into OUT/tensorboard"
    )
