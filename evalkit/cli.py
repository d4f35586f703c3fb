"""The command line: parses arguments, runs a command, reports errors in one line. The commands are in commands/."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from evalkit import __version__, costs, extras
from evalkit.commands import (
    audit,
    baseline,
    calibration,
    compare,
    completion,
    configuration,
    contamination,
    core,
    corpus,
    doctor,
    export,
    export_results,
    finetune,
    forecast,
    gate,
    generate,
    history,
    import_results,
    models,
    plan,
    power,
    records,
    report,
    report_finetuned,
    report_ladder,
    run,
    schema,
    tasks,
    train,
    watch,
)
from evalkit.commands.configuration import Configuration, in_force
from evalkit.commands.helping import group
from evalkit.commands.parsing import Parser
from evalkit.errors import FAULT, EvalkitError, NoMemoryError, StoreError, UsageError, cannot, out_of_memory
from evalkit.interrupts import Terminated, prompt_end
from evalkit.log import LEVELS, messages
from evalkit.streams import Lasting, lasting

log = logging.getLogger(__name__)

# Environment variables that belong to the command to continue with.
_PLACES = ("EVALKIT_DATA", "EVALKIT_CACHE")

# With one of these words a command works in spite of a wrong file of settings.
_WITHOUT_SETTINGS = {"-h", "--help", "--help-all", "--version", "doctor", "completion"}

# Importing a command is cheap: heavy modules are imported when it runs, so that help comes at once.
_COMMANDS = {
    "run": run,
    "report": report,
    "forecast": forecast,
    "plan": plan,
    "report-ladder": report_ladder,
    "report-finetuned": report_finetuned,
    "compare": compare,
    "gate": gate,
    "baseline": baseline,
    "history": history,
    "power": power,
    "audit": audit,
    "calibration": calibration,
    "records": records,
    "core": core,
    "contamination": contamination,
    "corpus": corpus,
    "train": train,
    "watch": watch,
    "finetune": finetune,
    "tasks": tasks,
    "models": models,
    "export": export,
    "export-results": export_results,
    "import": import_results,
    "schema": schema,
    "generate": generate,
    "doctor": doctor,
    "completion": completion,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors.py lists them."""
    words = list(sys.argv[1:] if argv is None else argv)
    # Before torch is imported. An OpenMP thread that spins while it waits takes the core from the thread that it waits
    # for if the machine has other work: a run of small models then takes several times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Threads build prompts and judge answers beside the engine, whose short products would otherwise wait for the
    # interpreter up to five milliseconds each.
    sys.setswitchinterval(0.00005)
    with lasting() as out:
        try:
            arguments, standing = _arguments(words)
            farewell = _farewell(words, arguments)
            with (
                messages(arguments.log_level, arguments.log_json),
                prompt_end(f"evalkit: {farewell}"),
                in_force(standing),
                costs.priced(standing.prices),
            ):
                return _run(arguments, farewell) or _printed(out)
        except (StoreError, UsageError) as error:  # from the log file, or from a file of settings
            print(f"evalkit: error: {error}", file=sys.stderr)
            return error.exit_code


def _arguments(words: Sequence[str]) -> tuple[argparse.Namespace, Configuration]:
    """Parse the command line, with the project's settings as defaults. Raises UsageError where these are wrong."""
    parser = _parser()
    standing = configuration.load(words, parser)
    if standing.fault and not set(words) & _WITHOUT_SETTINGS:
        raise UsageError(standing.fault)
    arguments = parser.parse_args(words)
    chosen = arguments.__dict__.pop("parser")  # of the command
    if arguments.config != configuration.named(words):
        raise UsageError("write --config in full: the file is read before the other options")
    return arguments, configuration.complete(standing, chosen, arguments)


def _run(arguments: argparse.Namespace, farewell: str) -> int:
    """Run a command; every error that the user or the machine can cause becomes one message."""
    try:
        return int(arguments.command(arguments) or 0)
    except EvalkitError as error:
        return _fail(error)
    except KeyboardInterrupt as interrupt:
        log.warning(farewell)
        return 143 if isinstance(interrupt, Terminated) else 130
    except OSError as error:
        return _fail(_of_system(error))
    except ImportError as error:
        if needed := extras.missing(error):
            return _fail(needed)
        raise
    except Exception as error:
        if out_of_memory(error):
            return _fail(NoMemoryError(f"out of memory ({str(error).partition(chr(10))[0]})"))
        # Not 1, which is a verdict.
        log.exception("a bug in evalkit; please report it with the following traceback")
        return FAULT


def _of_system(error: OSError) -> StoreError:
    """Return the error for what the system refused: reading is a wrong input, writing the disk's."""
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    if path is None or error.errno not in (errno.EACCES, errno.EPERM):
        return cannot("use", path or Path("a file"), error)
    place = path if os.path.lexists(path) else path.parent
    writing = os.access(place, os.R_OK | os.X_OK if place.is_dir() else os.R_OK) and not os.access(place, os.W_OK)
    return cannot("write" if writing else "read", path, error)


def _printed(out: Lasting) -> int:
    """Return 0, or the disk's code if standard output is incomplete; a closed pipe is not an error."""
    out.flush()
    if out.lost is None or out.lost.errno in (errno.EPIPE, errno.EBADF):
        return 0
    return _fail(cannot("write", Path("standard output"), out.lost))


def _fail(error: EvalkitError) -> int:
    log.error(
        "%s%s",
        error,
        configuration.blamed(str(error)),
        extra={"kind": type(error).__name__, "exit_code": error.exit_code},
    )
    log.debug("raised here", exc_info=error)
    return error.exit_code


def _farewell(words: Sequence[str], arguments: argparse.Namespace) -> str:
    """Return the message on how to continue after an interruption."""
    if not hasattr(arguments, "resume"):
        return "interrupted"
    place = {name: value for name in _PLACES if (value := os.environ.get(name))}
    before = [f"{name}={shlex.quote(value)}" for name, value in place.items()]
    command = ["evalkit", *words, *([] if arguments.resume else ["--resume"])]
    return f"interrupted; continue with: {' '.join([*before, shlex.join(command)])}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="evalkit", description="Zero-shot and few-shot evaluation of GPTs.")
    parser.add_argument("--version", action="version", version=f"evalkit {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        sub = subparsers.add_parser(name, help=command.SUMMARY, description=command.SUMMARY, epilog=command.EXAMPLES)
        command.configure(sub)
        _add_general(sub)
        sub.set_defaults(command=command.run)
    subparsers.choices["completion"].set_defaults(root=parser)
    return parser


def _add_general(parser: argparse.ArgumentParser, *, repeated: bool = False) -> None:
    """Add what every command has, and each of its actions. repeated: the command itself has it, with the defaults."""
    level, file = (argparse.SUPPRESS, argparse.SUPPRESS) if repeated else ("info", None)
    parser.set_defaults(parser=parser)
    general = group(parser, "general")
    general.add_argument(
        "--config", metavar="FILE", default=file,
        help="standing choices of a project (default: EVALKIT_CONFIG, or the nearest evalkit.toml or pyproject.toml "
        "upwards from here); off: none",
    )  # fmt: skip
    general.add_argument(
        "--log-level",
        metavar="LEVEL",
        choices=LEVELS,
        default=level,
        help="messages from this level up: debug, info (default), warning, error",
    )
    general.add_argument(
        "--log-json", metavar="FILE", default=file, help="append messages to FILE as JSON; -: to standard error"
    )
    for actions in parser._actions:
        if isinstance(actions, argparse._SubParsersAction):
            for action in actions.choices.values():
                _add_general(action, repeated=True)


if __name__ == "__main__":
    sys.exit(main())
