"""The command line: parses, calls, prints. Heavy modules are imported inside the commands, so that help is instant."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from evalkit import options
from evalkit.errors import DataError, EvalkitError, UsageError, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.engine.batched import BatchedEngine
    from evalkit.harness.sources import DataPaths
    from evalkit.types import Result

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for an error of the user's, 130 when interrupted."""
    arguments = options.parser(_COMMANDS).parse_args(argv)
    try:
        return int(arguments.command(arguments) or 0)
    except EvalkitError as error:
        print(f"evalkit: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            "evalkit: interrupted; what was finished is kept, the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _integers(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"{option} {text!r}: expected whole numbers with commas between, for example 0,1,4") from None


def _count(text: str, option: str) -> int:
    """Parse 20M, 300k, 1.5B or a plain number."""
    unit = {"k": 1e3, "m": 1e6, "b": 1e9}.get(text[-1:].lower(), 1)
    try:
        value = int(float(text[:-1] if unit > 1 else text) * unit)
    except (ValueError, OverflowError):
        value = 0
    if value < 1:
        raise UsageError(f"{option} {text!r}: expected a count such as 20M, 300k or 5000")
    return value


def _data(arguments: argparse.Namespace) -> DataPaths:
    from evalkit.harness.sources import DataPaths

    return DataPaths.from_user(arguments.data, os.environ)


def _engine(name: str, arguments: argparse.Namespace) -> BatchedEngine:
    """Load a model into an engine: transformers' for hf:, ours for all else."""
    if arguments.dtype not in _DTYPES:
        raise unknown("dtype", arguments.dtype, _DTYPES)
    from evalkit.model import resolve

    folder = resolve.folder_of(name)
    import torch

    from evalkit.engine import hf
    from evalkit.engine.gpt import GPTEngine
    from evalkit.model import weights

    _check_device(arguments.device)
    if arguments.batch_tokens < 1:
        raise UsageError(f"--batch-tokens must be at least 1, not {arguments.batch_tokens}")
    dtype = getattr(torch, _DTYPES[arguments.dtype])
    plain = name.removeprefix("hf:")
    label = folder.name if Path(plain).is_dir() else plain
    if name != plain:
        return hf.load(
            folder, name=f"hf:{label}", dtype=dtype, device=arguments.device, batch_tokens=arguments.batch_tokens
        )
    model, tokenizer = weights.load(folder, dtype=dtype, device=arguments.device)
    return GPTEngine(
        model,
        tokenizer,
        name=label,
        content_hash=weights.content_hash(folder),
        batch_tokens=arguments.batch_tokens,
    )


def _check_device(device: str) -> None:
    import torch

    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise unknown("device", device, ("cpu", "cuda"))
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device {device!r}: this machine has no CUDA device (allowed here: cpu)")


def _run(arguments: argparse.Namespace) -> None:
    """Evaluate each model in turn; the table at the end holds all of them."""
    from evalkit.harness import catalog
    from evalkit.harness.run import RunSettings, describe, evaluate, load, settings_digest
    from evalkit.harness.store import RunStore
    from evalkit.model import resolve

    settings = RunSettings(
        shots=_integers(arguments.shots, "--shots"),
        seeds=_integers(arguments.seeds, "--seeds"),
        protocol=arguments.protocol,
        limit=arguments.limit,
    )
    names = [name for name in arguments.model.split(",") if name]
    for name in names:  # a wrong name is found before the first model has run for hours
        resolve.folder_of(name)
    catalog.check_protocol(settings.protocol)
    data = _data(arguments)
    chosen = catalog.select(filter(None, arguments.tasks.split(",")))
    catalog.check_data(data, chosen)
    tasks = [load(task, settings, data) for task in chosen]
    results: list[Result] = []
    folders = []
    for name in names:
        engine = _engine(name, arguments)
        about = describe(engine, tasks, settings)
        label = about["model"]["model"].replace("/", "-").replace(":", "-")
        folder = arguments.out or Path("runs") / f"{label}-{settings_digest(about)}"
        folders.append(folder / label if arguments.out and len(names) > 1 else folder)
        with RunStore(folders[-1], about) as store:
            results += evaluate(engine, tasks, settings, store)
    _print_results(results, folders, arguments)


def _console() -> Console:
    """Return a console as wide as the terminal; a file or a pipe gets whole lines."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 400)


def _print_results(results: Sequence[Result], folders: Sequence[Path], arguments: argparse.Namespace) -> None:
    from evalkit.files import write_atomic
    from evalkit.report import table

    table.show(results, _console(), all_metrics=arguments.all_metrics, levels=arguments.levels)
    print(f"stored in {', '.join(map(str, folders))}")
    if arguments.markdown:
        body = table.markdown(results, all_metrics=arguments.all_metrics, levels=arguments.levels)
        write_atomic(arguments.markdown, body)
    failed = sum(r.failed for r in results if r.source == "model" and not r.level)
    if failed:
        print("some items failed and are not scored; records.jsonl says why (field error)", file=sys.stderr)


def _train(arguments: argparse.Namespace) -> None:
    """Build the corpus (once), then train."""
    from evalkit.model.config import SIZES, with_shape
    from evalkit.train.optim import OptimConfig, Schedule

    if arguments.size not in SIZES:
        raise unknown("size", arguments.size, SIZES)
    if arguments.dtype not in ("bf16", "fp32"):
        raise unknown("dtype", arguments.dtype, ("bf16", "fp32"))
    if arguments.schedule not in get_args(Schedule):
        raise unknown("schedule", arguments.schedule, get_args(Schedule))
    tokens = _count(arguments.tokens, "--tokens")
    _check_device(arguments.device)
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
        optim=OptimConfig(muon_lr=arguments.muon_lr, adam_lr=arguments.adam_lr, schedule=arguments.schedule),
    )  # fmt: skip
    loop.train(config, text, tokenizer, arguments.out, resume=arguments.resume)
    print(f"{shape.parameters:,} parameters ({shape.block_parameters:,} without embeddings) in {arguments.out}")


def _tasks(arguments: argparse.Namespace) -> None:
    from rich.table import Table
    from rich.text import Text

    from evalkit.harness import catalog, preview

    data = _data(arguments)
    console = _console()
    if arguments.name:
        catalog.check_protocol(arguments.protocol)
        [task] = catalog.select([arguments.name])[:1]
        shown = preview.prompt(task, protocol=arguments.protocol, shots=arguments.shots, data=data)
        console.print(Text(shown.about, style="dim"))
        console.print(Text.assemble((shown.context, "cyan"), (shown.target, "bold green")), soft_wrap=True)
        return
    table = Table("task", "family", "metric", "protocols", "data", "what", box=None, header_style="bold")
    for task in catalog.bundled().values():
        first = next(iter(task.protocols.values()))
        try:
            here = Text(task.source.at_hand(data) or "hub or --data")
        except DataError as error:  # one broken benchmark does not hide the others
            here = Text(str(error), style="red")
        table.add_row(task.name, task.family, first.metrics[0], ", ".join(task.protocols), here, task.title)
    console.print(table)
    console.print(f"suites: {', '.join(catalog.suites())}")


def _models(arguments: argparse.Namespace) -> None:
    from evalkit.model import resolve
    from evalkit.report import models

    if arguments.name is None:
        _console().print(models.table())
        return
    folder = resolve.folder_of(arguments.name)
    for name in ("config.json", "training.json"):
        if (folder / name).is_file():
            print(f"{folder / name}\n{(folder / name).read_text(encoding='utf-8').rstrip()}")


def _export(arguments: argparse.Namespace) -> None:
    from evalkit.model import resolve

    if arguments.dtype not in _DTYPES:
        raise unknown("dtype", arguments.dtype, _DTYPES)
    folder = resolve.folder_of(arguments.checkpoint)
    import torch

    from evalkit.model import weights

    weights.export(folder, arguments.to, dtype=getattr(torch, _DTYPES[arguments.dtype]))
    print(f"{folder} in {arguments.dtype}: {arguments.to}")


def _generate(arguments: argparse.Namespace) -> None:
    """Print the prompt and, as it is decoded, what the model makes of it."""
    from evalkit.types import Decoding, Request

    default = 40 if arguments.beams == 1 else 1
    decoding = Decoding(
        until=tuple(text.replace("\\n", "\n") for text in arguments.until if text), max_tokens=arguments.max_tokens,
        top_k=default if arguments.top_k is None else arguments.top_k, top_p=arguments.top_p,
        temperature=arguments.temperature, seed=arguments.seed,
        beams=arguments.beams, length_penalty=arguments.length_penalty,
    )  # fmt: skip
    engine = _engine(arguments.model, arguments)
    ids = engine.tokenizer.encode(arguments.prompt) or [engine.tokenizer.end_of_text]
    if len(ids) + arguments.max_tokens > engine.context_length:
        raise UsageError(
            f"the prompt has {len(ids)} tokens and {arguments.max_tokens} are to follow; "
            f"the model's context is {engine.context_length}"
        )
    request = Request(kind="generate_until", task="generate", doc_id="0", context_ids=tuple(ids), decoding=decoding)
    print(arguments.prompt, end="", flush=True)
    for piece in engine.stream(request):
        print(piece, end="", flush=True)
    print()


_COMMANDS: dict[str, Callable[[Any], Any]] = {
    "run": _run,
    "train": _train,
    "tasks": _tasks,
    "models": _models,
    "export": _export,
    "generate": _generate,
}

if __name__ == "__main__":
    sys.exit(main())
