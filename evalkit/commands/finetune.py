"""evalkit finetune: GPT-1's supervised stage on one or more tasks, on all training examples or on K of them."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from evalkit.commands import options
from evalkit.commands.helping import group
from evalkit.errors import UsageError, unknown

if TYPE_CHECKING:
    from evalkit.train.finetune.loop import FinetuneConfig
    from evalkit.train.finetune.run import Settings
    from evalkit.types import Result

log = logging.getLogger(__name__)

SUMMARY = "Fine-tune a model on tasks as GPT-1 was, on all training examples or on K; store a run."
EXAMPLES = """examples:
  evalkit finetune --model gpt1 --task sst2 --out runs/sst2          the paper's settings
  evalkit finetune --model mini --task sst2,cola,rte --seeds 0,1,2 --learning-rate 1e-3 --out runs/mini-ft
  evalkit finetune --model mini --task sst2,cola,rte --seeds 0,1,2 --learning-rate 1e-3 --no-pretraining --out runs/none
  evalkit finetune --model mini --task sst2 --shots 1,8,64,all --draws 5 --out runs/mini-shots
  evalkit finetune --evaluate runs/sst2/checkpoints/sst2-all-seed0 --out runs/again

Repeating a command that was interrupted continues where it stopped. `evalkit report` and `compare` read these runs like
any others: their protocol is "finetuned", their shots are the number of training examples.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", help="ladder name, gpt1, GPT-2 size or checkpoint folder")
    what.add_argument(
        "--evaluate", type=Path, metavar="CKPT", help="score this fine-tuned model again, without training"
    )
    parser.add_argument(
        "--task", default="", help="tasks of the GPT-1 paper, separated by commas: sst2, cola, rte, ..."
    )
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    parser.add_argument("--seeds", default="0", help="of new weights, order and dropout (default: 0)")
    parser.add_argument("--shots", default="all", help="numbers of training examples, or all (default)")
    parser.add_argument("--draws", type=int, default=5, help="how many draws of K examples (default: 5)")
    optimization = group(parser, "optimization")
    optimization.add_argument("--no-pretraining", action="store_true", help="start from random weights (table 5)")
    optimization.add_argument("--no-auxiliary", action="store_true", help="without the language model's loss (table 5)")
    _add_hyperparameters(parser)
    parser.add_argument("--limit", type=int, help="scored documents per task: a fixed pseudo-random subset")
    prompts = group(parser, "tasks and prompts")
    prompts.add_argument("--limit-train", type=int, metavar="N", help="training examples per task: likewise")
    prompts.add_argument("--data", action="append", default=[], metavar="NAME=PATH", help="where a benchmark's data is")
    group(parser, "output").add_argument(
        "--keep", default="full", help="models to keep: full (default: those trained on all examples), all or none"
    )
    group(parser, "computing").add_argument(
        "--dtype", type=options.dtype,
        help="bf16 or fp32: of matrix products; weights stay fp32 (default: bf16 where the hardware multiplies it "
        "faster)",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")


def _add_hyperparameters(parser: argparse.ArgumentParser) -> None:
    optimization = group(parser, "optimization")
    optimization.add_argument(
        "--learning-rate", default="6.25e-5", metavar="RATE",
        help="at its peak (default: the paper's 6.25e-5); several with commas, or auto: for each task the best on "
        "training examples held out for this choice",
    )  # fmt: skip
    optimization.add_argument("--epochs", type=int, default=3)
    optimization.add_argument("--batch", type=int, default=32, help="examples per update (default: 32)")
    optimization.add_argument("--auxiliary", type=float, default=0.5, help="weight of the language model's loss (0.5)")
    optimization.add_argument("--dropout", type=float, default=0.1, help="in the model (default: 0.1)")
    optimization.add_argument("--head-dropout", type=float, default=0.1, help="before the head (default: 0.1)")
    optimization.add_argument("--weight-decay", type=float, default=0.01)
    optimization.add_argument("--warmup", type=float, default=0.002, help="share of all updates (default: 0.002)")
    optimization.add_argument("--least-updates", type=int, default=100, help="minimum, for few examples (default: 100)")
    options.add_max_failed(parser)


def run(arguments: argparse.Namespace) -> int:
    """Fine-tune, or score a stored model again; print the table. Return 1 if too many items failed."""
    from evalkit.engine.compute import check_device
    from evalkit.model.precision import training_dtype
    from evalkit.report import run_table
    from evalkit.report.terminal import runs as run_terminal

    allowed = options.share(arguments.max_failed, "--max-failed")
    arguments.dtype = arguments.dtype or training_dtype(arguments.device)
    if arguments.dtype not in ("bf16", "fp32"):
        raise unknown("dtype", arguments.dtype, ("bf16", "fp32"))
    check_device(arguments.device)
    results = _judge_again(arguments) if arguments.evaluate else _finetune(arguments)
    run_terminal.show(results, options.console(), all_metrics=True, allowed=allowed)
    print(f"stored in {arguments.out}")
    marked = dict.fromkeys(f"{r.task} ({r.failed:,} items)" for r in results if run_table.is_marked(r, allowed=allowed))
    if marked:
        log.error("too many items failed: %s; records.jsonl says why (field error)", ", ".join(marked))
    return 1 if marked else 0


def _finetune(arguments: argparse.Namespace) -> Sequence[Result]:
    from evalkit.harness import catalog
    from evalkit.model import formats, resolve

    settings = _settings(arguments)
    if arguments.model.startswith("hf:"):
        raise UsageError(
            f"--model {arguments.model}: models run by transformers cannot be fine-tuned; only evalkit's own GPT can"
        )
    from evalkit.train.finetune.inputs import form_of

    names = [name for name in arguments.task.split(",") if name]
    if not names:
        raise UsageError("--task: expected at least one, for example --task sst2,cola")
    for name in names:
        form_of(name)
    checkpoint = formats.open(resolve.path_of(arguments.model))
    tasks = catalog.select(names)
    data = options.data(arguments)
    catalog.check_data(data, tasks)
    from evalkit.model import weights
    from evalkit.train.finetune.data import prepare
    from evalkit.train.finetune.run import Base, finetune

    gpt, tokenizer = weights.build(checkpoint, device=arguments.device)
    label = resolve.label_of(arguments.model, checkpoint.path)
    base = Base(gpt=weights.storable(gpt), tokenizer=tokenizer, label=label, digest=checkpoint.content_hash)
    model_limits = {"first_special": gpt.config.vocab_size, "context": gpt.config.context}
    limits = {"limit": arguments.limit, "limit_train": arguments.limit_train}
    prepared = [prepare(task, tokenizer, data, **model_limits, **limits) for task in tasks]
    for task_data in prepared:
        if cut := sum(example.cut > 0 for example in (*task_data.training, *task_data.scored)):
            print(f"{task_data.task.name}: {cut:,} examples are cut to the context of {gpt.config.context}")
    return finetune(base, prepared, settings, arguments.out, training=checkpoint.training)


def _settings(arguments: argparse.Namespace) -> Settings:
    from evalkit.train.finetune.run import Keep, Settings

    if arguments.keep not in get_args(Keep):
        raise unknown("value", arguments.keep, get_args(Keep), where="of --keep")
    words = [word.strip() for word in arguments.shots.split(",")]
    numbers = [word for word in words if word != "all"]
    counts = options.integers(",".join(numbers), "--shots") if numbers else ()
    rates = _rates(arguments.learning_rate)
    return Settings(
        config=_config(arguments, learning_rate=rates[0]),
        shots=(*counts, *([None] if "all" in words else [])),
        seeds=options.integers(arguments.seeds, "--seeds"),
        draws=arguments.draws,
        limit=arguments.limit,
        limit_train=arguments.limit_train,
        rates=rates if len(rates) > 1 else (),
        keep=arguments.keep,
    )


def _rates(text: str) -> tuple[float, ...]:
    from evalkit.train.finetune.rates import CANDIDATES

    try:
        return CANDIDATES if text == "auto" else tuple(dict.fromkeys(map(float, text.split(","))))
    except ValueError:
        raise UsageError(
            f"--learning-rate {text!r}: expected a number such as 1e-3, several separated by commas, or auto"
        ) from None


def _config(arguments: argparse.Namespace, *, learning_rate: float) -> FinetuneConfig:
    from evalkit.train.finetune.loop import FinetuneConfig

    same = ("epochs", "batch", "dropout", "head_dropout", "weight_decay", "warmup", "least_updates", "dtype", "device")
    return FinetuneConfig(
        learning_rate=learning_rate,
        auxiliary=0.0 if arguments.no_auxiliary else arguments.auxiliary,
        pretrained=not arguments.no_pretraining,
        **{name: getattr(arguments, name) for name in same},
    )


def _judge_again(arguments: argparse.Namespace) -> Sequence[Result]:
    from evalkit.harness import catalog
    from evalkit.train.finetune import model as models
    from evalkit.train.finetune.data import prepare
    from evalkit.train.finetune.run import judge_again

    if arguments.task:
        raise UsageError("--evaluate uses the model's own task; omit --task")
    model, tokenizer, description = models.load(arguments.evaluate, device=arguments.device)
    [task] = catalog.select([description["task"]])
    model_limits = {"first_special": model.config.vocab_size - models.SPECIAL, "context": model.config.context}
    limits = {"limit": arguments.limit, "limit_train": description["settings"]["limit_train"]}
    data = prepare(task, tokenizer, options.data(arguments), **model_limits, **limits)
    return judge_again(model, data, description, arguments.out, limit=arguments.limit)
