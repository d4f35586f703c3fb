"""The programs in examples/ run as they are, and so does a user's script under mypy --strict."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import evalkit

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Return a function that imports an example by name, with an empty folder to run in."""
    monkeypatch.chdir(tmp_path)

    def imported(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # where dataclasses look for it
        spec.loader.exec_module(module)
        return module

    return imported


def test_a_module_is_evaluated_while_it_trains(example, capsys):
    scores = example("evaluate_while_training").main(steps=4, every=2)
    assert len(scores) == 2 and "step 4: loss" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nanogpt_loop", "nanochat_loop"])
def test_a_loop_of_another_trainer_has_a_learning_curve(example, name):
    curve = example(name).main(4, 2, "curve", seconds=0.1)
    assert [(line["step"], line["tokens"]) for line in curve.lines] == [(0, 0), (2, 4096), (4, 8192)]
    before, after = curve.run(0), curve.run(4)
    assert before.limit == after.limit and set(before.limit) == {"world_cloze", "world_lastword"}
    assert {(r.cell, r.doc_id) for r in before.records()} == {(r.cell, r.doc_id) for r in after.records()}
    assert "world_lastword 0-shot acc" in evalkit.compare(before, after).verdicts


def test_transformers_trainer_evaluates_by_a_callback(example, capsys):
    pytest.importorskip("accelerate", reason="transformers' Trainer needs accelerate")
    curve = example("trainer_callback").main(4, 2, "curve", seconds=0.1)
    assert [(line["step"], line["tokens"]) for line in curve.lines] == [(2, 2 * 16 * 128), (4, 4 * 16 * 128)]
    assert "step 4: eval_world_cloze " in capsys.readouterr().out
    assert curve.lines[0]["hash"] != curve.lines[1]["hash"]  # it has trained between the two


def test_lightning_evaluates_by_a_callback(example):
    """With what its Trainer gives a callback; python examples/lightning_callback.py runs the real one."""
    module = example("lightning_callback")
    logged = []
    logger = SimpleNamespace(log_metrics=lambda metrics, step: logged.append((step, sorted(metrics))))
    network = example("nanochat_loop").GPT(example("nanochat_loop").Config(n_layer=1))
    training = SimpleNamespace(model=network)
    curve = evalkit.LearningCurve("curve", ["world_lastword"], seconds=0.1)
    callback = module.EvaluationCallback(curve, every=2, tokenizer="nano")
    for batch in range(8):  # two batches a step
        trainer = SimpleNamespace(global_step=(batch + 1) // 2, is_global_zero=True, loggers=[logger])
        callback.on_train_batch_end(trainer, training, None, None, batch)
    callback.on_train_batch_end(
        SimpleNamespace(global_step=6, is_global_zero=False, loggers=[logger]), training, None, None, 9
    )
    assert logged == [(2, ["eval/world_lastword"]), (4, ["eval/world_lastword"])]
    assert [line["step"] for line in curve.lines] == [2, 4]


def test_a_benchmark_comes_from_a_dataframe(example):
    run = example("benchmark_from_a_dataframe").main("pico")
    assert {(r.task, r.shots) for r in run.results} == {(t, k) for t in ("capitals", "capitals_choice") for k in (0, 2)}


def test_two_runs_are_compared_in_a_notebook(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(EXAMPLES / "compare_two_runs.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [str(output) for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("evaluate: 300/300 items" in output or "items," in output for output in outputs)  # the progress
    assert any("<table>" in output for output in outputs) and "world_qa 0-shot exact_match" in outputs[-1]


def test_a_users_script_passes_a_strict_type_check(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from __future__ import annotations\n"
        "import pandas as pd\nimport evalkit\nfrom torch import nn\n"
        "def score(module: nn.Module, frame: pd.DataFrame) -> float:\n"
        "    task = evalkit.task_from_rows('mine', frame, query='{q}', answer='a')\n"
        "    model = evalkit.open_model(module, tokenizer='nano', context_length=64)\n"
        "    run = evalkit.evaluate(model, [task, 'world_qa'], shots=[0, 4], limit=200)\n"
        "    evalkit.compare(run, run, margin=1.0).verdicts['x'].upper()\n"
        "    return run.results[0].value + sum(len(r.doc_id) for r in run.records(task='mine'))\n"
    )
    # By the project's own settings, which are strict, so that mypy's cache from `make lint` serves here too.
    command = [sys.executable, "-m", "mypy", script, *sorted(EXAMPLES.glob("*.py"))]
    done = subprocess.run(command, cwd=EXAMPLES.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
