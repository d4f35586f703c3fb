"""Completion in the shells that are installed: commands, options, names in lists, folders of runs, files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.commands.completion import SHELLS


def needs(shell: str) -> str:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed (apt-get install {shell})")
    return shell


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of all shells, printed in a project that names a model."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "evalkit.toml").write_text("[aliases]\nmine = 'models/mine'\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for shell in SHELLS:
            with (folder / f"evalkit.{shell}").open("w") as file:
                patch.setattr("sys.stdout", file)
                assert main(["completion", shell]) == 0
    (folder / "runs" / "nano-1").mkdir(parents=True)
    (folder / "runs" / "nano-1" / "manifest.json").write_text("{}")
    (folder / "empty").mkdir()
    (folder / "base.json").write_text("{}")
    (folder / "corpus.txt").write_text("text")
    return folder


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_has_no_error_of_syntax(scripts: Path, shell: str) -> None:
    checked = subprocess.run([needs(shell), "-n", scripts / f"evalkit.{shell}"], capture_output=True, text=True)
    assert checked.returncode == 0 and not checked.stderr


CASES = [
    ("evalkit ru", "run"),
    ("evalkit corpus bu", "build"),
    ("evalkit run --mod", "--model"),
    ("evalkit corpus build --voc", "--vocab"),
    ("evalkit run --model nano,mic", "nano,micro"),
    ("evalkit run --model min", "mine mini"),
    ("evalkit train --size nano --from gpt2-x", "gpt2-xl"),
    ("evalkit run --tasks world_qa,world_cl", "world_qa,world_cloze"),
    ("evalkit tasks superg", "superglue"),
    ("evalkit run --model nano --protocol gpt3-", "gpt3-zero"),
]


def in_bash(folder: Path, line: str) -> list[str]:
    """Return what bash offers for the last word of a line."""
    program = (
        f'source evalkit.bash; COMP_WORDS=({line}); [[ "{line}" == *" " ]] && COMP_WORDS+=("");'
        'COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); _shtab_evalkit 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run([needs("bash"), "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_names_are_completed_in_bash(scripts: Path, line: str, expected: str) -> None:
    assert in_bash(scripts, line) == expected.split()


def test_folders_of_runs_and_files_are_completed_in_bash(scripts: Path) -> None:
    assert in_bash(scripts, "evalkit compare ru") == ["runs"]
    assert in_bash(scripts, "evalkit compare runs/") == ["runs/nano-1"]
    assert in_bash(scripts, "evalkit compare base.json ") == ["runs", "base.json"]  # neither an empty folder nor a text
    assert in_bash(scripts, "evalkit run --model nano --markdown corp") == ["corpus.txt"]


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_names_are_completed_in_fish(scripts: Path, line: str, expected: str) -> None:
    program = f'source evalkit.fish; complete -C "{line}"'
    done = subprocess.run([needs("fish"), "--no-config", "-c", program], cwd=scripts, capture_output=True, text=True)
    offered = [row.partition("\t")[0] for row in done.stdout.splitlines()]
    assert offered == expected.split(), done.stderr


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["completion", "fishy"])
    assert "did you mean 'fish'?" in capsys.readouterr().err
