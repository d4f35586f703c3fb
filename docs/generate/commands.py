"""A page for each command, from the command line's own parser: usage, options by group, defaults, examples."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping

from docs.generate.markdown import code, escaped, fence, table
from evalkit.cli import _parser
from evalkit.commands.helping import Formatter, has_many, ordered, usage

_FOLDER = "reference/commands"
_WIDTH = 100
_TOP = 2
# The options of every command, which the sections of its own commands need not repeat.
_GENERAL = "general"
# An example, and what is said of it after a gap: "  evalkit tasks      every task".
_EXAMPLE = re.compile(r"^  (\S.*?)(?:( {2,})(\S.*))?$")


def pages() -> Mapping[str, str]:
    """Return the list of commands, then a page for each."""
    commands = dict(_subparsers(_parser()))
    rows = [
        (f"[{code(f'evalkit {name}')}]({name}.md)", escaped(sub.description or "")) for name, sub in commands.items()
    ]
    index = f"# Commands\n\n{table(('command', 'what it does'), rows)}\n" + (
        "Each page has what `evalkit COMMAND --help` prints: usage, options and examples.\n"
    )
    return {
        f"{_FOLDER}/index.md": index,
        **{f"{_FOLDER}/{name}.md": f"# evalkit {name}\n\n{_described(sub, _TOP)}" for name, sub in commands.items()},
    }


def _subparsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                sub = action.choices[choice.dest]
                sub.description = sub.description or choice.help or ""
                yield choice.dest, sub


def _described(parser: argparse.ArgumentParser, level: int) -> str:
    """Return what a command is and takes, with its own commands as sections at a level of headings."""
    formatter = Formatter(parser.prog, width=_WIDTH)
    parts = [escaped(parser.description or ""), fence(_usage(parser), "text")]
    if parser.epilog:
        parts.append(_epilog(parser.epilog, level))
    for group in ordered(parser._action_groups):
        rows = [_option(action, formatter) for action in group._group_actions if _is_shown(action)]
        if rows and not (level > _TOP and group.title == _GENERAL):
            parts.append(f"{'#' * level} {(group.title or '').capitalize()}")
            parts += [escaped(group.description)] if group.description else []
            parts.append(table(("option", "meaning"), rows))
    for name, sub in _subparsers(parser):
        parts.append(f"{'#' * level} {parser.prog} {name}\n\n{_described(sub, level + 1)}")
    return "\n\n".join(parts)


def _usage(parser: argparse.ArgumentParser) -> str:
    """Return the usage as --help has it: of a command with many options, what it needs."""
    if has_many(parser):
        return usage(parser)
    formatter = Formatter(parser.prog, width=_WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help()


def _is_shown(action: argparse.Action) -> bool:
    return argparse.SUPPRESS not in (action.dest, action.help)  # help itself, and commands of a command


def _option(action: argparse.Action, formatter: argparse.HelpFormatter) -> tuple[str, str]:
    """Return an option's names with its value, and its meaning with its default."""
    if action.option_strings:
        metavar = formatter._get_default_metavar_for_optional(action)
        value = "" if action.nargs == 0 else f" {formatter._format_args(action, metavar)}"
        names = ", ".join(code(f"{name}{value}") for name in action.option_strings)
    else:
        names = code(formatter._format_args(action, formatter._get_default_metavar_for_positional(action)))
    text = escaped(formatter._expand_help(action)) if action.help else ""
    has_default = action.default not in (None, False, True, argparse.SUPPRESS, "", [], ())
    if has_default and "default" not in text:
        text += f" (default: {escaped(str(action.default))})"
    return names, f"{text}; required" if action.required and action.option_strings else text


def _epilog(text: str, level: int) -> str:
    """Return what follows the options in a command's help: examples as a block of shell, the rest as prose."""
    examples: list[str] = []
    prose = [""]
    for line in text.strip("\n").splitlines():
        if match := _EXAMPLE.match(line):
            examples.append(f"{match[1]}{match[2] or ''}{f'# {match[3]}' if match[3] else ''}")
        elif line.strip() == "examples:":
            continue
        elif line.strip():
            prose[-1] += f"{line}\n"
        else:
            prose.append("")
    block = [f"{'#' * level} Examples", fence("\n".join(examples), "sh")] if examples else []
    return "\n\n".join([*block, *map(escaped, filter(None, prose))])
