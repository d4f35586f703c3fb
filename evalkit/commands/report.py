"""evalkit report: figures, tables, fits and samples of stored runs, as a page and as files, or served."""

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
    from evalkit.report.pages.page import Content
    from evalkit.report.rescoring import Rescoring
    from evalkit.report.selection import Selection

log = logging.getLogger(__name__)

SUMMARY = "Report on stored runs: trends, tables, fits and samples, as a page and as files."
EXAMPLES = """examples:
  evalkit report runs --out reports/mine                     every run under a folder
  evalkit report runs/nano runs/micro runs/mini --out reports/ladder --title "The ladder"
  evalkit report pythia-evals --out reports/pythia --predict 6.9b,12b
  evalkit report old/nano new/nano --out reports/both --label old/nano=before --label new/nano=after
  evalkit report runs --out reports/mine --forecasts forecasts      with a ledger of sealed forecasts
  evalkit report runs --out reports/qa --family qa --metric exact_match
  evalkit report runs/nano --serve                   at an address of this machine, live while the run goes on
  evalkit report runs --out paper --latex compact --shots 0 --width column     a table and PDF figures, 3.25 in wide
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "runs", nargs="+", type=place, metavar="RUN", help="run folders, folders of them, lm-evaluation-harness results"
    )
    parser.add_argument("--out", type=Path, help="folder of the report")
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
    _configure_samples(parser)
    _configure_paper(parser)
    _configure_server(parser)


def _configure_samples(parser: argparse.ArgumentParser) -> None:
    pages = group(parser, "samples")
    pages.add_argument(
        "--samples", type=float, metavar="MB",
        help="size of the page's samples at most; 0 leaves them out (default: 64, from 128 MB of records)",
    )  # fmt: skip
    pages.add_argument(
        "--tokens", type=int, default=0, metavar="N",
        help="show the log-probability of each token for the first N documents of each task and number of shots, and "
        "the first N that models answer differently; asks the models again",
    )  # fmt: skip
    pages.add_argument(
        "--model", action="append", default=[], metavar="NAME=MODEL",
        help="for --tokens: where the model that a run names is, unless it is found by that name",
    )  # fmt: skip
    pages.add_argument("--device", default="cpu", help="of these models: cpu or cuda (default: cpu)")


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


def _configure_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--serve", action="store_true",
        help="instead of writing files, show the page at an address of this machine, built again whenever the runs "
        "change, unfinished ones included; Ctrl-C ends it",
    )  # fmt: skip
    serving = group(parser, "serving")
    serving.add_argument("--port", type=int, help="of --serve (default: 8321); 0 takes any free one")
    serving.add_argument(
        "--host", help="of --serve: an address of this machine at which others may read it too (default: 127.0.0.1)"
    )


def run(arguments: argparse.Namespace) -> int | None:
    """Write the report, or serve it."""
    require("matplotlib", "reports")
    if arguments.serve:
        return _serve(arguments)
    _check_written(arguments)
    _write(arguments)
    return None


def _check_written(arguments: argparse.Namespace) -> None:
    """Raise UsageError where there is no folder to write to, or an option has no effect."""
    from evalkit.errors import UsageError

    if arguments.out is None:
        raise UsageError("give --out FOLDER, where the report goes, or --serve to read it in a browser")
    for name in ("port", "host"):
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name} is for --serve")


def _write(arguments: argparse.Namespace) -> None:
    """Read the runs, write the report, warn of what was left out."""
    from evalkit.report.pages import writing

    paper = _paper(arguments)
    selection, content = _content(arguments)
    files = writing.write(arguments.out, content, selection, paper=paper, compact=arguments.latex == "compact")
    if content.missing:
        print(f"no figure of {', '.join(name for name, _ in content.missing)} (report.md says what each would take)")
    print(f"wrote {len(files)} files to {arguments.out}; open {arguments.out / 'report.html'}")


def _serve(arguments: argparse.Namespace) -> int:
    """Serve the report until Ctrl-C."""
    from evalkit.errors import UsageError
    from evalkit.interrupts import Terminated
    from evalkit.report import serving
    from evalkit.report.pages import page

    if arguments.out or arguments.latex != "full" or arguments.width or arguments.shots:
        raise UsageError("--serve writes no files: omit --out, --latex, --width and --shots")

    def build(version: str) -> str:
        return page.html(_content(arguments, unfinished=True)[1], live=version)

    folders = [run for run in arguments.runs if isinstance(run, Path)]  # runs at URLs are read with each new page
    host, port = arguments.host or serving.LOOPBACK, 8321 if arguments.port is None else arguments.port
    with serving.serving(host, port) as server:
        try:
            serving.first_page(server, build, folders)
            if not server.local:
                log.warning("whoever can reach port %d of this machine can read the report", server.server_port)
            print(f"serving the report at {server.url} (Ctrl-C ends it)", flush=True)
            serving.follow(server, build, folders)
        except Terminated:
            raise
        except KeyboardInterrupt:
            print("stopped")
    return 0


def _content(arguments: argparse.Namespace, *, unfinished: bool = False) -> tuple[Selection, Content]:
    """Read the runs and compute what the report shows. unfinished: runs that are not finished count too."""
    from evalkit.report.pages import assemble, reference, seen
    from evalkit.report.selection import select

    budget, scores = _budget(arguments), _token_scores(arguments)
    passages = seen.read(arguments.contamination) if arguments.contamination else {}
    measured, problems = options.measured(arguments.runs, unfinished=unfinished)
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
        seen=passages, budget=budget, scores=scores,
    )  # fmt: skip
    for problem in content.problems[len(problems) :]:
        log.warning("%s", problem)
    for warning in content.warnings:
        log.warning("%s", warning)
    return selection, content


def _budget(arguments: argparse.Namespace) -> int | None:
    """Return the characters of --samples; None for the default. Raises UsageError for values that are not allowed."""
    from evalkit.errors import UsageError

    if arguments.samples is None:
        return None
    if not 0 <= arguments.samples <= 1000:
        raise UsageError(f"--samples {arguments.samples:g}: expected megabytes from 0 to 1000")
    budget: int = round(arguments.samples * 1e6)
    return budget


def _token_scores(arguments: argparse.Namespace) -> Rescoring | None:
    """Return how tokens are scored, if they are to be. Raises UsageError for values that are not allowed."""
    from evalkit.errors import UsageError

    if arguments.tokens < 0:
        raise UsageError(f"--tokens {arguments.tokens}: expected a number of documents, 0 for none")
    if not arguments.tokens:
        if arguments.model:
            raise UsageError("--model is for --tokens: say for how many documents")
        return None
    if arguments.samples == 0:
        raise UsageError("--tokens shows more of the samples, which --samples 0 leaves out")
    from evalkit.engine.cache import response_cache
    from evalkit.report.rescoring import Rescoring

    models = {}
    for text in arguments.model:
        name, equals, model = text.partition("=")
        if not (name and equals and model):
            raise UsageError(f"--model {text}: give NAME=MODEL, the model's name in the run and where it is")
        models[name] = model
    return Rescoring(count=arguments.tokens, models=models, device=arguments.device, cache=response_cache())


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
    where = ["--serve"] if arguments.serve else ["--out", str(arguments.out)]
    parts = ["evalkit", "report", *map(str, arguments.runs), *where]
    if arguments.title != "Evaluation report":
        parts += ["--title", arguments.title]
    for name in ("label", "model"):
        for value in getattr(arguments, name):
            parts += [f"--{name}", value]
    defaults = {"latex": "full", "interval": "half", "samples": None, "device": "cpu"}
    for name in (
        "samples",
        "tokens",
        "device",
        "predict",
        "forecasts",
        "contamination",
        "family",
        "metric",
        "latex",
        "width",
        "shots",
        "interval",
    ):
        value = getattr(arguments, name)
        if value != defaults.get(name) and (value or name == "samples"):
            parts += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(parts)
