"""The house itself: import directions, no torch where it does not belong, help that comes at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "evalkit"

# From the ground up: a module may import its own layer and those before it.
LAYERS = [
    {"errors", "types", "files", "plugins", "progress", "log", "interrupts", "sinks", "streams"},
    {"text", "tokenizer", "world", "papers", "sandbox"},
    {"metrics", "model"},
    {"engine"},
    {"harness"},
    {"corpus"},
    {"train", "report", "compare"},
    {"frames"},
    {"api"},
    {"commands"},
    {"cli", "lm_eval_model"},
]
LEVEL = {name: i for i, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of evalkit that a module imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("evalkit.")}
    return found & LEVEL.keys()


def test_every_room_has_a_layer():
    rooms = {room_of(path) for path in MODULES} - {"__init__", "zoo"}
    assert rooms == LEVEL.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    room = room_of(path)
    if room in LEVEL:
        too_high = {other for other in imported_rooms(path) if LEVEL[other] > LEVEL[room]}
        assert not too_high, f"{room} may not import {too_high}"


def test_only_the_harness_free_rooms_use_torch():
    for path in MODULES:
        free = {"harness", "corpus", "metrics", "text", "world", "papers", "report", "compare"}
        free |= {"types", "errors", "files"}
        if room_of(path) in free:
            assert "import torch" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["tasks"], ["models"]])
def test_torch_is_not_imported_for(command):
    code = (
        "import sys; from evalkit.cli import main\n"
        f"try: main({command!r})\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_importing_every_module_has_no_effects(tmp_path):
    names = [str(p.relative_to(PACKAGE.parent)).removesuffix(".py").replace("/", ".") for p in MODULES]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name.removesuffix('.__init__'))"
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr, list(tmp_path.iterdir())) == ("", "", [])
