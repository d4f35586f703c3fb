"""evalkit models: list the models by name and the families that run natively, or show one model."""

from __future__ import annotations

import argparse
import json

from evalkit.commands import options

SUMMARY = "List the models by name and the families of models, or show one model."
EXAMPLES = """examples:
  evalkit models
  evalkit models -v                                   also vocabularies, memory, FLOPs, hub IDs
  evalkit models nano                                 what it is, how it is trained, its configuration and record
  evalkit models checkpoints/mine                     a folder's family, shape and tokenizer, and what would run it
  evalkit models out/ckpt.pt                          the same of a file of another trainer: also its step and tokens
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "name", nargs="?", metavar="MODEL", help="a model's name, or a checkpoint: a file, a folder, FOLDER@STEP"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="list memory, FLOPs and hub IDs too")
    options.add_tokenizer(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the table of models, or one model's records."""
    from rich.text import Text

    from evalkit import tables
    from evalkit.model import resolve
    from evalkit.report.terminal import models
    from evalkit.train.presets import MODERN, PRESETS

    console = options.console()
    if arguments.name is None:
        tables.show(models.table(verbose=arguments.verbose), console)
        console.print("\nFolders of these families are run by evalkit's own network (docs/models.md):\n")
        tables.show(models.family_table(), console)
        return
    if arguments.name in PRESETS:
        console.print(Text(f"evalkit train --size {arguments.name}: {PRESETS[arguments.name].text()}"))
    if arguments.name in MODERN:
        console.print(Text(f"evalkit train --size {arguments.name} --arch modern: {MODERN[arguments.name].text()}"))
    path = resolve.path_of(arguments.name)
    console.print(models.summary(path, vocabulary=options.vocabulary(arguments.tokenizer)))
    for name in ("config.json", "training.json"):
        if (path / name).is_file():
            print(f"{path / name}\n{_without_curve((path / name).read_text(encoding='utf-8'))}")


def _without_curve(text: str) -> str:
    """Return a JSON file's text with the number of a loss curve's points in place of the points."""
    content = json.loads(text)
    if isinstance(curve := content.get("loss_curve"), list):
        text = json.dumps({**content, "loss_curve": f"{len(curve):,} points"}, indent=2, ensure_ascii=False)
    return text.rstrip()
