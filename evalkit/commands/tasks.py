"""evalkit tasks: list the tasks, or show one rendered prompt."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options

if TYPE_CHECKING:
    from evalkit.harness.task import Task
    from evalkit.tokenizer import Tokenizer

SUMMARY = "List the tasks, or show one rendered prompt."
EXAMPLES = """examples:
  evalkit tasks                                       every task: its family, and whether its data is here
  evalkit tasks 'wmt*' --missing                      of some tasks (a glob, a suite, a family) those without data
  evalkit tasks superglue -v                          title, metric, protocols and where the data comes from
  evalkit tasks world_qa --shots 2                    one rendered prompt, and its number of tokens
  evalkit tasks coqa --shots paper --protocol gpt3    the same, as a paper did it
  evalkit tasks lm-eval:arc_easy --shots 5            a task of lm-evaluation-harness
  evalkit tasks --check-lm-eval FOLDER                how many of a folder's lm-eval task files can be imported
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("name", nargs="?", metavar="TASK", help="a task to show; a glob, suite or family to list")
    parser.add_argument("-v", "--verbose", action="store_true", help="list titles, metrics, protocols and sources too")
    parser.add_argument("--missing", action="store_true", help="list only tasks whose data is not here")
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
    """List tasks, show one prompt, or check a folder of task files."""
    from evalkit.harness import catalog

    if arguments.check_lm_eval:
        _check(arguments.check_lm_eval)
        return
    words = [arguments.name] if arguments.name else ["all", "core"]
    chosen = catalog.choose(words, trust_code=arguments.trust_task_code)
    catalog.check_data(options.data(arguments), [task for task, _ in chosen])
    if len(chosen) > 1 or arguments.name in catalog.suites() or arguments.verbose or arguments.missing:
        _list([task for task, _ in chosen], arguments)
    else:
        _show(*chosen[0], arguments)


def _show(task: Task, protocol: str | None, arguments: argparse.Namespace) -> None:
    """Print the first document's prompt: the context in one colour, the scored or expected text in another."""
    from rich.text import Text

    from evalkit.harness import catalog, preview

    catalog.check_protocol(arguments.protocol)
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
    parts = dict(zip(("description", "shots", "prompt", "answer"), (*prompt.parts, prompt.target), strict=True))
    for name, part in parts.items():
        if part:
            console.print(Text(f"[{name}]", style="dim"))
            console.print(Text(part, style="bold green" if name == "answer" else "cyan"), soft_wrap=True)
    before, after = prompt.tokens or (0, 0)
    console.print(Text(f"\n{before:,} tokens of context, {after:,} after it ({whose}'s tokenizer)", style="dim"))


def _tokenizer(model: str | None) -> tuple[str, Tokenizer | None]:
    """Load the tokenizer of the model named, or of one that needs no network."""
    from evalkit.model import formats, resolve

    name = model or ("gpt2" if resolve.whereabouts("gpt2").startswith("cached") else "nano")
    return name, formats.vocabulary_at(resolve.path_of(name)).tokenizer


def _list(tasks: Sequence[Task], arguments: argparse.Namespace) -> None:
    from rich.text import Text

    from evalkit import tables
    from evalkit.harness import catalog
    from evalkit.report.terminal import tasks as listing

    console = options.console()
    entries = listing.entries(tasks, options.data(arguments))
    if arguments.missing:
        entries = [entry for entry in entries if not entry.place]
    if arguments.verbose:
        listing.show_details(entries, console)
    else:
        tables.show(listing.table(entries), console)
        for entry in entries:
            if entry.error:
                console.print(Text(f"{entry.task.name}: {entry.error}", style="red"))
    if arguments.name is None:
        console.print(Text(f"\nsuites: {', '.join(catalog.suite_names())}"))
        console.print(Text("evalkit tasks NAME shows a prompt; -v titles, metrics and sources; --missing what to get"))


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
