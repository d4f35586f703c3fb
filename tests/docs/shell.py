"""Shell blocks, statement by statement: run as a reader would, or parsed only."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from unittest import mock

from evalkit.cli import _parser, main
from evalkit.harness import catalog
from tests.docs.blocks import REPOSITORY

# A comment at the end of a statement that is meant to fail.
_EXIT_CODE = re.compile(r"#.*\bexit code (\d+)")
# What only a shell understands, where it is not in quotation marks.
_SHELL_ONLY = re.compile(r"[|&;<>()$`*?\[\]{}~!]")
_QUOTED = re.compile(r"'[^']*'|\"[^\"$`\\]*\"")
_HERE_DOCUMENT = re.compile(r"(<<-?\s*(['\"]?)(\w+)\2[^\n]*)\n.*?^\3$", re.DOTALL | re.MULTILINE)
_KEYWORDS = {"!", "do", "done", "else", "fi", "if", "then", "time", "while", "{", "}"}
_ASSIGNMENT = re.compile(r"\w+=")
# Programs that install, fetch or publish: a reader means to, a test must not. Blocks with them are checked only.
_FORBIDDEN = (
    "apt apt-get brew conda curl docker gh hatch hf huggingface-cli kubectl make npm pip pip3 pipx poetry ray sbatch "
    "scp srun ssh torchrun twine uv wget"
).split()
_EXTRAS = re.compile(r"^(?:evalkit|\.)\[([\w,-]+)\]")


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement of a script with the number of its first line; lines are joined until bash accepts them."""
    waiting: list[str] = []
    for number, line in enumerate(text.splitlines()):
        if not waiting and (not line.strip() or line.lstrip().startswith("#")):
            continue
        waiting.append(line)
        if _is_whole("\n".join(waiting)):
            yield number - len(waiting) + 1, "\n".join(waiting)
            waiting = []
    assert not waiting, f"bash does not accept {waiting[0]!r}"


def _is_whole(script: str) -> bool:
    if script.endswith("\\"):
        return False
    if _is_plain(script):
        return True
    done = subprocess.run(["bash", "-n"], input=script + "\n", capture_output=True, text=True)
    return done.returncode == 0 and not done.stderr  # a here-document without an end is only warned of


def _is_plain(statement: str) -> bool:
    """Whether a statement needs no shell: a program and its arguments."""
    bare = _QUOTED.sub("", statement).partition(" #")[0]
    return not (_SHELL_ONLY.search(bare) or _ASSIGNMENT.match(bare) or {*bare} & {*"'\"\n\\"})


class Shell:
    """A reader's shell: a folder, and an environment that statements change. evalkit runs in this process if it can."""

    def __init__(self, home: Path):
        self.folder = home / "work"
        self.folder.mkdir()
        (self.folder / "examples").symlink_to(REPOSITORY / "examples")
        self._state = home / "state"
        programs = home / "bin"
        programs.mkdir()
        scripts = {name: f"echo {name} may not run in a test >&2; exit 126" for name in _FORBIDDEN}
        scripts |= dict.fromkeys(("python", "python3"), f'exec "{sys.executable}" "$@"')
        scripts["evalkit"] = f'exec "{sys.executable}" -m evalkit "$@"'
        for name, script in scripts.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("EVALKIT_")},
            "EVALKIT_CACHE": str(home / "cache"), "HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1", "HOME": str(home),
            "COLUMNS": "120", "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY),
        }  # fmt: skip

    def run(self, statement: str) -> None:
        """Run one statement; it has to succeed, or to end with the exit code that a comment behind it states.

        A program that installs or fetches is refused before anything runs.
        """
        for words in _commands(statement):
            assert Path(words[0]).name not in _FORBIDDEN, f"{words[0]} may not run in a test: {statement}"
            assert ("-m", "pip") not in pairwise(words), f"pip may not run in a test: {statement}"
        expected = _EXIT_CODE.search(statement)
        words = shlex.split(statement, comments=True) if _is_plain(statement) else []
        code = self._in_process(words[1:]) if words[:1] == ["evalkit"] else self._by_bash(statement)
        assert code == (int(expected[1]) if expected else 0), f"exit code {code}: {statement}"

    def _in_process(self, words: Sequence[str]) -> int:
        with self.entered():
            try:
                return main(words)
            except SystemExit as end:
                return int(end.code or 0)

    def entered(self) -> AbstractContextManager[object]:
        """Return a context in which this process has the shell's environment; its folder is entered for good."""
        os.chdir(self.folder)
        return mock.patch.dict(os.environ, self.environment, clear=True)

    def _by_bash(self, statement: str) -> int:
        script = (
            f'set -a -o pipefail\n{statement}\ncode=$?; pwd > "{self._state}"; env -0 >> "{self._state}"; exit $code'
        )
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        print(done.stdout, done.stderr)
        folder, _, variables = self._state.read_text().partition("\n")
        self.folder = Path(folder)
        self.environment = dict(pair.split("=", 1) for pair in variables.split("\0") if pair)
        return done.returncode


def check(statement: str) -> None:
    """Check a statement that is not run: every evalkit command in it parses, and what else it names is there."""
    for words in _commands(statement):
        if words[0] == "evalkit":
            _check_evalkit(words[1:])
        elif "evalkit.cli" in words:
            _check_evalkit(words[words.index("evalkit.cli") + 1 :])
        elif words[0] == "make":
            targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert {word for word in words[1:] if "=" not in word} <= {*targets}, statement
        elif words[0] == "python":
            _check_python(words[1:])
        elif words[:2] == ["pip", "install"]:
            _check_extras(words[2:])


def _commands(statement: str) -> Iterator[list[str]]:
    """Yield the words of each command in a statement, without assignments before it and redirections."""
    bare = _HERE_DOCUMENT.sub(r"\1", statement).replace("\\\n", " ").replace("\n", " ; ")
    lexer = shlex.shlex(bare, posix=True, punctuation_chars=";|&<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    redirected = False
    for word in [*lexer, ";"]:
        if {*word} <= set(";|&()"):
            if words:
                yield words
            words = []
        elif {*word} <= set("<>"):
            redirected = True
        elif redirected:
            redirected = False
        elif words or not (_ASSIGNMENT.match(word) or word in _KEYWORDS):
            words.append(word)


def _check_evalkit(words: list[str]) -> None:
    try:
        arguments = _parser().parse_args(words)
    except SystemExit as end:
        assert not end.code, f"evalkit {shlex.join(words)}"
        return
    tasks = getattr(arguments, "tasks", None)
    for word in tasks.split(",") if isinstance(tasks, str) else tasks or ():
        # Other tools' tasks and files are not here.
        if word and not re.search(r"^lm-eval:|^core|[$.]", word):
            assert catalog.choose([word])


def _check_python(words: list[str]) -> None:
    if words[0] == "-m" and words[1].startswith("tests."):
        path = REPOSITORY / (words[1].replace(".", "/"))
        assert path.is_dir() or path.with_suffix(".py").is_file(), words[1]
    elif words[0].startswith(("tests/", "examples/")):
        assert (REPOSITORY / words[0]).is_file(), words[0]


def _check_extras(words: list[str]) -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8").partition("optional-dependencies]")[2]
    extras = {*re.findall(r"^([\w-]+) = \[", text.partition("\n[")[0], re.MULTILINE)}
    for word in words:
        if match := _EXTRAS.match(word):
            assert {*match[1].split(",")} <= extras, word
