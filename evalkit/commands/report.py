"""evalkit report: figures, tables, fits and samples of stored runs, as a page and as files."""

from __future__ import annotations

import argparse
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.commands.helping import group
from evalkit.extras import require
from evalkit.runs.remote import place

if TYPE_CHECKING:
    from evalkit.forecasts.sealed import Sealed
    from evalkit.report.pages.compact import Paper

log = logging.getLogger(__name__)

SUMMARY = "Report on stored runs: trends, tables, fits and samples, as a page and as files."
EXAMPLES = """examples:
  evalkit report runs --out reports/mine                     every run under a folder
  evalkit report runs/nano runs/micro runs/mini --out reports/ladder --title "The ladder"
  evalkit report pythia-evals --out reports/pythia --predict 6.9b,12b
  evalkit report old/nano new/nano --out reports/both --label old/nano=before --label new/nano=after
  evalkit report runs --out reports/mine --forecasts forecasts      with a ledger of sealed forecasts
  evalkit report runs --out reports/qa --family qa --metric exact_match
  evalkit report runs --out paper --latex compact --shots 0 --width column     a table and PDF figures, 3.25 in wide
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "runs", nargs="+", type=place, metavar="RUN", help="run folders, folders of them, lm-evaluation-harness results"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--title", default="Evaluation report", help="heading of the report")
    selection = group(parser, "selection")
    selection.add_argument(
        "--predict", default="", metavar="MODELS", help="models held out of the fits (default: the largest of a ladder)"
    )
    selection.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="RUN=NAME",
        help="what to call the model of the runs at or below a path",
    )
    parser.add_argument(
        "--forecasts", type=Path, metavar="FOLDER", help="sealed forecasts (evalkit forecast), scored by these models"
    )
    parser.add_argument(
        "--contamination", type=Path, metavar="FILE",
        help="contamination.json of `evalkit contamination --out`: samples show what was in the training text",
    )  # fmt: skip
    selection.add_argument("--family", default="", help="only these families of tasks or of models, with commas")
    selection.add_argument("--metric", default="", help="the main metric of the tasks that have it; with commas")
    _configure_paper(parser)


def _configure_paper(parser: argparse.ArgumentParser) -> None:
    paper = group(parser, "paper")
    paper.add_argument(
        "--latex", choices=("full", "compact"), default="full",
        help="tables.tex: every table of the page, or one of tasks by models that fits --width (default: full)",
    )  # fmt: skip
    paper.add_argument(
        "--width", default="", metavar="WIDTH",
        help="of paper: column (3.25 in), page (6.75 in) or inches; also writes the figures as PDF that wide "
        "(default with --latex compact: page)",
    )  # fmt: skip
    paper.add_argument(
        "--shots", default="", help="of the compact table: numbers of examples (default: each task's fewest)"
    )
    paper.add_argument(
        "--interval", choices=("half", "ends"), default="half",
        help="in the compact table: ± half the 95%% interval's width, or its ends (default: half)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int | None:
    """Read the runs, write the report, warn of what was left out."""
    from evalkit.report.pages import assemble, reference, seen, writing
    from evalkit.report.selection import select

    require("matplotlib", "reports")
    paper = _paper(arguments)
    passages = seen.read(arguments.contamination) if arguments.contamination else {}
    measured, problems = options.measured(arguments.runs)
    selection = select(
        measured,
        families=options.names(arguments.family),
        metrics=options.names(arguments.metric),
        predict=options.names(arguments.predict),
        references=reference.printed(),
        labels=_labels(arguments.label),
    )
    ledger = _ledger(arguments.forecasts) if arguments.forecasts else []
    content = assemble.content(
        selection, problems, title=arguments.title, command=_command(arguments), ledger=ledger,
        seen=passages,
    )  # fmt: skip
    for problem in content.problems[len(problems) :]:
        log.warning("%s", problem)
    for warning in content.warnings:
        log.warning("%s", warning)
    files = writing.write(arguments.out, content, selection, paper=paper, compact=arguments.latex == "compact")
    if content.missing:
        print(f"no figure of {', '.join(name for name, _ in content.missing)} (report.md says what each would take)")
    print(f"wrote {len(files)} files to {arguments.out}; open {arguments.out / 'report.html'}")
    return None


def _paper(arguments: argparse.Namespace) -> Paper | None:
    """Return what is set on paper; None where nothing is. Raises UsageError for options that have no effect."""
    from evalkit.errors import UsageError
    from evalkit.report.pages.compact import Paper
    from evalkit.report.pages.typesetting import inches

    compact = arguments.latex == "compact"
    for name, given in (("--shots", arguments.shots), ("--interval", arguments.interval != "half")):
        if given and not compact:
            raise UsageError(f"{name} is for the compact table: add --latex compact")
    if not compact and not arguments.width:
        return None
    shots = options.integers(arguments.shots, "--shots") if arguments.shots else ()
    return Paper(width=inches(arguments.width or "page"), shots=shots, ends=arguments.interval == "ends")


def _ledger(folder: Path) -> list[tuple[Path, Sealed]]:
    """Read the sealed forecasts of a folder; warn of those whose seal is broken."""
    from evalkit.errors import StoreError, UsageError
    from evalkit.forecasts import sealed

    if not folder.is_dir():
        raise UsageError(f"--forecasts {folder}: no such folder")
    files = []
    for path in sorted(folder.glob("*.json")):
        try:
            files.append((path, sealed.read(path)))
        except StoreError as error:
            log.warning("left out: %s", error)
    return files


def _labels(texts: Sequence[str]) -> dict[Path, str]:
    """Read RUN=NAME. Raises UsageError for anything else, and for a run named twice."""
    from evalkit.errors import UsageError

    labels: dict[Path, str] = {}
    for text in texts:
        path, _, name = text.rpartition("=")
        if not path or not name.strip():
            raise UsageError(f"--label {text}: give RUN=NAME, the path of a run and a name for its model")
        if labels.setdefault(Path(path), name.strip()) != name.strip():
            raise UsageError(f"--label names {path} twice: {labels[Path(path)]} and {name.strip()}")
    return labels


def _command(arguments: argparse.Namespace) -> str:
    """Return the command line that was parsed."""
    parts = ["evalkit", "report", *map(str, arguments.runs), "--out", str(arguments.out)]
    if arguments.title != "Evaluation report":
        parts += ["--title", arguments.title]
    for label in arguments.label:
        parts += ["--label", label]
    defaults = {"latex": "full", "interval": "half"}
    for name in ("predict", "forecasts", "contamination", "family", "metric", "latex", "width", "shots", "interval"):
        if getattr(arguments, name) and getattr(arguments, name) != defaults.get(name):
            parts += [f"--{name}", str(getattr(arguments, name))]
    return shlex.join(parts)
