"""Help: a first screen with the main options, all others in groups of one order, examples that can be pasted."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator

import pytest

from evalkit.cli import _parser
from evalkit.commands.helping import FEW, GROUPS, examples
from evalkit.commands.parsing import Parser

WIDTHS = (60, 80, 140)


def _leaves(parser: argparse.ArgumentParser) -> Iterator[Parser]:
    """Yield the parsers of commands and of their actions."""
    subparsers = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in subparsers:
        for inner in action.choices.values():
            yield from _leaves(inner)
    if not subparsers:
        assert isinstance(parser, Parser)
        yield parser


LEAVES = {parser.prog: parser for parser in _leaves(_parser())}


def run(*words: str) -> int:
    from evalkit.cli import main

    return main(words)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", LEAVES)
def test_help_fits_the_terminal(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = LEAVES[name].format_screen() + LEAVES[name].format_help()
    long = [line for line in text.splitlines() if len(line) > width and " " in line.strip()]
    assert not long


@pytest.mark.parametrize("name", LEAVES)
def test_a_first_screen_is_short_and_names_every_option(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    screen = LEAVES[name].format_screen()
    assert len(screen.splitlines()) <= 60
    for action in LEAVES[name]._actions:
        if action.help != argparse.SUPPRESS:
            assert not action.option_strings or action.option_strings[-1] in screen


@pytest.mark.parametrize("name", LEAVES)
def test_groups_have_one_order(name: str) -> None:
    titles = re.findall(r"^([a-z ]+):$", LEAVES[name].format_help(), flags=re.MULTILINE)
    places = [GROUPS.index(title) for title in titles if title in GROUPS]
    assert places == sorted(set(places)) and places[-1] == len(GROUPS) - 1
    grouped = [made for made in LEAVES[name]._action_groups if made.title in GROUPS[:-1] and made._group_actions]
    mains = [made._group_actions for made in LEAVES[name]._action_groups if made.title not in GROUPS]
    options = sum(map(len, mains)) + sum(len(made._group_actions) for made in grouped)
    assert options <= FEW or grouped, "so many options need groups"


def _examples(parser: Parser) -> Iterator[str]:
    for line in (parser.epilog or "").splitlines():
        command = re.split(r" {2,}| > ", line.strip())[0]
        if line.startswith("  evalkit "):
            yield command


def test_every_example_is_a_valid_command() -> None:
    parser = _parser()
    texts = [text for command in parser._subparsers._group_actions[0].choices.values() for text in _examples(command)]  # type: ignore[union-attr]
    assert len(texts) > 80
    for text in texts:
        parser.parse_args(shlex.split(text)[1:])  # SystemExit otherwise


def test_a_long_example_can_be_pasted_and_its_comment_stands_below() -> None:
    command = "evalkit train --size mini --corpus books/ more.txt --vocab 8192 --tokens 20M --out checkpoints/books"
    for width in (40, 60, 80):
        laid_out = examples(f"examples:\n  {command}      the whole way\n", width)
        lines = laid_out.splitlines()
        assert max(map(len, lines)) <= width and lines[-1].strip() == "the whole way"
        pasted = "\n".join(lines[1:-1]).replace("\\\n", " ")
        assert shlex.split(pasted) == command.split()
        assert not [line for line in lines if line.endswith(("--vocab \\", "--out \\", "--size \\"))]


def test_what_fits_stays_as_it_was_written() -> None:
    text = "examples:\n  evalkit models          all\n  evalkit models nano     one\n"
    assert examples(text, 80) == text


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["runn"], "unknown command 'runn'; did you mean 'run'?"),
        (["run", "--model", "nano", "--shot-count", "1"], "unknown option --shot-count"),
        (["run", "--modle", "nano"], "unknown option --modle; did you mean --model?"),
        (["corpus", "buid"], "unknown command 'buid'; did you mean 'build'?"),
        (["corpus", "build", "x", "--out", "y", "--vocabulary", "9"], "did you mean --vocab?"),
        (["run", "--model", "nano", "--begin", "documents"], "did you mean 'document'?"),
        (["run", "-model", "nano"], "did you mean --model?"),
        (["run", "--model", "nano", "--limit", "few"], "argument --limit: expected a whole number, not 'few'"),
        (["compare", "a", "b", "--alpha", "1%"], "argument --alpha: expected a number, not '1%'"),
        (["run", "--model", "nano", "--limit"], "argument --limit: expected a value"),
        (["run", "--model", "nano", "--from"], "argument --from: expected at least one value"),
        (["import", "x"], "give one of --out, --run"),
        (["--config", "off", "models"], "--config stands before the command; options follow it: evalkit COMMAND"),
        (["compare", "a", "b", "--tasks", "c"], "unknown option --tasks"),
    ],
)
def test_a_wrong_word_is_named_with_the_nearest(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = run(*words)
    except SystemExit as end:
        code = int(end.code or 0)
    error = capsys.readouterr().err
    assert code == 2 and hint in error and error.count("\n") == 1


def test_messages_of_an_action_have_a_level_too() -> None:
    parser = _parser()
    assert parser.parse_args(["corpus", "stats", "x", "--log-level", "debug"]).log_level == "debug"
    assert parser.parse_args(["corpus", "--log-level", "debug", "stats", "x"]).log_level == "debug"
    assert parser.parse_args(["corpus", "stats", "x"]).log_level == "info"
