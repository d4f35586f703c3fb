"""evalkit models: list the models by name, or show one."""

from __future__ import annotations

import argparse

from evalkit.commands import options

SUMMARY = "List the models by name, or show one."
EXAMPLES = """examples:
  evalkit models
  evalkit models nano                                 how it is trained, its configuration and training record
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("name", nargs="?", help="a model to show")


def run(arguments: argparse.Namespace) -> None:
    """Print the table of models, or one model's records."""
    from evalkit.model import resolve
    from evalkit.report import models
    from evalkit.train.presets import MODERN, PRESETS

    if arguments.name is None:
        options.console().print(models.table())
        return
    if arguments.name in PRESETS:
        print(f"evalkit train --size {arguments.name}: {PRESETS[arguments.name].text()}")
    if arguments.name in MODERN:
        print(f"evalkit train --size {arguments.name} --arch modern: {MODERN[arguments.name].text()}")
    folder = resolve.folder_of(arguments.name)
    for name in ("config.json", "training.json"):
        if (folder / name).is_file():
            print(f"{folder / name}\n{(folder / name).read_text(encoding='utf-8').rstrip()}")
