"""The command line: parses, calls, reports errors in one line. What a command does stands in commands/."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from evalkit import __version__
from evalkit.commands import baseline, calibration, compare, export, generate, models, power, report, run, tasks, train
from evalkit.errors import EvalkitError

# Importing a command is cheap: what is heavy is imported when it runs, so that help comes at once.
_COMMANDS = {
    "run": run,
    "report": report,
    "compare": compare,
    "baseline": baseline,
    "power": power,
    "calibration": calibration,
    "train": train,
    "tasks": tasks,
    "models": models,
    "export": export,
    "generate": generate,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 for a regression, 2 for an error of the user's, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments) or 0)
    except EvalkitError as error:
        print(f"evalkit: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            "evalkit: interrupted; what was finished is kept, the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="evalkit", description="Zero-shot and few-shot evaluation of GPTs.")
    whole.add_argument("--version", action="version", version=f"evalkit {__version__}")
    subparsers = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        sub = subparsers.add_parser(
            name, help=command.SUMMARY, description=command.SUMMARY, epilog=command.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        command.configure(sub)
        sub.set_defaults(command=command.run)
    return whole


if __name__ == "__main__":
    sys.exit(main())
