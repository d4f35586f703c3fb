"""evalkit tasks: list the tasks, or show one rendered prompt."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.errors import DataError

if TYPE_CHECKING:
    from evalkit.data.sources import DataPaths
    from evalkit.harness.task import Task
    from evalkit.tokenizer import Tokenizer

SUMMARY = "List the tasks, or show one rendered prompt."
EXAMPLES = """examples:
  evalkit tasks                                       every task: family, metric, size, where its data is
  evalkit tasks world_qa --shots 2                    one rendered prompt, and its number of tokens
  evalkit tasks coqa --shots paper --protocol gpt3    the same, as a paper did it
  evalkit tasks lm-eval:arc_easy --shots 5            a task of lm-evaluation-harness
  evalkit tasks --check-lm-eval FOLDER                how many of a folder's lm-eval task files can be imported
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("name", nargs="?", help="a task to show")
    parser.add_argument("--shots", default="0", help="examples in the shown prompt; paper: the paper's number")
    parser.add_argument("--protocol", help="how to build the prompt")
    parser.add_argument(
        "--model", help="whose tokenizer counts the tokens (default: GPT-2's if cached, otherwise nano's)"
    )
    parser.add_argument("--data", action="append", default=[], metavar="NAME=PATH")
    options.add_trust(parser)
    parser.add_argument(
        "--check-lm-eval", type=Path, metavar="FOLDER", help="try to import a folder's task files, without data"
    )


def run(arguments: argparse.Namespace) -> None:
    """List the tasks, show one prompt, or check a folder of task files."""
    if arguments.check_lm_eval:
        _check(arguments.check_lm_eval)
    elif arguments.name:
        _show(arguments)
    else:
        _list(options.data(arguments))


def _show(arguments: argparse.Namespace) -> None:
    """Print the first document's prompt: the context in one colour, the scored or expected text in another."""
    from rich.text import Text

    from evalkit.harness import catalog, preview

    catalog.check_protocol(arguments.protocol)
    task, protocol = catalog.choose([arguments.name], trust_code=arguments.trust_task_code)[0]
    numbers, paper_shots = options.shots(arguments.shots)
    whose, tokenizer = _tokenizer(arguments.model)
    prompt = preview.prompt(
        task,
        protocol=arguments.protocol or protocol,
        shots=None if paper_shots else max(numbers),
        data=options.data(arguments),
        encoder=tokenizer,
    )
    console = options.console()
    console.print(Text(prompt.about, style="dim"))
    console.print(Text.assemble((prompt.context, "cyan"), (prompt.target, "bold green")), soft_wrap=True)
    before, after = prompt.tokens or (0, 0)
    console.print(Text(f"\n{before:,} tokens of context, {after:,} after it ({whose}'s tokenizer)", style="dim"))


def _tokenizer(model: str | None) -> tuple[str, Tokenizer | None]:
    """Load the tokenizer of the model named, or of one that needs no network."""
    from evalkit.model import resolve

    name = model or ("gpt2" if resolve.whereabouts("gpt2").startswith("cached") else "nano")
    return name, options.tokenizer(name)


def _list(data: DataPaths) -> None:
    from rich.table import Table
    from rich.text import Text

    from evalkit.harness import catalog
    from evalkit.harness.load import count_documents

    console = options.console()
    table = Table("task", "family", "metric", "protocols", box=None, header_style="bold")
    table.add_column("size", justify="right")
    for name in ("source", "data", "what"):
        table.add_column(name)
    for task in catalog.available().values():
        first = next(iter(task.protocols.values()))
        try:
            place = Text(task.source.at_hand(data) or "hub or --data")
            size = "" if (documents := count_documents(task, data)) is None else f"{documents:,}"
        except DataError as error:  # a broken benchmark does not hide the others
            size, place = "", Text(str(error), style="red")
        row = (task.name, task.family, first.reported[0], ", ".join(task.protocols), size, _origin(task))
        table.add_row(*map(Text, row), place, Text(task.title))
    console.print(table)
    console.print(Text(f"suites: {', '.join(catalog.suites())}"))


def _origin(task: Task) -> str:
    """Name the hub's dataset, and its config."""
    hub = getattr(task.source, "hub", None)
    return "/".join(filter(None, (hub.id, hub.config))) if hub else "generated"


def _check(folder: Path) -> None:
    """Print how many task files of lm-evaluation-harness can be imported, and why the others cannot."""
    from evalkit.lm_eval.tasks.check import check_folder

    report = check_folder(folder)
    failed = sum(map(len, report.causes.values()))
    print(
        f"{folder}: {report.files:,} files: {report.tasks:,} tasks, {report.groups:,} groups, {report.parts:,} parts "
        f"of others, {failed:,} that cannot be imported; {report.share:.2%} can"
    )
    for cause, messages in report.causes.items():
        print(f"{len(messages):5,}  {cause}\n       {messages[0]}")
