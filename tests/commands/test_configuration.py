"""A project's file of standing choices: what it sets, what wins over it, and what of it is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from evalkit.cli import _arguments, main
from evalkit.commands import configuration
from evalkit.errors import UsageError
from evalkit.model.resolve import bundled


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, whose folder `sub` is the working folder."""
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    for name in ("EVALKIT_DATA", "EVALKIT_CACHE_SIZE", "EVALKIT_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(project: Path, text: str, name: str = "evalkit.toml") -> Path:
    (project / name).write_text(text)
    return project / name


def test_settings_become_defaults_and_the_command_line_wins(project: Path) -> None:
    write(project, '[run]\nmodel = "nano"\nshots = [0, 1, 4]\nlimit = 7\nno_cache = true\nmax-failed = "1%"\n')
    arguments, _ = _arguments(["run"])
    assert (arguments.model, arguments.shots, arguments.limit, arguments.no_cache) == ("nano", "0,1,4", 7, True)
    assert arguments.max_failed == "1%" and arguments.tasks == "world"
    arguments, _ = _arguments(["run", "--model", "micro", "--shots", "2", "--limit", "9"])
    assert (arguments.model, arguments.shots, arguments.limit) == ("micro", "2", 9)
    arguments, _ = _arguments(["run", "--config", "off", "--model", "micro"])
    assert (arguments.shots, arguments.limit, arguments.no_cache) == (None, None, False)


def test_lists_and_numbers_are_what_the_option_would_read(project: Path) -> None:
    write(
        project,
        '[compare]\nmargin = ["1.0", "lambada=0.5"]\nalpha = 0.01\n[corpus.build]\nvocab = 500\n'
        '[report]\nout = "reports/mine"\n[audit]\nlevels = true\n',
    )
    arguments, _ = _arguments(["compare", "a", "b", "--margin", "piqa=2"])
    assert arguments.margin == ["1.0", "lambada=0.5", "piqa=2"] and arguments.alpha == 0.01
    assert _arguments(["compare", "a", "b"])[0].margin == ["1.0", "lambada=0.5"]
    assert _arguments(["corpus", "build", "x", "--out", "y"])[0].vocab == 500
    assert _arguments(["report", "runs"])[0].out == Path("reports/mine")  # no longer required
    assert _arguments(["audit", "runs"])[0].levels is True


def test_an_option_that_excludes_a_setting_wins(project: Path) -> None:
    write(project, '[train]\nsize = "nano"\n[finetune]\nmodel = "mini"\n')
    arguments, _ = _arguments(["train", "--from", "gpt2", "--corpus", "x", "--out", "y"])
    assert arguments.size is None and getattr(arguments, "from") == "gpt2"
    assert _arguments(["train", "--corpus", "x", "--out", "y"])[0].size == "nano"
    assert _arguments(["finetune", "--out", "y"])[0].model == "mini"
    assert _arguments(["finetune", "--out", "y", "--evaluate", "z"])[0].model is None


def test_the_environment_wins_over_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, 'data = "benchmarks"\ncache = "off"\ncache_size = "2G"\n')
    monkeypatch.delenv("EVALKIT_CACHE", raising=False)
    _, standing = _arguments(["tasks"])
    with configuration.in_force(standing):
        assert os.environ["EVALKIT_DATA"] == str(project / "benchmarks")
        assert os.environ["EVALKIT_CACHE"] == "off" and os.environ["EVALKIT_CACHE_SIZE"] == "2G"
    assert "EVALKIT_DATA" not in os.environ
    monkeypatch.setenv("EVALKIT_CACHE", "elsewhere")
    _, standing = _arguments(["tasks"])
    with configuration.in_force(standing):
        assert os.environ["EVALKIT_CACHE"] == "elsewhere"
    assert standing.used["settings"] == {"data": "benchmarks", "cache_size": "2G"}


def test_the_nearest_file_counts(project: Path) -> None:
    write(project, "[tool.evalkit.run]\nlimit = 3\n", "pyproject.toml")
    assert _arguments(["run", "--model", "nano"])[0].limit == 3
    write(project, "[run]\nlimit = 4\n")
    assert _arguments(["run", "--model", "nano"])[0].limit == 4
    write(project / "sub", '[project]\nname = "without a table of ours"\n', "pyproject.toml")
    assert _arguments(["run", "--model", "nano"])[0].limit == 4
    named = write(project, "[run]\nlimit = 5\n", "named.toml")
    assert _arguments(["run", "--model", "nano", f"--config={named}"])[0].limit == 5


def test_the_environment_names_a_file_or_none(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, "[run]\nlimit = 4\n")
    monkeypatch.setenv("EVALKIT_CONFIG", "off")
    assert _arguments(["run", "--model", "nano"])[0].limit is None
    monkeypatch.setenv("EVALKIT_CONFIG", str(write(project, "[run]\nlimit = 6\n", "other.toml")))
    assert _arguments(["run", "--model", "nano"])[0].limit == 6


def test_aliases_stand_for_models_wherever_one_is_taken(project: Path) -> None:
    (project / "models").mkdir()
    write(project, '[aliases]\nmine = "models@last"\nbig = "gpt2-xl"\n')
    here = str(project / "models@last")
    assert _arguments(["run", "--model", "nano,mine,big"])[0].model == f"nano,{here},gpt2-xl"
    assert _arguments(["gate", "--base", "big", "--model", "mine"])[0].base == "gpt2-xl"
    assert _arguments(["export", "mine", "--to", "x"])[0].checkpoint == here
    assert _arguments(["models", "big"])[0].name == "gpt2-xl"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\nlimit = 4\nshotz = 1\n", "line 3: run.shotz: unknown setting 'shotz'; did you mean 'shots'?"),
        ("chache = 'x'\n", "line 1: chache: unknown setting 'chache'; did you mean 'cache'?"),
        ("[rum]\nlimit = 4\n", "line 1: rum: unknown setting 'rum'; did you mean 'run'?"),
        ("[corpus.bild]\nvocab = 4\n", "line 1: corpus.bild: unknown setting 'bild'; did you mean 'build'?"),
        ("[run]\nlimit = 'x'\n", "line 2: run.limit: expected a whole number, not 'x'"),
        ("[run]\nlimit = [1, 2]\n", "line 2: run.limit: expected one value"),
        ("[run]\nlimit = true\n", "line 2: run.limit: expected a text, a number or a list"),
        ("[run]\nno_cache = 1\n", "line 2: run.no_cache: expected true or false, not 1"),
        ("[run]\nbegin = 'documents'\n", "line 2: run.begin: unknown value 'documents'; did you mean 'document'?"),
        ("[run]\ntrust_task_code = true\n", "line 2: run.trust_task_code: --trust-task-code is for the command line"),
        ("[train]\nresume = 4\n", "--resume is for the command line alone"),
        ("run = 4\n", "line 1: run: expected a table, not 4"),
        ("data = 4\n", "line 1: data: expected a text, not 4"),
        ("[aliases]\nnano = 'x'\n", "line 2: aliases.nano: the name of another model"),
        ("[aliases]\nmine = 4\n", "line 2: aliases.mine: expected NAME = 'MODEL'"),
        ("[price_per_hour]\ngpu = 'x'\n", "line 2: price_per_hour.gpu: expected a number, not 'x'"),
        ("[price_per_hour]\ntpu = 1\n", "line 2: price_per_hour.tpu: unknown setting 'tpu'; did you mean 'gpu'?"),
        ("[run\n", "is not valid TOML"),
        ("a = " + "[" * 5000, "is not valid TOML"),
        ("\udcff", "is not UTF-8 text"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    project: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "evalkit.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert main(["tasks", "world"]) == 2
    error = capsys.readouterr().err
    assert str(project / "evalkit.toml") in error and message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("limit = -3", "--limit must be at least 1, not -3 (PLACE line 2: run.limit)"),
        ('dtype = "int9"', "unknown dtype 'int9'; did you mean 'int8'? (allowed: bf16, fp16, fp32, int8) (PLACE line"),
        (
            'tasks = ["world_qa", "world_q"]',
            "unknown task 'world_q'; did you mean 'world_qa'? (PLACE line 2: run.tasks",
        ),
        ("seeds = [1]", "unknown model 'nanno'; did you mean 'nano'? (allowed: "),
    ],
)
def test_a_value_that_the_command_refuses_is_traced_to_the_file(
    setting: str, message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "evalkit.toml").write_text(f"[run]\n{setting}\n")
    assert main(["run", "--model", "nano" if "model" not in message else "nanno", "--no-cache"]) == 2
    error = capsys.readouterr().err
    assert message.replace("PLACE", str(project / "evalkit.toml")) in error and error.count("\n") == 1
    assert ("evalkit.toml" in error) == ("PLACE" in message)


def test_help_comes_in_spite_of_a_wrong_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, "[run\n")
    with pytest.raises(SystemExit) as end:
        main(["run", "--help"])
    assert end.value.code == 0 and "usage: evalkit run" in capsys.readouterr().out


def test_a_shortened_config_option_is_refused(project: Path) -> None:
    with pytest.raises(UsageError, match="write --config in full"):
        _arguments(["run", "--model", "nano", "--conf", "off"])


def test_manifests_name_the_file_and_results_do_not_depend_on_it(project: Path) -> None:
    (project / "mine").symlink_to(bundled()["pico"])
    path = write(project, '[aliases]\npet = "mine"\n[run]\nlimit = 2\ntasks = "world_qa"\nshots = "1"\n')
    assert main(["run", "--model", "pet", "--shots", "0", "--out", "a"]) == 0
    assert main(["run", "--model", "../mine", "--limit", "2", "--tasks", "world_qa", "--config=off", "--out=b"]) == 0
    assert Path("a/results.json").read_bytes() == Path("b/results.json").read_bytes()
    noted = json.loads(Path("a/manifest.json").read_text())["configuration"]
    assert noted["settings"] == {"aliases.pet": "mine", "run.limit": 2, "run.tasks": "world_qa"}
    assert noted["file"] == str(path) and len(noted["sha256"]) == 64
    assert "configuration" not in json.loads(Path("b/manifest.json").read_text())


def test_a_call_from_python_does_not_read_it(project: Path) -> None:
    import evalkit

    write(project, "[run]\nlimit = 2\n")
    run = evalkit.evaluate("pico", "world_qa", limit=3, out=project / "run", cache=False)
    assert run.results[0].n == 3
    assert "configuration" not in json.loads((project / "run" / "manifest.json").read_text())
