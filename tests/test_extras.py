"""What is installed by default is enough for a run; a command that needs more names the extra that brings it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit import extras
from evalkit.extras import EXTRAS
from tests.test_house import MODULES

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Modules whose package has another name.
PACKAGES = {"mlflow": "mlflow-skinny", "sklearn": "scikit-learn", "yaml": "pyyaml"}
# Programs that import evalkit are there by themselves; markupsafe comes with jinja2, nltk with rouge-score.
BROUGHT = {"IPython", "lm_eval", "evalkit", "markupsafe", "nltk"}


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=;]", text)[0].strip().lower().replace("_", "-") for text in requirements}


def _package(module: str) -> str:
    return PACKAGES.get(module, module).lower().replace("_", "-")


def _imported() -> set[str]:
    """The modules of others that evalkit and its tasks import, in whatever way."""
    modules = set()
    for path in (*MODULES, *(ROOT / "tasks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                modules |= {str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)}
    return {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - BROUGHT


def test_every_import_is_installed_by_default_or_has_its_extra() -> None:
    base = _names(PROJECT["dependencies"])
    for module in _imported():
        assert (_package(module) in base) != (module in EXTRAS), module


def test_every_extra_installs_what_it_is_named_for() -> None:
    for module, extra in EXTRAS.items():
        assert _package(module) in _names(PROJECT["optional-dependencies"][extra]), module
        assert _names(PROJECT["optional-dependencies"][extra]) <= {_package(name) for name in EXTRAS}, extra
    named = re.findall(r"evalkit\[(.*)\]", PROJECT["optional-dependencies"]["all"][0])[0].split(",")
    assert {*EXTRAS.values()} == {*named}


def evalkit_without_extras(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process in which no optional package can be imported."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({list(EXTRAS)!r}))\n"
        "from evalkit.cli import main; sys.exit(main())"
    )
    without_data = {name: value for name, value in os.environ.items() if name != "EVALKIT_DATA"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True, text=True, encoding="utf-8", env=without_data,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "nano"
    words = ("--tasks", "world_qa,world_summary,world_en_fr,world_lm", "--limit", 3, "--no-cache", "--out", folder)
    done = evalkit_without_extras("run", "--model", "nano", *words)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_and_a_comparison_need_no_extra(run: Path) -> None:
    done = evalkit_without_extras("compare", run, run)
    assert done.returncode == 0 and "same (identical)" in done.stdout, done.stderr


@pytest.mark.slow
def test_a_command_that_needs_more_says_what_to_install(run: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    for words, package, extra in (
        (("report", run, "--out", tmp_path / "report"), "matplotlib", "report"),
        (("calibration", run, "--task", "world_qa"), "sklearn", "report"),
        (("train", "--size", "pico", "--corpus", "world", "--out", tmp_path / "model"), "pyarrow", "corpus"),
        (("run", "--model", "hf:gpt2", "--tasks", "world_qa"), "transformers", "hf"),
        (("run", "--model", "nano", "--tasks", "world_qa", "--workers", 2), "ray", "ray"),
        (("run", "--model", "nano", "--tasks", tmp_path / "rows.parquet"), "pyarrow", "hub"),
        (("run", "--model", "nano", "--tasks", "nq_open"), "datasets", "hub"),
    ):
        done = evalkit_without_extras(*words)
        said = f"need the package {package}: pip install 'evalkit[{extra}]'"
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr, (words, done.stderr)


def test_an_import_that_nobody_foresaw_is_named_too() -> None:
    error = extras.missing(ModuleNotFoundError("No module named 'pandas.core'", name="pandas.core"))
    assert error is not None and "this needs the package pandas: pip install 'evalkit[report]'" in str(error)
    assert extras.missing(ModuleNotFoundError("No module named 'nowhere'", name="nowhere")) is None
