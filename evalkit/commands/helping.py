"""The text of a command's help: a first screen with the main options, and examples that fit the terminal."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

# The titles of groups of options, in the order in which every command shows them.
GROUPS = (
    "tasks and prompts",
    "tables as tasks",
    "decoding",
    "model",
    "corpus",
    "shape",
    "optimization",
    "checkpoints",
    "evaluation on the way",
    "statistics",
    "selection",
    "computing",
    "output",
    "samples",
    "paper",
    "serving",
    "general",
)
# What an option takes, by the name that help gives its value.
MODELS, TASKS, PROTOCOLS, RUNS = "models", "tasks", "protocols", "runs"
_KINDS = {
    "BASE": RUNS,
    "CKPT": MODELS,
    "MODEL": MODELS,
    "NEW": RUNS,
    "PROTOCOL": PROTOCOLS,
    "RUN": RUNS,
    "TASK": TASKS,
    "TASKS": TASKS,
}
# More options than this are shown in groups, and on the first screen only those that are in none.
FEW = 12
# The examples of a first screen.
_EXAMPLES = 5
_UNBOUNDED = 10_000
# An option and the space before its value, which stay on one line.
_OPTION = re.compile(r"(--[\w-]+) (?=[^\s-])")
# Two spaces, the command of an example, and a comment after at least two spaces.
_EXAMPLE = re.compile(r"  (?P<command>\S.*?)(?: {2,}(?P<comment>\S.*))?$")


def takes(action: argparse.Action) -> str:
    """Return what an option or argument takes: MODELS, TASKS, PROTOCOLS, RUNS; empty for anything else."""
    name = action.metavar or action.dest.upper()
    return _KINDS.get(re.split(r"[^A-Z]", str(name).removeprefix("SUITE|"))[0], "")


def group(parser: argparse.ArgumentParser, title: str) -> argparse._ArgumentGroup:
    """Return the parser's group of options with one of the titles in GROUPS; it is made at the first call.

    What is not in a group belongs to the first screen of a command's help.
    """
    assert title in GROUPS, title
    existing = (section for section in parser._action_groups if section.title == title)
    return next(existing, None) or parser.add_argument_group(title)


def ordered(groups: Iterable[argparse._ArgumentGroup]) -> list[argparse._ArgumentGroup]:
    """Return groups in the order of GROUPS, behind those that argparse makes itself."""
    rank = {title: place for place, title in enumerate(GROUPS, start=1)}
    return sorted(groups, key=lambda section: rank.get(section.title or "", 0))


class Formatter(argparse.HelpFormatter):
    """Wraps descriptions, and lays out epilogs by `examples`."""

    def __init__(self, prog: str, **kwargs: Any):
        super().__init__(prog, **{"max_help_position": 26} | kwargs)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return examples(text, self._width)


def has_many(parser: argparse.ArgumentParser) -> bool:
    """Whether a command has too many options for its first screen."""
    general = group(parser, "general")._group_actions
    return parser._subparsers is None and len([a for a in parser._actions if a not in general]) > FEW


def usage(parser: argparse.ArgumentParser) -> str:
    """Return what a command needs, with all other options as one word."""
    alternatives = [section for section in parser._mutually_exclusive_groups if section.required]
    chosen = [action for section in alternatives for action in section._group_actions]
    needed = [action for action in _main(parser) if action.required or not action.option_strings or action in chosen]
    text = Formatter(parser.prog, width=_UNBOUNDED)._format_usage(None, needed, alternatives, "").strip()
    lines = textwrap.wrap(f"usage: {text} [option\0...]", parser._get_formatter()._width, subsequent_indent=" " * 7)
    return "\n".join(lines).removeprefix("usage: ").replace("\0", " ")


def screen(parser: argparse.ArgumentParser) -> str:
    """Return the usage, the main options, the names of the others by group, and some examples."""
    formatter = parser._get_formatter()
    formatter.add_text(parser.description)
    formatter.start_section("main options")
    formatter.add_arguments(_main(parser))
    formatter.end_section()
    width = formatter._width
    parts = [f"usage: {usage(parser)}\n", formatter.format_help(), *_others(parser, width)]
    if parser.epilog:
        parts += ["", examples(_first(parser.epilog), width)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _main(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return positional arguments, and options that are in no group of ours."""
    return [
        action for section in parser._action_groups if section.title not in GROUPS for action in section._group_actions
    ]


def _others(parser: argparse.ArgumentParser, width: int) -> Iterator[str]:
    """Yield the lines that name the options of each group."""
    yield "more options, which --help-all explains:"
    for section in ordered(parser._action_groups):
        if section.title in GROUPS:
            names = [action.option_strings[-1] for action in section._group_actions if action.option_strings]
            yield from textwrap.wrap(
                ", ".join(names), width,
                initial_indent=f"  {section.title + ':':<23} ", subsequent_indent=" " * 26, break_on_hyphens=False,
            )  # fmt: skip


def _first(epilog: str) -> str:
    """Return the heading and the first examples of an epilog."""
    heading, *lines = epilog.strip("\n").split("\n")
    return "\n".join([heading, *[line for line in lines if _EXAMPLE.match(line)][:_EXAMPLES]])


def examples(epilog: str, width: int) -> str:
    """Lay out an epilog: examples that do not fit continue on the next line, other lines are filled as paragraphs."""
    lines: list[str] = []
    paragraph: list[str] = []
    for line in [*epilog.strip("\n").split("\n"), ""]:
        if line.strip() and not line.startswith("  "):
            paragraph.append(line)
            continue
        lines += textwrap.wrap(" ".join(paragraph), width, break_on_hyphens=False)
        paragraph = []
        lines += _example(line, width)
    return "\n".join(lines).rstrip("\n") + "\n"


def _example(line: str, width: int) -> Sequence[str]:
    """Return an example as lines: the comment on its own where it does not fit; long commands with backslashes."""
    match = _EXAMPLE.match(line)
    if len(line) <= width or match is None:
        return [line]
    command, comment = match["command"], match["comment"]
    if comment and len(command) + len(comment) + 4 <= width:
        return [f"  {command}  {comment}"]
    wrapped = textwrap.wrap(
        _OPTION.sub(r"\1\0", command), width - 2, initial_indent="  ", subsequent_indent="      ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    wrapped = [part.replace("\0", " ") for part in wrapped]
    lines = [f"{part} \\" for part in wrapped[:-1]] + wrapped[-1:]
    return lines + textwrap.wrap(comment or "", width, initial_indent="      ", subsequent_indent="      ")
