"""evalkit completion: a script that completes commands, options and names in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any

from evalkit.commands import configuration, options
from evalkit.commands.helping import MODELS, PROTOCOLS, RUNS, TASKS, takes
from evalkit.runs.remote import place

SUMMARY = "Print a script that completes commands, options, tasks, models and run folders in a shell."
EXAMPLES = """examples:
  evalkit completion bash > ~/.local/share/bash-completion/completions/evalkit
  evalkit completion zsh > ~/.zfunc/_evalkit                 with fpath+=~/.zfunc before compinit in .zshrc
  evalkit completion fish > ~/.config/fish/completions/evalkit.fish

The script holds the names of tasks, models and protocols, and the project's own names for models: print it again
after an update. Folders of runs are looked up as you type.
"""

SHELLS = ("bash", "zsh", "fish")
# By kind, the function that completes it. In bash, what a function with "_files" in its name yields is taken for paths.
_FUNCTIONS = {
    MODELS: "_evalkit_models_and_files",
    PROTOCOLS: "_evalkit_protocols",
    RUNS: "_evalkit_runs_and_files",
    TASKS: "_evalkit_tasks",
}
# Of a list of names, what stands before the last comma stays. A folder is offered if it is a run or has folders in it.
_BASH = Template(r"""
_evalkit_names() {
  local given="" name
  [[ "$1" == *,* ]] && given="${1%,*},"
  for name in $2; do
    [[ "$name" == "${1##*,}"* ]] && printf '%s\n' "$given$name"
  done
}
_evalkit_tasks() { _evalkit_names "$1" "$TASKS"; }
_evalkit_protocols() { _evalkit_names "$1" "$PROTOCOLS"; }
_evalkit_models_and_files() {
  _evalkit_names "$1" "$MODELS"
  compgen -f -- "$1"
}
_evalkit_runs_and_files() {
  local folder
  compgen -d -- "$1" | while IFS= read -r folder; do
    [[ -e "$folder/manifest.json" || -n "$(compgen -d -- "$folder/")" ]] && printf '%s\n' "$folder"
  done
  compgen -f -X '!*.json' -- "$1"
}
""")
_ZSH = Template(r"""
_evalkit_tasks() { compset -P '*,'; compadd -- $TASKS }
_evalkit_protocols() { compadd -- $PROTOCOLS }
_evalkit_models_and_files() {
  compset -P '*,'
  compadd -- $MODELS
  _files
}
_evalkit_runs_and_files() { _files -g '*.json(-.)' }
""")
_FISH = Template(r"""
function _evalkit_names
    set -l given (string match -r '^.*,' -- (commandline -ct))
    for name in $argv
        echo "$given$name"
    end
end
function _evalkit_tasks
    _evalkit_names $TASKS
end
function _evalkit_protocols
    _evalkit_names $PROTOCOLS
end
function _evalkit_models_and_files
    _evalkit_names $MODELS
    __fish_complete_path (commandline -ct)
end
function _evalkit_runs_and_files
    __fish_complete_path (commandline -ct)
end
""")
_PREAMBLES = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")


def run(arguments: argparse.Namespace) -> None:
    """Print the script."""
    print(script(arguments.root, arguments.shell, aliases=configuration.current.get().aliases))


def script(root: argparse.ArgumentParser, shell: str, *, aliases: Iterable[str] = ()) -> str:
    """Return the script of a shell for all commands of a parser. aliases: further names of models."""
    import shtab

    _mark(root, path=shtab.FILE)
    names = {kind.upper(): " ".join(words) for kind, words in _names(aliases).items()}
    preamble: Any = {shell: _PREAMBLES[shell].safe_substitute(names)}  # shtab says str, and takes one per shell
    return str(shtab.complete(root, shell, preamble=preamble))


def _mark(parser: argparse.ArgumentParser, *, path: object) -> None:
    """Set, where shtab looks for it, how to complete the options of a command and of its actions. path: of shtab."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _mark(inner, path=path)
        elif function := _FUNCTIONS.get(takes(action)):
            vars(action)["complete"] = {"bash": function, "zsh": function, "fish": f"({function})"}
        elif action.type in (Path, place, options.folder):
            vars(action)["complete"] = path


def _names(aliases: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of tasks and suites, protocols and models."""
    from evalkit.harness import catalog
    from evalkit.model.config import HUB
    from evalkit.model.resolve import bundled

    tasks = catalog.available()
    return {
        TASKS: [*tasks, *catalog.suite_names()],
        PROTOCOLS: sorted({protocol for task in tasks.values() for protocol in task.protocols}),
        MODELS: [*aliases, *bundled(), *HUB],
    }
