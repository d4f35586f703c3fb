"""A parser of the command line: messages that suggest what was meant, and help in two lengths."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from evalkit.commands.helping import Formatter, group, has_many, ordered, screen, usage
from evalkit.errors import unknown

# What the types of options that hold a number expect.
NUMBERS: Mapping[Any, str] = MappingProxyType({int: "a whole number", float: "a number"})
# argparse's wording, and ours.
_WORDINGS: Sequence[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = (
    (re.compile(r"expected one argument$"), "expected a value"),
    (re.compile(r"expected at least one argument$"), "expected at least one value"),
    (
        re.compile(r"^one of the arguments (.+) is required$"),
        lambda match: f"give one of {', '.join(match[1].split())}",
    ),
)


class Parser(argparse.ArgumentParser):
    """argparse's parser with clearer messages, and help in two lengths: --help and --help-all."""

    _words: Sequence[str] = ()

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{"formatter_class": Formatter} | kwargs | {"add_help": False})
        self.add_argument("-h", "--help", action=_Help, help="show the main options and examples")
        group(self, "general").add_argument("--help-all", action=_Help, help="show all options and examples")

    def format_screen(self) -> str:
        """Return what --help shows: everything if that is short."""
        return screen(self) if has_many(self) else self.format_help()

    def format_help(self) -> str:
        """Return all options, the groups in the order of GROUPS."""
        before = self._action_groups, self.usage
        self._action_groups = ordered(self._action_groups)
        self.usage = usage(self) if has_many(self) else self.usage
        try:
            return super().format_help()
        finally:
            self._action_groups, self.usage = before

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
        for theirs, ours in _WORDINGS:
            message = theirs.sub(ours, message)
        self.exit(2, f"{self.prog}: error: {self._mistyped() or message} ({self.prog} --help)\n")

    def _mistyped(self) -> str:
        """Return the message about the first word that looks like an option and is none; "" without one."""
        if self._subparsers is not None:  # the options after a command are the command's
            first = next(iter(self._words), "").partition("=")[0]
            early = first.startswith("-") and first not in self._option_string_actions
            return f"{first} stands before the command; options follow it: {self.prog} COMMAND {first}" if early else ""
        for word in self._words:
            name = word.partition("=")[0]
            if word == "--":
                break
            if f"-{name}" in self._option_string_actions and name not in self._option_string_actions:
                return f"unknown option {name}; did you mean -{name}?"
            if name.startswith("--") and not any(o.startswith(name) for o in self._option_string_actions):
                near = difflib.get_close_matches(name, self._option_string_actions, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                return f"unknown option {name}{hint}"
        return ""

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            if not (numbers := NUMBERS.get(action.type)):
                raise
            raise argparse.ArgumentError(action, f"expected {numbers}, not {arg_string!r}") from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            if isinstance(action, argparse._SubParsersAction):
                raise argparse.ArgumentError(None, str(unknown("command", value, action.choices)))
            raise argparse.ArgumentError(action, str(unknown("value", value, map(str, action.choices))))


class _Help(argparse.Action):
    """Prints the short help, or for --help-all the long one, and exits."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any):
        super().__init__(option_strings, dest=argparse.SUPPRESS, default=argparse.SUPPRESS, nargs=0, **kwargs)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        """Print and exit."""
        everything = option_string is not None and option_string.startswith("--help-")
        print(parser.format_help() if everything or not isinstance(parser, Parser) else parser.format_screen(), end="")
        parser.exit()
