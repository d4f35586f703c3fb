"""The house itself: import directions, no torch where it does not belong, help that comes at once."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "evalkit"

# From the ground up: a room may import those of the layers before its own, and of its own layer itself alone.
LAYERS = [
    {"errors", "sinks", "interrupts", "machine"},
    {"types", "costs", "extras", "files", "plugins", "streams", "sandbox", "tables"},
    {"log", "progress", "papers", "world", "tokenizer", "text"},
    {"metrics", "model", "data"},
    {"stats", "runs", "engine"},
    {"harness"},
    {"forecasts"},
    {"corpus", "comparison", "report"},
    {"audits", "contamination", "dclm", "train", "lm_eval", "interchange"},
    {"results"},
    {"frames"},
    {"sweep"},
    {"api"},
    {"curves", "diagnosis", "gates"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: i for i, layer in enumerate(LAYERS) for name in layer}
# Rooms that need no torch, so that data, prompts, scores and reports are quick and can be tested without it.
WITHOUT_TORCH = {
    "errors", "types", "files", "data", "metrics", "stats", "runs", "harness", "corpus", "comparison", "report", "text",
    "world", "papers", "plugins", "results", "frames", "forecasts", "audits", "contamination", "dclm",
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it; not those that only a type checker imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name if name in NAMES else name.rpartition(".")[0] or name for name in names}


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_of(path): path for path in MODULES}


def test_every_room_has_a_layer():
    rooms = {room_of(path) for path in MODULES} - {"__init__", "zoo"}
    assert rooms == LEVEL.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    room = room_of(path)
    rooms = {name.split(".")[1] for name in imports_of(path) if name.startswith("evalkit.")} & LEVEL.keys()
    too_high = {other for other in rooms - {room} if room in LEVEL and LEVEL[other] >= LEVEL[room]}
    assert not too_high, f"{room} may not import {too_high}"


def test_no_modules_import_each_other_in_a_circle():
    waiting = {name: imports_of(path) & NAMES.keys() - {name} for name, path in NAMES.items()}
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting, f"in circles, or above one: {sorted(waiting)}"


def test_only_the_rooms_of_networks_use_torch():
    for path in MODULES:
        if room_of(path) in WITHOUT_TORCH:
            assert not [name for name in imports_of(path) if name.split(".")[0] == "torch"], path


def test_contributing_lists_the_layers_as_they_are():
    rules = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## The house rules")[2]
    assert [
        {*line.split()} for line in rules.partition("```text\n")[2].partition("```")[0].strip().splitlines()
    ] == LAYERS


def test_the_readme_draws_the_house_as_it_is():
    drawn = (PACKAGE.parent / "README.md").read_text(encoding="utf-8").partition("evalkit/\n")[2].partition("```")[0]
    lines = [line.strip() for line in drawn.splitlines() if re.match(r"  \S", line)]
    names = {name for line in lines for name in re.split(r" {3,}", line)[0].split()}
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file()]
    there = {f"{path.parts[0]}/" for path in files if len(path.parts) > 1 and "__pycache__" not in path.parts}
    there |= {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert names == there


def test_the_readme_is_short():
    lines = (PACKAGE.parent / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120, "README.md: longer texts belong in docs/"


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["tasks"], ["models"]])
def test_torch_is_not_imported_for(command):
    code = (
        "import sys; from evalkit.cli import main\n"
        f"try: main({command!r})\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


# What takes long to import and no run of our own network on bundled tasks needs. The world's generator is cached.
_NOT_FOR_A_RUN = [
    "torch._dynamo", "torch._inductor", "sympy", "transformers", "pandas", "pyarrow", "matplotlib", "sklearn", "jinja2",
    "scipy.stats", "scipy.optimize", "datasets", "ray", "sacrebleu", "nltk", "evalkit.audits", "evalkit.forecasts",
    "evalkit.comparison", "evalkit.gates", "evalkit.report.figures", "evalkit.engine.hf", "evalkit.world.families",
    "evalkit.train", "evalkit.corpus",
]  # fmt: skip


def test_a_run_imports_nothing_that_it_does_not_need(tmp_path):
    code = (
        "import sys; from evalkit.cli import main\n"
        "[out, *unneeded] = sys.argv[1:]\n"
        "code = main(['run', '--model', 'nano', '--tasks', 'world_qa', '--limit', '4', '--no-cache', '--out', out])\n"
        "print(*[name for name in unneeded if name in sys.modules])\n"
        "sys.exit(code)"
    )
    for out in ("first", "second"):  # the first makes the items of the world
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / out), *_NOT_FOR_A_RUN], check=True, capture_output=True,
            text=True, env={**os.environ, "EVALKIT_CACHE": str(tmp_path / "cache")},
        )  # fmt: skip
    assert done.stdout.splitlines()[-1] == ""


def test_the_command_line_starts_without_numpy():
    code = "import sys; import evalkit.cli; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_importing_every_module_has_no_effects(tmp_path):
    names = [str(p.relative_to(PACKAGE.parent)).removesuffix(".py").replace("/", ".") for p in MODULES]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name.removesuffix('.__init__'))"
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr, list(tmp_path.iterdir())) == ("", "", [])


def test_no_two_test_modules_share_a_name():
    """pytest imports those of folders without __init__.py by their names alone."""
    tests = PACKAGE.parent / "tests"
    names = Counter(path.name for path in tests.rglob("test_*.py") if not (path.parent / "__init__.py").exists())
    assert not [name for name, count in names.items() if count > 1]
