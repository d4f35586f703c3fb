"""A parser of the command line that names a mistyped command or option, and suggests the one that was meant."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from evalkit.errors import unknown


class Parser(argparse.ArgumentParser):
    """argparse's parser with clearer messages."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, but a command itself refuses the words that it does not know."""
        self._words = list(args or ())
        namespace, unknown_words = super().parse_known_args(args, namespace)
        if unknown_words and self._subparsers is None:
            self.error(f"unknown argument {unknown_words[0]}")
        return namespace, unknown_words

    def error(self, message: str) -> NoReturn:
        """Print one line, without the usage, and exit with 2.

        A mistyped option comes first: it is also the reason why the right one is missing.
        """
        self.exit(2, f"{self.prog}: error: {self._mistyped() or message} ({self.prog} --help)\n")

    def _mistyped(self) -> str:
        """Return the message about the first word that looks like an option and is none; "" without one."""
        if self._subparsers is not None:  # the options after a command are the command's
            return ""
        for word in self._words:
            name = word.partition("=")[0]
            if word == "--":
                break
            if name.startswith("--") and not any(o.startswith(name) for o in self._option_string_actions):
                near = difflib.get_close_matches(name, self._option_string_actions, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                return f"unknown option {name}{hint}"
        return ""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            if isinstance(action, argparse._SubParsersAction):
                raise argparse.ArgumentError(None, str(unknown("command", value, action.choices)))
            raise argparse.ArgumentError(action, str(unknown("value", value, map(str, action.choices))))
