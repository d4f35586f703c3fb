"""evalkit report-finetuned: the page of fine-tunings."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

SUMMARY = "Report on fine-tunings, compared with zero-shot and the ablations, with the curve over K examples."
EXAMPLES = """examples:
  evalkit report-finetuned runs/tuned runs/tuned-none runs/prompted --out reports/finetune.md
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folders of evalkit finetune and, of prompts, evalkit run"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page, as Markdown")
    parser.add_argument("--note", action="append", default=[], metavar="TEXT", help="a paragraph to add to the page")


def run(arguments: argparse.Namespace) -> None:
    """Write the page, and the figure in a folder beside it."""
    from evalkit.files import make_folder, write_atomic
    from evalkit.report.finetuned import page as finetune_page
    from evalkit.report.finetuned.stored import read

    command = ["evalkit", "report-finetuned", *map(str, arguments.runs), "--out", str(arguments.out)]
    command += [word for note in arguments.note for word in ("--note", note)]
    comparison = read(arguments.runs)
    name = ""
    if picture := finetune_page.drawn(comparison):
        folder = make_folder(arguments.out.with_suffix(""))
        write_atomic(folder / "shots.svg", picture.svg)
        write_atomic(folder / "shots.png", picture.png)
        name = f"{folder.name}/shots.svg"
    text = finetune_page.page(comparison, command=shlex.join(command), figure=name, notes=arguments.note)
    write_atomic(arguments.out, text)
    print(f"wrote {arguments.out}")
