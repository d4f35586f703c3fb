"""evalkit report: figures, tables, fits and samples of stored runs, as a page and as files."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

SUMMARY = "Report on stored runs: trends, tables, fits and samples, as a page and as files."
EXAMPLES = """examples:
  evalkit report runs --out reports/mine                     every run under a folder
  evalkit report runs/nano runs/micro runs/mini --out reports/ladder --title "The ladder"
  evalkit report pythia-evals --out reports/pythia --predict 6.9b,12b
  evalkit report runs --out reports/qa --family qa --metric exact_match
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run folders, folders of them, lm-evaluation-harness results"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--title", default="Evaluation report", help="its heading")
    parser.add_argument(
        "--predict", default="", metavar="MODELS", help="models held out of the fits (default: the largest of a ladder)"
    )
    parser.add_argument("--family", default="", help="only these families of tasks or of models, with commas")
    parser.add_argument("--metric", default="", help="the metric that stands for a task, where it has it; with commas")


def run(arguments: argparse.Namespace) -> int | None:
    """Read the runs, write the report, say what was left out."""
    from evalkit.errors import DataError
    from evalkit.report import assemble, measurements, reference, writing
    from evalkit.report.selection import select

    found, problems = measurements.read(arguments.runs)
    for problem in problems:
        print(f"left out: {problem.path}: {problem.reason}")
    if not found:
        raise DataError("none of the given runs holds a result")
    selection = select(
        found,
        families=_names(arguments.family),
        metrics=_names(arguments.metric),
        predict=_names(arguments.predict),
        references=reference.printed(),
    )
    content = assemble.content(selection, problems, title=arguments.title, command=_command(arguments))
    files = writing.write(arguments.out, content, selection)
    for name, reason in content.missing:
        print(f"no figure of {name}: {reason}")
    print(f"wrote {len(files)} files to {arguments.out}; open {arguments.out / 'report.html'}")
    return None


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _command(arguments: argparse.Namespace) -> str:
    """Write the command again, from what was parsed."""
    parts = ["evalkit", "report", *map(str, arguments.runs), "--out", str(arguments.out)]
    if arguments.title != "Evaluation report":
        parts += ["--title", arguments.title]
    for name in ("predict", "family", "metric"):
        if getattr(arguments, name):
            parts += [f"--{name}", getattr(arguments, name)]
    return shlex.join(parts)
