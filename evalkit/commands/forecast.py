"""evalkit forecast: what larger models will score, sealed in a file; and how such a forecast turned out."""

from __future__ import annotations

import argparse
import json
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.errors import DataError, UsageError
from evalkit.runs.remote import place

if TYPE_CHECKING:
    from evalkit.forecasts.scoring import Scored
    from evalkit.forecasts.sealed import Sealed
    from evalkit.report.selection import Selection

log = logging.getLogger(__name__)

SUMMARY = "Forecast what larger models will score, sealed in a file; score such a file when the models exist."
EXAMPLES = """examples:
  evalkit forecast runs/ladder --at N=1B,D=20B --out forecasts/1b.json
  evalkit forecast table.csv --at N=3B,D=60B --at N=7B,D=140B --out forecasts/next.json
  evalkit forecast table.csv --hold-out 6.9b,12b                  predict models that are there, from the others
  evalkit forecast score forecasts/1b.json runs/1b --figure 1b.png --json 1b-scores.json
docs/forecasts.md says how forecasts are made, what the file holds, and what the scores mean.
"""
_SCORE = "score"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN",
        help="runs, tables, lm-evaluation-harness results of the smaller models; or: score FILE RUN... of the new ones",
    )  # fmt: skip
    parser.add_argument(
        "--at", action="append", default=[], metavar="N=SIZE,D=TOKENS",
        help="a model to forecast: its size, and tokens (default: as many as the largest), C=FLOPS, family=NAME",
    )  # fmt: skip
    parser.add_argument(
        "--hold-out", default="", metavar="MODELS", help="leave these models out of the inputs, and forecast them too"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="seal the forecast in a new JSON file")
    parser.add_argument("--family", default="", help="only these families of tasks or of models, with commas")
    parser.add_argument("--metric", default="", help="the main metric of the tasks that have it; with commas")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it, as .png or .svg")
    parser.add_argument("--json", type=Path, metavar="FILE", help="score: write every score and the means")


def run(arguments: argparse.Namespace) -> None:
    """Forecast or score."""
    if arguments.figure and arguments.figure.suffix not in (".png", ".svg"):
        raise UsageError(f"--figure {arguments.figure}: expected a name that ends with .png or .svg")
    if arguments.runs[0] == _SCORE:
        _score(arguments)
    else:
        _forecast(arguments)


def _forecast(arguments: argparse.Namespace) -> None:
    from evalkit.files import make_folder
    from evalkit.forecasts import sealed
    from evalkit.report import forecasting
    from evalkit.report.terminal import forecasts as forecast_terminal

    if arguments.json:
        raise UsageError("--json belongs to evalkit forecast score; the forecast itself is written by --out")
    targets = [forecasting.target_of(text) for text in arguments.at]
    if not targets and not arguments.hold_out:
        raise UsageError("give --at N=SIZE,D=TOKENS, the model to forecast, or --hold-out MODELS")
    if arguments.out and arguments.out.exists():
        raise UsageError(f"--out {arguments.out} exists already; a sealed forecast is never overwritten")
    selection = _selection(arguments.runs, arguments, hold_out=options.names(arguments.hold_out))
    targets += forecasting.held_out(selection)
    content = forecasting.forecast_of(selection, targets, command=_command(arguments))
    print(forecast_terminal.forecasts(content, selection.tasks))
    if arguments.out:
        make_folder(arguments.out.parent)
        sealed.write(arguments.out, content)
        print(f"sealed in {arguments.out}: {content.seal[:16]}, made {content.made}")
    if arguments.figure:
        _draw(arguments.figure, content, [], selection.tasks)


def _score(arguments: argparse.Namespace) -> None:
    from evalkit.files import write_atomic
    from evalkit.forecasts import scoring, sealed
    from evalkit.report import observed
    from evalkit.report.terminal import forecasts as forecast_terminal

    if len(arguments.runs) < 3 or arguments.at or arguments.hold_out or arguments.out:
        raise UsageError("expected: evalkit forecast score FILE RUN..., with --figure and --json as its options")
    path = Path(arguments.runs[1])
    content = sealed.read(path)
    selection = _selection(arguments.runs[2:], arguments, hold_out=())
    scored = scoring.score(content, observed.all_metrics(selection))
    if not scored:
        raise DataError(f"none of the runs is of a model that {path} forecasts, on its tasks: {_wanted(content)}")
    print(forecast_terminal.outcome(scored, [series.key.task for series in content.series]))
    if arguments.json:
        write_atomic(arguments.json, json.dumps(scoring.as_json(content, scored), indent=1, ensure_ascii=False) + "\n")
    if arguments.figure:
        _draw(arguments.figure, content, scored, selection.tasks)


def _selection(paths: Sequence[str], arguments: argparse.Namespace, *, hold_out: Sequence[str]) -> Selection:
    """Read results and choose tasks and metrics; warn of what was left out."""
    from evalkit.report.selection import select

    found, _ = options.measured([place(path) for path in paths])
    selection = select(
        found,
        families=options.names(arguments.family),
        metrics=options.names(arguments.metric),
        predict=hold_out or None,
    )
    for note in selection.notes:
        log.warning("%s", note)
    return selection


def _wanted(content: Sealed) -> str:
    from evalkit.report.forecasting import target_name

    families = dict.fromkeys(series.key.family for series in content.series)
    names = "; ".join(map(target_name, content.targets))
    return f"{names}, of the ladder {' or '.join(map(repr, families))}"


def _draw(path: Path, content: Sealed, scored: Sequence[Scored], tasks: Sequence[str]) -> None:
    from evalkit.files import write_atomic
    from evalkit.report.figures import canvas, forecasts

    figure = forecasts.figure(content, scored, tasks)
    drawn = canvas.render(figure)
    write_atomic(path, drawn.png if path.suffix == ".png" else drawn.svg)
    print(f"drew {path}")


def _command(arguments: argparse.Namespace) -> str:
    parts = ["evalkit", "forecast", *arguments.runs, *(word for text in arguments.at for word in ("--at", text))]
    for name in ("hold_out", "family", "metric"):
        if getattr(arguments, name):
            parts += [f"--{name.replace('_', '-')}", getattr(arguments, name)]
    return shlex.join(parts)
