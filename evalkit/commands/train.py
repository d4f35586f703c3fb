"""evalkit train: build the corpus (once), then train."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from evalkit.commands import options
from evalkit.commands.train_options import configure as configure
from evalkit.errors import UsageError, check_whole, unknown

if TYPE_CHECKING:
    from evalkit.corpus import Corpus
    from evalkit.model.config import GPTConfig
    from evalkit.tokenizer import Tokenizer
    from evalkit.train.config import TrainConfig
    from evalkit.train.distributed import Ranks
    from evalkit.train.observe import Observer
    from evalkit.train.start import Start

log = logging.getLogger(__name__)

# The options that make a shape of one's own.
_SHAPE = ("n_layer", "n_head", "d_model")

SUMMARY = "Train a GPT: of a named size from scratch, or from the weights of another."
EXAMPLES = """examples:
  evalkit train --size nano --corpus world --out checkpoints/nano
  evalkit train --size pico,nano,micro --corpus world --tokens 9M --out checkpoints/ladder
  evalkit train --size mini --corpus books/ more.txt --vocab 8192 --tokens 20M --out checkpoints/books
  evalkit train --size mini --corpus books/ more.txt --vocab 8192 --tokens 20M --out checkpoints/books --resume
  evalkit train --size mini --corpus books/ more.txt --vocab 8192 --tokens 40M --out checkpoints/books --resume
  evalkit train --n-layer 6 --n-head 6 --d-model 384 --context 256 --corpus books/ --tokens 20M --out checkpoints/own
  evalkit train --size nano --arch modern --corpus world --out checkpoints/modern
  evalkit train --from gpt2 --corpus books/ --tokens 20M --muon-lr 0.002 --out checkpoints/gpt2-books
  evalkit train --size nano --corpus world --out checkpoints/nano --eval-every 1M --tasks world-quick --limit 50
  torchrun --nproc-per-node 2 -m evalkit.cli train --size mini --corpus world --out checkpoints/mini

`evalkit models SIZE` shows a size's budget, batch, optimizer and learning rates, with the reasons.
--resume with more --tokens extends a training; docs/training.md says what becomes of its learning rate.
SIGTERM and Ctrl-C save before the training ends; the message says how to continue.
"""


def run(arguments: argparse.Namespace) -> None:
    """Build the corpus (once), then train one model, or several on the same text."""
    from evalkit.train import distributed
    from evalkit.train.stopping import StoppedError

    sizes, seeds = _sizes(arguments), options.integers(arguments.seed, "--seed")
    _check(arguments, sizes)
    try:
        if getattr(arguments, "from"):
            _check_start(arguments, seeds)
        if len(sizes) * len(seeds) > 1:
            if distributed.launched():
                raise UsageError("torchrun trains one size and seed at a time")
            _train_several(arguments, sizes=sizes, seeds=seeds)
            return
        if (arguments.workers, arguments.ray) != (None, None):
            raise UsageError("--workers and --ray are for several sizes or seeds; torchrun distributes one training")
        with distributed.ranks(arguments.device) as ranks:
            _train_one(arguments, size=sizes[0], seed=seeds[0], ranks=ranks)
    except StoppedError as stopped:
        raise StoppedError(f"{stopped}; continue with: {command(arguments)}", stopped.number) from None
    except distributed.WorkerLostError as lost:
        raise distributed.WorkerLostError(
            f"{lost}; continue from the last checkpoint with: {command(arguments)}"
        ) from lost


def _sizes(arguments: argparse.Namespace) -> list[str]:
    """Return the sizes named; for a shape of one's own the one with about as many parameters, whose preset it gets.

    Raises UsageError where the options name no shape, or two.
    """
    from evalkit.train.presets import nearest

    own = {f"--{name.replace('_', '-')}": getattr(arguments, name) for name in _SHAPE}
    chosen = [option for option, value in own.items() if value is not None]
    if getattr(arguments, "from"):
        if chosen:
            raise UsageError(f"{chosen[0]} is the model's with --from; omit it")
        return [""]
    if arguments.size:
        if chosen and "," in arguments.size:
            raise UsageError(f"{chosen[0]} changes one size; --size {arguments.size} names several")
        return str(arguments.size).split(",")
    if missing := [option for option in own if option not in chosen]:
        raise UsageError(f"train needs --size, --from, or a shape of its own ({', '.join(missing)} not given)")
    return [nearest(_shape(arguments, "nano", vocab_size=arguments.vocab or 3000))]


def _shape(arguments: argparse.Namespace, size: str, *, vocab_size: int) -> GPTConfig:
    """Return a named size's shape with what the options change."""
    from evalkit.model.config import SIZES, modern, with_shape

    changes = {name: value for name in _SHAPE if (value := getattr(arguments, name)) is not None}
    shape = with_shape(SIZES[size], vocab_size=vocab_size, context=arguments.context, **changes)
    return modern(shape) if arguments.arch == "modern" else shape


def _check(arguments: argparse.Namespace, sizes: Sequence[str]) -> None:
    """Raise UsageError for wrong options before anything is read or computed."""
    from evalkit.engine.compute import check_device
    from evalkit.model.config import Architecture
    from evalkit.train.compiled import Compile
    from evalkit.train.log import check_tensorboard
    from evalkit.train.presets import preset
    from evalkit.train.schedule import Shape

    for size in filter(None, sizes):
        preset(size)
    allowed: dict[str, Sequence[str]] = {"dtype": ("bf16", "fp32"), "arch": get_args(Architecture)}
    allowed |= {"schedule": get_args(Shape), "compile": get_args(Compile), "optimizer": ("muon", "adamw")}
    for name, values in allowed.items():
        value = getattr(arguments, name)
        if value is not None and value not in values:
            raise unknown(name, value, values)
    for name in ("jobs", "context", "limit"):
        check_whole(f"--{name}", getattr(arguments, name))
    if arguments.jobs and (arguments.workers or arguments.ray):
        raise UsageError("--jobs is for this process, --workers for Ray: give one of them")
    if arguments.optimizer == "adamw" and arguments.muon_lr:
        raise UsageError("--muon-lr needs --optimizer muon")
    check_device(arguments.device)
    if arguments.tensorboard:
        check_tensorboard()


def _check_start(arguments: argparse.Namespace, seeds: Sequence[int]) -> None:
    """Raise UsageError for options that a training from weights cannot have, or lacks."""
    if arguments.vocab is not None:
        raise UsageError("--vocab is the model's with --from; omit it")
    if arguments.arch != "gpt2":
        raise UsageError("--arch is the model's with --from; omit it")
    if not arguments.tokens:
        raise UsageError("--from needs --tokens, for example --tokens 2M: a preset's budget is for random weights")
    if len(seeds) > 1:
        raise UsageError("--from trains one seed at a time")


def command(arguments: argparse.Namespace) -> str:
    """Return the command line that resumes a training."""
    start = ["evalkit", "train"]
    if processes := os.environ.get("LOCAL_WORLD_SIZE"):
        start = ["torchrun", "--nproc-per-node", processes, "-m", "evalkit.cli", "train"]
    return shlex.join([*start, *_words(arguments, resume=-1)])


def _words(arguments: argparse.Namespace, **changes: Any) -> list[str]:
    """Return the parsed options as command-line words, without those that have their default."""
    parser = argparse.ArgumentParser()
    configure(parser)
    words: list[str] = []
    for name, value in (vars(arguments) | changes).items():
        flag = f"--{name.replace('_', '-')}"
        if name in ("command", "log_level", "log_json", "config") or value == parser.get_default(name):
            continue
        if name == "resume":
            words += [flag] if value < 0 else [flag, str(value)]
        elif name == "data":
            words += [word for entry in value for word in (flag, entry)]
        elif isinstance(value, list):
            words += [flag, *value]
        else:
            words += [flag] if value is True else [f"{flag}={value}"]
    return words


def _prepare(
    arguments: argparse.Namespace, *, tokens: int, reuse: bool, start: Start | None = None
) -> tuple[Tokenizer, Corpus]:
    """Return tokenizer and corpus; one that is built for a start gets its tokenizer."""
    from evalkit.corpus.prepare import built_corpus, prepare

    tokenizer = options.tokenizer(arguments.tokenizer)
    if start and not built_corpus(arguments.corpus):
        tokenizer = start.tokenizer
    return prepare(
        arguments.corpus, arguments.out / "corpus", tokens=tokens, vocab_size=arguments.vocab, tokenizer=tokenizer,
        seed=arguments.world_seed, reuse=reuse,
        column=arguments.column, skip_bad=arguments.skip_bad,
    )  # fmt: skip


def _configuration(
    arguments: argparse.Namespace, *, size: str, seed: int, vocab_size: int, start: Start | None = None
) -> TrainConfig:
    """Return the configuration: the preset of a size, or of a start's nearest, overridden by the options."""
    from evalkit.train.config import TrainConfig
    from evalkit.train.optim import OptimConfig
    from evalkit.train.presets import nearest, preset

    def chosen(name: str) -> Any:
        value = getattr(arguments, name)
        return getattr(default, name) if value is None else value

    size = nearest(start.model.config) if start else size
    shape = start.model.config if start else _shape(arguments, size, vocab_size=vocab_size)
    default = preset(size, arguments.arch)
    muon_lr = 0.0 if arguments.optimizer == "adamw" else chosen("muon_lr")
    if arguments.optimizer == "muon" and not muon_lr:
        raise UsageError(f"--optimizer muon: {size} is an AdamW preset; give --muon-lr, for example 0.02")
    adam_lr = default.adam_rate(alone=not muon_lr) if arguments.adam_lr is None else arguments.adam_lr
    optim = OptimConfig(
        muon_lr=muon_lr, adam_lr=adam_lr, schedule=chosen("schedule"), warmup=arguments.warmup,
        weight_decay=arguments.weight_decay, clip=arguments.clip,
    )  # fmt: skip
    return TrainConfig(
        model=replace(shape, dropout=chosen("dropout")),
        tokens=_tokens(arguments, size), sequences=chosen("sequences"), window=arguments.context if start else None,
        accumulate=arguments.accumulate,
        recompute=arguments.recompute, shard=arguments.fsdp, seed=seed, dtype=_dtype(arguments), optim=optim,
        device=arguments.device, checkpoint_every=arguments.checkpoint_every, keep_last=arguments.keep_last,
        checkpoint_keep=arguments.checkpoint_keep, compile=arguments.compile, spike=arguments.spike,
    )  # fmt: skip


def _dtype(arguments: argparse.Namespace) -> Literal["bf16", "fp32"]:
    """Return the format asked for, that of the training to resume, or the one that suits the hardware."""
    from evalkit.model.precision import training_dtype
    from evalkit.train.checkpoints import dtype_of

    stored = dtype_of(arguments.out) if arguments.resume is not None else None
    return "fp32" if (arguments.dtype or stored or training_dtype(arguments.device)) == "fp32" else "bf16"


def _tokens(arguments: argparse.Namespace, size: str) -> int:
    from evalkit.train.presets import preset

    return options.count(arguments.tokens, "--tokens") if arguments.tokens else preset(size, arguments.arch).tokens


def _resume(arguments: argparse.Namespace) -> int | bool:
    """Return what to resume: nothing (False), the newest state (True), or the state of a step."""
    if arguments.resume is None:
        return False
    return True if arguments.resume == -1 else int(arguments.resume)


def _observers(arguments: argparse.Namespace) -> list[Observer]:
    """Return the observers of the training; their tasks are loaded now, so that errors show before it begins."""
    if not (arguments.eval_every or arguments.sample_every):
        return []
    from evalkit.harness import catalog
    from evalkit.harness.load import load
    from evalkit.harness.settings import RunSettings
    from evalkit.train.observe import Evaluation, Samples

    observers: list[Observer] = []
    if arguments.eval_every:
        settings, data = RunSettings(limit=arguments.limit), options.data(arguments)
        chosen = catalog.choose(filter(None, arguments.tasks.split(",")))
        catalog.check_data(data, [task for task, _ in chosen])
        tasks = [load(task, replace(settings, protocol=protocol), data) for task, protocol in chosen]
        observers.append(
            Evaluation(every=options.count(arguments.eval_every, "--eval-every"), tasks=tasks, settings=settings)
        )
    if arguments.sample_every:
        observers.append(Samples(every=options.count(arguments.sample_every, "--sample-every")))
    return observers


def _train_one(arguments: argparse.Namespace, *, size: str, seed: int, ranks: Ranks) -> None:
    from evalkit.report.figures import losses
    from evalkit.train import checkpoints, loop
    from evalkit.train import start as starts

    resume, out = _resume(arguments), arguments.out
    checkpoints.check_free(out, resume=resume is not False)  # before the corpus is built over the old one
    start = (
        starts.load(origin, vocabulary=options.vocabulary(arguments.tokenizer))
        if (origin := getattr(arguments, "from"))
        else None
    )
    _configuration(arguments, size=size, seed=seed, vocab_size=arguments.vocab or 3000, start=start).parts(ranks.size)
    surroundings = loop.Surroundings(ranks=ranks, observers=_observers(arguments), tensorboard=arguments.tensorboard)
    tokens = _tokens(arguments, size)
    if ranks.first:
        _prepare(arguments, tokens=tokens, reuse=resume is not False, start=start)
    ranks.wait()
    tokenizer, text = _prepare(arguments, tokens=tokens, reuse=True, start=start)
    config = _configuration(arguments, size=size, seed=seed, vocab_size=tokenizer.size, start=start)
    if ranks.first:
        optim = config.optim
        rates = (f"Muon {optim.muon_lr:g}, " if optim.muon_lr else "") + f"AdamW {optim.adam_lr:g}, {optim.schedule}"
        if text.info.skipped:
            print(f"{text.info.skipped:,} rows of the corpus without text were skipped", file=sys.stderr)
        if config.tokens < config.tokens_per_step:
            log.warning(
                "--tokens %s is less than a step: one step of %s tokens is trained",
                f"{config.tokens:,}", f"{config.tokens_per_step:,}",
            )  # fmt: skip
        print(f"{config.steps:,} steps of {config.sequences} x {config.length} tokens; {rates}", file=sys.stderr)
    loop.train(config, text, tokenizer, out, resume=resume, start=start, surroundings=surroundings)
    if ranks.first:
        try:
            losses.write(out)
        except UsageError as error:  # without the package that draws, the training is as good
            log.warning("no figure of the loss: %s", error)
        shape = config.model
        print(f"{shape.parameters:,} parameters ({shape.block_parameters:,} without embeddings) in {out}")


def _train_several(arguments: argparse.Namespace, *, sizes: Sequence[str], seeds: Sequence[int]) -> None:
    """Build one corpus for all, then train the largest first, so that the small ones fill the gaps at the end."""
    from evalkit.corpus.prepare import built_corpus
    from evalkit.model.config import SIZES
    from evalkit.train import checkpoints, ladder, ladder_workers

    order = sorted(sizes, key=lambda size: SIZES[size].block_parameters, reverse=True)
    names = {ladder.name_of(size, seed): (size, seed) for size in order for seed in seeds}
    resuming = _resume(arguments)
    for name, (size, seed) in names.items():
        checkpoints.check_free(arguments.out / name, resume=resuming is not False)
        _configuration(arguments, size=size, seed=seed, vocab_size=arguments.vocab or 3000).parts(1)
    _observers(arguments)
    largest_budget = max(_tokens(arguments, size) for size in sizes)
    _prepare(arguments, tokens=largest_budget, reuse=resuming is not False)
    corpus = built_corpus(arguments.corpus) or arguments.out / "corpus"
    shared = dict.fromkeys(("vocab", "tokenizer", "column", "jobs", "workers", "ray"))
    shared |= {"corpus": [str(corpus)], "skip_bad": False}

    def trainings(**changes: Any) -> dict[str, list[str]]:
        return {
            name: _words(arguments, size=size, seed=str(seed), out=arguments.out / name, **shared, **changes)
            for name, (size, seed) in names.items()
        }

    if arguments.workers is None and arguments.ray is None:
        ladder.train_all(trainings(), jobs=arguments.jobs or os.cpu_count() or 1)
    else:
        with ladder_workers.workers(
            trainings(), trainings(resume=-1), number=arguments.workers, address=arguments.ray, device=arguments.device
        ) as (number, start):
            ladder.train_all(trainings(), jobs=number, start=start)
    print(f"{', '.join(reversed(names))} in {arguments.out}")
