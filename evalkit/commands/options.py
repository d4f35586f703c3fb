"""What several commands share: parsers of option values, and the options of an engine."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.commands.helping import group
from evalkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.data.sources import DataPaths
    from evalkit.engine.batched import BatchedEngine
    from evalkit.engine.cache import ResponseCache
    from evalkit.harness.settings import RunSettings
    from evalkit.harness.task import Task
    from evalkit.model.checkpoint import Vocabulary
    from evalkit.report.measurements import Measurement, Problem
    from evalkit.runs.remote import Url
    from evalkit.tokenizer import Tokenizer

log = logging.getLogger(__name__)


def integers(text: str, option: str) -> tuple[int, ...]:
    """Parse comma-separated whole numbers. Raises UsageError."""
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"{option} {text!r}: expected whole numbers separated by commas, for example 0,1,4") from None


def names(text: str) -> list[str]:
    """Parse names separated by commas; empty ones are left out."""
    return [name.strip() for name in text.split(",") if name.strip()]


def share(text: str, option: str) -> float:
    """Parse a share such as 5% or 0.05. Raises UsageError unless it is between 0 and 1."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{option} {text!r}: expected a share, for example 5% or 0.05")
    return value


def measured(places: Iterable[Path | Url], *, unfinished: bool = False) -> tuple[list[Measurement], list[Problem]]:
    """Read runs, tables and results of others; what cannot be read is left out with a warning, and returned too.

    unfinished: as in measurements.read. Raises DataError where none of them holds a result.
    """
    from evalkit.report import measurements

    found, problems = measurements.read(places, unfinished=unfinished)
    for problem in problems:
        log.warning("left out: %s", problem)
    if not found:
        raise DataError("none of the given runs holds a result")
    return found, problems


def add_max_failed(parser: argparse.ArgumentParser) -> None:
    """Add --max-failed."""
    group(parser, "statistics").add_argument(
        "--max-failed",
        default="5%",
        metavar="SHARE",
        help="share of a task's items that may fail at each number of shots; beyond it the exit code is 1 and the "
        "table marks the score (default: 5%%)",
    )


def shots(text: str) -> tuple[tuple[int, ...], bool]:
    """Parse counts of shots, possibly with "paper"; return the numbers, and whether "paper" is among them."""
    words = text.split(",")
    numbers = ",".join(word for word in words if word.strip() != "paper")
    if numbers:
        try:
            return integers(numbers, "--shots"), numbers != text
        except UsageError:
            raise UsageError(f"--shots {text!r}: expected whole numbers or paper, for example 0,1,paper") from None
    return (), True


def count(text: str, option: str) -> int:
    """Parse 20M, 300k, 1.5B or a plain number."""
    unit = {"k": 1e3, "m": 1e6, "b": 1e9}.get(text[-1:].lower(), 1)
    try:
        value = int(float(text[:-1] if unit > 1 else text) * unit)
    except (ValueError, OverflowError):
        value = 0
    if value < 1:
        raise UsageError(f"{option} {text!r}: expected a count such as 20M, 300k or 5000")
    return value


def add_tasks(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Add the options that choose tasks and say how they are asked."""
    parser.add_argument(
        "--tasks",
        default=default,
        help="tasks, suites (world, gpt2-paper, superglue, core, a family, all), globs, task files, lm-eval:NAME or "
        f"its YAML files (default: {default})",
    )
    tables = group(parser, "tables as tasks")
    tables.add_argument(
        "--input", metavar="COLUMN",
        help="of a table given as a task (mine.csv, .tsv, .jsonl, .json, .parquet): the column that is asked, or a "
        "prompt such as 'The capital of {country} is' (default: input)",
    )  # fmt: skip
    tables.add_argument("--output", metavar="COLUMN", help="of such a table: the answer's column (default: output)")
    tables.add_argument(
        "--choices", metavar="NAME,...", default="", help="of such a table: the options, or the columns that hold them"
    )
    parser.add_argument(
        "--shots", help="counts of examples in the prompt; paper: the paper's (default: 0, or a task file's own)"
    )
    parser.add_argument(
        "--limit",
        type=int,
        help="documents per task: a fixed pseudo-random subset; for lm-eval's and CORE's tasks the first ones",
    )
    prompts = group(parser, "tasks and prompts")
    prompts.add_argument("--protocol", help="how to build prompts (default: the suite's, or each task's first)")
    prompts.add_argument(
        "--empty-context", choices=("end", "begin"),
        help="the token in place of an empty context, as of a whole text: the end-of-text token, or the "
        "beginning-of-sequence token where the tokenizer names one (default: begin under the protocol lm-eval and for "
        "its task files, otherwise end)",
    )  # fmt: skip
    prompts.add_argument("--templates", default="", metavar="NAME,...", help="further wordings to run as well, or all")
    prompts.add_argument("--seeds", default="1", help="seeds for drawing shots and sampling (default: 1)")
    prompts.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="where a benchmark's file or folder is",
    )


def tasks(arguments: argparse.Namespace) -> list[str | Task]:
    """Return the words of --tasks; each table among them as a task of its own."""
    from evalkit.data.readers import HUB_TABLES, SHEETS
    from evalkit.harness.tabletask import task_from_file

    columns = {"question": arguments.input, "answer": arguments.output}
    options = [name.strip() for name in arguments.choices.split(",") if name.strip()]
    words = [word for word in arguments.tasks.split(",") if word]
    tables = [word for word in words if word.endswith((*HUB_TABLES, *SHEETS))]
    if not tables and (options or any(columns.values())):
        raise UsageError("--input, --output and --choices belong to a table given as a task: --tasks mine.csv")
    return [task_from_file(Path(word), **columns, choices=options) if word in tables else word for word in words]


def settings(arguments: argparse.Namespace) -> RunSettings:
    """Return what the options of add_tasks say."""
    from evalkit.harness.settings import RunSettings

    numbers, paper_shots = shots(arguments.shots or "0")
    return RunSettings(
        shots=numbers,
        paper_shots=paper_shots,
        seeds=integers(arguments.seeds, "--seeds"),
        protocol=arguments.protocol,
        limit=arguments.limit,
        templates=tuple(filter(None, arguments.templates.split(","))),
        default_shots=arguments.shots is None,
        empty_context=arguments.empty_context,
    )


def data(arguments: argparse.Namespace) -> DataPaths:
    """Return where benchmark data is: --data and the environment."""
    from evalkit.data.sources import DataPaths

    return DataPaths.from_user(arguments.data, os.environ)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the option that lets task files of lm-evaluation-harness run their Python code."""
    group(parser, "tasks and prompts").add_argument(
        "--trust-task-code", action="store_true", help="allow the `!function` code of lm-eval's task files to run"
    )


def dtype(text: str) -> str:
    """Return the short name of a number format; what is allowed depends on the command."""
    from evalkit.model.precision import short_dtype

    return short_dtype(text)


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the options that control how a model computes."""
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    computing = group(parser, "computing")
    computing.add_argument(
        "--dtype",
        type=dtype,
        help="fp32, bf16 or fp16, of weights and matrix products (default: bf16 for models of at least GPT-1's size "
        "where the hardware multiplies it faster, otherwise fp32; models that transformers runs: fp32); int8: products "
        "of 8 bits, on processors that have them, which change scores a little (docs/models.md)",
    )
    computing.add_argument(
        "--batch-tokens",
        type=int,
        help="tokens in a batch; affects speed and memory, never a score (default: chosen automatically)",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where a model computes."""
    computing = group(parser, "computing")
    computing.add_argument(
        "--workers", type=int, metavar="N",
        help="processes that hold the model and share the work, each with one GPU if --device is cuda; the results are "
        "the same for any number (needs evalkit[ray]; default: this process alone)",
    )  # fmt: skip
    computing.add_argument(
        "--ray", metavar="ADDRESS",
        help="start the workers on this running cluster of Ray (auto: this machine's); without --workers one per GPU, "
        "or per machine",
    )  # fmt: skip
    computing.add_argument(
        "--gpus-per-worker", type=int, default=1, metavar="N",
        help="split the model of each worker over N GPUs, for hf: models and registered engines (default: 1)",
    )  # fmt: skip
    computing.add_argument(
        "--threads", type=int, metavar="N",
        help="threads of matrix products, whose number affects the last bits of a score and is recorded in the results "
        "(default: 1 per worker; without workers torch's own number, not recorded)",
    )  # fmt: skip


def refuse_torchrun(command: str) -> None:
    """Raise UsageError in a process of torchrun: each would evaluate everything, and write the same folder."""
    size = os.environ.get("WORLD_SIZE", "1")
    if "TORCHELASTIC_RUN_ID" in os.environ and size != "1":
        raise UsageError(
            f"torchrun started {size} processes that would all do the same; give evalkit {command} --workers {size} "
            "(on several machines --ray ADDRESS) without torchrun: docs/cluster.md"
        )


def folder(text: str) -> Path:
    """Parse the folder of an output that cannot be at a URL."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text}: a URL; expected a folder (only evalkit run writes to URLs)")
    return Path(text)


def add_tokenizer(parser: argparse.ArgumentParser) -> None:
    """Add the option for the tokenizer of a checkpoint that has none."""
    group(parser, "model").add_argument(
        "--tokenizer", metavar="PATH",
        help="for a checkpoint without a tokenizer, or in place of its own: a folder, a tokenizer.json, a meta.pkl or "
        "a model's name",
    )  # fmt: skip


def add_windows(parser: argparse.ArgumentParser) -> None:
    """Add the options for the windows of documents that are longer than the context."""
    group(parser, "model").add_argument(
        "--begin", choices=("document", "every-window"), default="document",
        help="where to put the token that begins a document longer than the context: before the document, or before "
        "each of its windows, as Gemma requires (default: document)",
    )  # fmt: skip
    group(parser, "model").add_argument(
        "--stride", type=int, metavar="N",
        help="tokens that each further window of a document longer than the context scores, after as much context as "
        "fits (default: as many as the model reads at once)",
    )  # fmt: skip


def add_answering(parser: argparse.ArgumentParser) -> None:
    """Add all options that say how and where models answer."""
    add_windows(parser)
    add_engine(parser)
    add_workers(parser)
    add_cache(parser)


def opening(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the keywords of open_model for how a model computes, from the options of `add_answering`."""
    return {
        "dtype": arguments.dtype,
        "device": arguments.device,
        "batch_tokens": arguments.batch_tokens,
        "gpus": arguments.gpus_per_worker,
        "every_window": arguments.begin == "every-window",
        "stride": arguments.stride,
    }


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Add the options of the cache."""
    group(parser, "computing").add_argument(
        "--no-cache", action="store_true",
        help="neither read nor write cached responses (in EVALKIT_CACHE, default ~/.cache/evalkit)",
    )  # fmt: skip


def engine(name: str, arguments: argparse.Namespace) -> BatchedEngine:
    """Load a model into an engine: ours if it can be the model, else transformers'."""
    from evalkit.engine.open import load_engine

    return load_engine(
        name, dtype=arguments.dtype, device=arguments.device, batch_tokens=arguments.batch_tokens,
        tokenizer=arguments.tokenizer,
    )  # fmt: skip


def cache(arguments: argparse.Namespace) -> ResponseCache | None:
    """Open the cache of responses; None for --no-cache and EVALKIT_CACHE=off."""
    from evalkit.engine.cache import response_cache

    return None if arguments.no_cache else response_cache()


def tokenizer(name: str | None) -> Tokenizer | None:
    """Load the tokenizer of a folder or of a model; None if no name is given."""
    found = vocabulary(name)
    return None if found is None else found.tokenizer


def vocabulary(name: str | None) -> Vocabulary | None:
    """Find the tokenizer of a folder, a file or a model; None if no name is given."""
    if name is None:
        return None
    from evalkit.model import formats, resolve

    return formats.vocabulary_at(resolve.tokenizer_path(name))


def console() -> Console:
    """Return a console as wide as the terminal; for a file or a pipe its lines are not wrapped."""
    from evalkit import streams

    return streams.console(width=None if sys.stdout.isatty() else 400)


def show_page(text: str) -> None:
    """Print Markdown, on a terminal as formatted by rich."""
    from rich.markdown import Markdown

    screen = console()
    if screen.is_terminal:
        screen.print(Markdown(text))
    else:
        print(text, end="")
