"""Runs in experiment trackers: by stand-ins for the packages, and by the packages offline where they are installed."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from evalkit.cli import main
from evalkit.curves import trackers
from evalkit.errors import UsageError
from evalkit.runs.store import open_run

WORDS = ["run", "--model", "pico", "--tasks", "world_qa", "--limit", "4", "--no-cache"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked") / "run"
    assert main([*WORDS, "--out", str(folder)]) == 0
    return folder


def test_figures_are_values_with_intervals(run):
    stored = open_run(run)
    [first] = [r for r in stored.results if (r.metric, r.source, r.level) == ("exact_match", "model", "")]
    figures = trackers.figures(stored)
    assert figures["world_qa/0-shot/exact_match"] == pytest.approx(first.value)
    assert figures["world_qa/0-shot/exact_match/low"] == pytest.approx(first.low, abs=1e-6)
    assert figures["world_qa/0-shot/exact_match/n"] == 4.0


@pytest.mark.parametrize("word", ["comet", "wandb:", "mlflow:"])
def test_a_wrong_word_is_refused_before_the_run(tmp_path, word, capsys):
    assert main([*WORDS, "--out", str(tmp_path / "run"), "--log-to", word]) == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_not_installed_is_asked_for_before_the_run(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"need the package {name}: pip install 'evalkit\[{name}\]'"):
        trackers.trackers([name])


class _Wandb(ModuleType):
    """Stands in for wandb: what was logged, by name of the project."""

    def __init__(self, *, fails: bool = False):
        super().__init__("wandb")
        self.logged: list[dict] = []
        self.begun: dict = {}
        self.fails = fails

    def init(self, **settings):
        if self.fails:
            raise ConnectionError("no network\nat all")
        self.begun = settings
        return SimpleNamespace(
            log=self.logged.append, define_metric=lambda *a, **k: None, summary={}, finish=lambda: None,
            log_artifact=lambda artifact: self.logged.append({"artifact": artifact.files}),
        )  # fmt: skip

    class Artifact:
        def __init__(self, name, type):
            self.files: list[str] = []

        def add_file(self, path):
            self.files.append(path)


def test_weights_and_biases_get_results_settings_and_the_file(run, monkeypatch):
    stand_in = _Wandb()
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    assert main([*WORDS, "--out", str(run), "--log-to", "wandb:mine"]) == 0
    assert stand_in.begun["project"] == "mine" and stand_in.begun["config"] == open_run(run).settings
    values, artifact = stand_in.logged
    assert values["world_qa/0-shot/exact_match"] == trackers.figures(open_run(run))["world_qa/0-shot/exact_match"]
    assert artifact == {"artifact": [str(run / "results.json")]}


def test_a_tracker_that_fails_is_a_warning_and_the_run_stays(tmp_path, monkeypatch, caplog, capsys):
    monkeypatch.setitem(sys.modules, "wandb", _Wandb(fails=True))
    assert main([*WORDS, "--out", str(tmp_path / "run"), "--log-to", "wandb"]) == 0
    assert (tmp_path / "run" / "results.json").exists() and "stored in" in capsys.readouterr().out
    assert "not logged to Wandb: no network; the run is complete in" in caplog.text


@pytest.mark.filterwarnings("ignore")  # of the package's own
def test_wandb_offline(run, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed (evalkit[wandb])")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert main([*WORDS, "--out", str(run), "--log-to", "wandb:evalkit-tests"]) == 0
    [folder] = (run / "wandb").glob("offline-run-*")
    assert any(folder.glob("run-*.wandb"))


@pytest.mark.filterwarnings("ignore")  # of the package's own
def test_mlflow_in_a_folder(run, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed (evalkit[mlflow])")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for _ in range(2):  # the second time to the same entry
        assert main([*WORDS, "--out", str(run), "--log-to", "mlflow:tests"]) == 0
    client = mlflow.MlflowClient()
    [entry] = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    figures = trackers.figures(open_run(run))
    assert len(entry.data.metrics) == len(figures)
    assert entry.data.metrics["world_qa/0-shot/exact_match"] == figures["world_qa/0-shot/exact_match"]
    assert entry.data.metrics["world_qa/0-shot/exact_match.low"] == figures["world_qa/0-shot/exact_match/low"]
    assert entry.data.params["model.model"] == "pico" and json.loads(entry.data.params["shots"]) == [0]
    assert [file.path for file in client.list_artifacts(entry.info.run_id)] == ["results.json"]
