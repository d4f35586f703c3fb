"""evalkit tasks: list the tasks, or show one rendered prompt."""

from __future__ import annotations

import argparse

from evalkit.commands import options
from evalkit.errors import DataError

SUMMARY = "List the tasks, or show one rendered prompt."
EXAMPLES = """examples:
  evalkit tasks                                       every task: family, metric, where its data is
  evalkit tasks world_qa --shots 2                    one rendered prompt
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("name", nargs="?", help="a task to show")
    parser.add_argument("--shots", type=int, default=0, help="examples in the shown prompt")
    parser.add_argument("--protocol", help="how to build the prompt")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=PATH")


def run(arguments: argparse.Namespace) -> None:
    """List the tasks, or show one prompt."""
    from rich.table import Table
    from rich.text import Text

    from evalkit.harness import catalog, preview

    data = options.data(arguments)
    console = options.console()
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
