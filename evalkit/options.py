"""The options of every command, and the examples that its help shows."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evalkit import __version__

_RUN = """examples:
  evalkit run --model nano                            the bundled nano on the whole world suite
  evalkit run --model nano --shots 0,1,4              zero-, one- and four-shot
  evalkit run --model nano,runs/mine --tasks world_qa,world_reading --seeds 1,2,3
  EVALKIT_DATA=data evalkit run --model gpt2 --tasks lambada,coqa --limit 200
  evalkit run --model hf:EleutherAI/pythia-70m --tasks lambada --data lambada=lambada_test.jsonl
  evalkit run --model gpt2 --tasks nq_open --data nq_open=NQ-open.dev.jsonl --shots 0,8
"""
_TRAIN = """examples:
  evalkit train --size nano --corpus world --tokens 6M --out checkpoints/nano
  evalkit train --size mini --corpus books/ more.txt --vocab 8192 --tokens 20M --out checkpoints/books
  evalkit train --size mini --corpus books/ more.txt --vocab 8192 --tokens 20M --out checkpoints/books --resume
"""
_TASKS = """examples:
  evalkit tasks                                       every task: family, metric, where its data is
  evalkit tasks world_qa --shots 2                    one rendered prompt
"""
_MODELS = """examples:
  evalkit models
  evalkit models nano                                 its configuration and training record
"""
_EXPORT = """examples:
  evalkit export checkpoints/mine --to mine-bf16 --dtype bf16
"""
_GENERATE = """examples:
  evalkit generate --model nano --prompt "the red house = "
  evalkit generate --model nano --prompt "Once" --top-k 40 --temperature 0.8 --max-tokens 100 --seed 7
  evalkit generate --model nano --prompt "the red house = " --beams 4 --until '\\n'
"""


def parser(commands: Mapping[str, Callable[[Any], Any]]) -> argparse.ArgumentParser:
    """Build the parser; `commands` maps a command's name to what runs it, which becomes arguments.command."""
    whole = argparse.ArgumentParser(prog="evalkit", description="Zero-shot and few-shot evaluation of GPTs.")
    whole.add_argument("--version", action="version", version=f"evalkit {__version__}")
    subparsers = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, summary: str, examples: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(
            name, help=summary, description=summary, epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        sub.set_defaults(command=commands[name])
        return sub

    _run_options(add("run", "Evaluate models on tasks; store every item; print the table.", _RUN))
    _train_options(add("train", "Train a GPT of a ladder size from nothing.", _TRAIN))
    _tasks_options(add("tasks", "List the tasks, or show one rendered prompt.", _TASKS))
    models = add("models", "List the models by name, or show one.", _MODELS)
    models.add_argument("name", nargs="?", help="a model to show")
    export = add("export", "Copy a checkpoint at a precision, as a folder that transformers reads.", _EXPORT)
    export.add_argument("checkpoint", metavar="CKPT", help="checkpoint folder or model name")
    export.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="a new folder")
    export.add_argument("--dtype", default="fp32", help="fp32 (default), bf16 or fp16")
    _generate_options(add("generate", "Let a model continue a text.", _GENERATE))
    return whole


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        required=True,
        help="ladder name, gpt1, GPT-2 size, checkpoint folder, or hf:ID or hf:FOLDER (by transformers); with commas",
    )
    parser.add_argument(
        "--tasks",
        default="world",
        help="tasks, suites (world, a family, all), globs, task files (default: world)",
    )
    parser.add_argument("--shots", default="0", help="counts of examples in the prompt (default: 0)")
    parser.add_argument("--protocol", help="how to build prompts (default: each task's first)")
    parser.add_argument("--limit", type=int, help="documents per task: a fixed pseudo-random subset")
    parser.add_argument("--seeds", default="1", help="seeds for drawing shots and sampling (default: 1)")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where a benchmark's file or folder is",
    )
    parser.add_argument("--out", type=Path, help="run folder (default: runs/MODEL-SETTINGS)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out (a second start does so anyway)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table as Markdown")
    parser.add_argument("--all-metrics", action="store_true", help="show every metric, not only each task's first")
    parser.add_argument("--levels", action="store_true", help="show each task's levels (head and tail, ...) too")
    _engine_options(parser)


def _engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dtype", default="fp32", help="fp32 (default), bf16 or fp16: of weights and matrix products")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument(
        "--batch-tokens", type=int, default=16384, help="tokens in a batch: speed and memory, never a score"
    )


def _train_options(parser: argparse.ArgumentParser) -> None:
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


def _tasks_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a task to show")
    parser.add_argument("--shots", type=int, default=0, help="examples in the shown prompt")
    parser.add_argument("--protocol", help="how to build the prompt")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=PATH")


def _generate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--top-k", type=int, help="1: greedy; 0: no limit (default: 40; 1 with --beams)")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--beams", type=int, default=1, help="width of a beam search (default: 1, none)")
    parser.add_argument("--length-penalty", type=float, default=0.6, help="of the beam search (default: 0.6)")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument(
        "--until", action="append", default=[], metavar="TEXT", help="stop before this text; \\n is a line break"
    )
    parser.add_argument("--seed", type=int, default=0)
    _engine_options(parser)
