"""Every block of shell and Python in the documentation runs, or is checked where this machine cannot run it.

A block of sh is run statement by statement, one of python in the page's one namespace, all of a page in one temporary
folder with the bundled models. `<!-- checked only: REASON -->` in the line before a block leaves it unrun: its evalkit
commands are parsed, its Python is compiled. Output shown to readers is text; what stands directly beneath a block that
is run was printed by it, figures aside, which another processor may round otherwise.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from evalkit.engine.open import ENGINES, MODELS
from evalkit.errors import UsageError
from evalkit.harness.catalog import TASK_FOLDERS
from evalkit.harness.task import FAMILIES
from evalkit.metrics import METRICS
from evalkit.model.families import FAMILIES as MODEL_FAMILIES
from evalkit.model.formats import FORMATS
from evalkit.report.measurements import READERS
from tests.docs import shell
from tests.docs.blocks import PAGES, REPOSITORY, Block, _blocks, blocks

# Each language has one name.
LANGUAGES = {"sh", "python", "text", "yaml", "json", "toml", "html", "css", "javascript"}


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page adds to evalkit goes with it."""
    names = (ENGINES, FAMILIES, FORMATS, METRICS, MODELS, MODEL_FAMILIES, READERS, TASK_FOLDERS)
    for registry in names:
        monkeypatch.setattr(registry, "_added", {**registry._added})


# Guides that run from beginning to end: trainings, reports, several models.
LONG = {"train-a-ladder.md", "tutorial.md"}


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] if path.name in LONG else []) for path in PAGES],
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_every_block_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    terminal = shell.Shell(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    ran = False
    for block in blocks(path):
        if block.language == "text" and block.beneath and ran:
            printed = without_figures("".join(capfd.readouterr()))
            missing = [
                line for line in block.text.splitlines() if line != "..." and without_figures(line) not in printed
            ]
            assert not missing, f"{block.place}: not printed by the block above: {missing}"
        ran = block.language in ("sh", "python") and not block.reason
        assert block.language in LANGUAGES, f"{block.place}: the block's language is {block.language!r}"
        try:
            if block.reason:
                check(block)
            else:
                run(block, terminal, names)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{block.place}: {error}") from error


def without_figures(output: str) -> str:
    """Return an output in one line, each run of blanks as one and each figure or hash as a sign."""
    return " ".join(re.sub(r"@[0-9a-f]{8}|[-+]?\d[\d,.]*(e[-+]\d+)?", "#", output).split())


def run(block: Block, terminal: shell.Shell, names: dict[str, object]) -> None:
    if block.language == "sh":
        for _, statement in shell.statements(block.text):
            terminal.run(statement)
    elif block.language == "python":
        with terminal.entered():
            exec(compiled(block), names)
    else:
        check(block)


def check(block: Block) -> None:
    if block.language == "sh":
        for _, statement in shell.statements(block.text):
            shell.check(statement)
    elif block.language == "python":
        compiled(block)
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "yaml":
        list(yaml.safe_load_all(block.text))


def compiled(block: Block) -> object:
    """Compile a block so that tracebacks name the page's lines."""
    return compile("\n" * (block.line - 1) + block.text, block.page, "exec")


def parsed(text: str) -> list[Block]:
    return list(_blocks(text, "page.md"))


def test_output_is_compared_without_figures_and_line_breaks() -> None:
    printed = without_figures("task\nacc nano@0a1b2c3d  -5.1e-04 [4, 6,000]  \na long\n  sentence\n")
    assert without_figures("acc  nano@730d9823  54.5 [47.6, 61.3]") in printed
    assert without_figures("a long sentence") in printed
    assert without_figures("acc micro@730d9823 1 [1, 1]") not in printed


def test_what_stands_beneath_a_block_is_known() -> None:
    pages = ("```sh\na\n```\n\n```text\nb\n```", "```sh\na\n```\nIt prints\n\n```text\nb\n```")
    assert [[block.beneath for block in parsed(page)] for page in pages] == [[False, True], [False, False]]


def test_blocks_are_found_with_their_reasons_and_lines() -> None:
    item = "- item\n\n    <!-- checked only: needs a GPU -->\n    ```python\n    b\n    ```\n"
    first, second = parsed(f"# Title\n\n```sh\na\n```\n\n{item}")
    assert (first.language, first.line, first.text, first.reason) == ("sh", 4, "a\n", "")
    assert (second.language, second.line, second.text, second.reason) == ("python", 11, "b\n", "needs a GPU")


@pytest.mark.parametrize("text", ["```\nx\n```", "```bash\nx\n```", "```console\n$ x\n```", "text\n\n    indented"])
def test_other_ways_to_write_a_block_are_refused(text: str) -> None:
    [block] = parsed(text)
    assert block.language not in LANGUAGES


def test_statements_of_a_script() -> None:
    file, loop = "cat > a.txt <<'EOF'\nb\nEOF", "for i in 1 2; do\n  echo $i\ndone"
    first, second, third = shell.statements(f"# a comment\nevalkit run \\\n  --model nano\n\n{file}\n{loop}\n")
    assert first == (1, "evalkit run \\\n  --model nano")
    assert (second, third) == ((4, file), (7, loop))


@pytest.mark.parametrize(
    ("statement", "plain"),
    [
        ("evalkit tasks 'wmt*' --shots=1  # a comment (with brackets)", True),
        ("evalkit run --data coqa=file.json", True),
        ("evalkit history baselines/*.json", False),
        ("evalkit run --model $MODEL", False),
        ('evalkit run --model "$MODEL"', False),
        ("NAME=b evalkit tasks", False),
        ("evalkit tasks | head", False),
    ],
)
def test_what_needs_a_shell(statement: str, plain: bool) -> None:
    assert shell._is_plain(statement) == plain


@pytest.mark.parametrize(
    "statement", ["pip install x", "cd y && curl z", "env python -m pip install x", "if make; then a; fi"]
)
def test_nothing_is_installed_or_fetched(statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    terminal = shell.Shell(tmp_path)
    with pytest.raises(AssertionError, match="may not run in a test"):
        terminal.run(statement)
    with pytest.raises(AssertionError, match="exit code 126"):  # not by way of another program either
        terminal.run("for program in pip; do $program install x; done")


def test_a_shell_keeps_its_folder_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    terminal = shell.Shell(tmp_path)
    terminal.run("NAME=nano; mkdir inner")
    terminal.run("cd inner")
    terminal.run('test "$NAME" = nano && test "$(basename "$PWD")" = inner')
    terminal.run("evalkit tasks world_qo  # exit code 2: a name that is none")
    with pytest.raises(AssertionError, match="exit code 2"):
        terminal.run("evalkit tasks world_qo")
    with pytest.raises(AssertionError, match="exit code 3"):
        terminal.run("(exit 3)")


@pytest.mark.parametrize(
    "statement",
    [
        "evalkit run --model nano --no-such-option 3",
        "EVALKIT_DATA=data evalkit run --model nano --limit many",
        "evalkit run --model nano --tasks lambda > table.txt",
        "torchrun --nproc-per-node 2 -m evalkit.cli train --sise nano",
        "make nothing",
        "python examples/none.py",
        "python -m tests.benchmarks.none",
        "pip install 'evalkit[non]'",
        "cd x && evalkit rnu",
    ],
)
def test_wrong_commands_are_noticed(statement: str) -> None:
    with pytest.raises((AssertionError, UsageError)):
        shell.check(statement)


def test_right_commands_pass() -> None:
    shell.check("EVALKIT_DATA=data evalkit run --model gpt2 --tasks gpt2-paper,'wmt*' --shots 0,paper > table.txt")
    shell.check("torchrun --nproc-per-node 2 -m evalkit.cli train --size nano --corpus world --out mine")
    shell.check("make books TEXT=texts && pip install 'evalkit[report,hub]'")
