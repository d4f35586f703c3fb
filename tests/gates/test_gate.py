"""gate(): stored runs and models, budgets, and going on after anything."""

from __future__ import annotations

import io
import json
from itertools import count

import numpy as np
import pytest
from rich.console import Console

import evalkit
from evalkit.comparison import display
from evalkit.errors import CompareError, StoreError, UsageError
from evalkit.gates import sides, waves
from evalkit.gates.gate import gate
from tests.comparison.made import Made, write_run

ROWS = [{"q": f"{i} plus {i} is", "a": "even" if i % 3 else "odd"} for i in range(90)]


def bits(rng, n, rate):
    return {f"doc-{i}": {"acc": (float(rng.random() < rate),)} for i in range(n)}


def parity(name="parity", rows=ROWS):
    return evalkit.task_from_rows(name, rows, query="{q}", answer="a", choices=["even", "odd"], metrics=["acc"])


@pytest.fixture
def runs(tmp_path):
    rng = np.random.default_rng(0)
    kept, lost = bits(rng, 600, 0.6), bits(rng, 600, 0.9)
    tasks = {"kept": Made(scores=kept), "lost": Made(scores=lost)}
    worse = {"kept": Made(scores=kept), "lost": Made(scores=bits(rng, 600, 0.4))}
    return write_run(tmp_path / "base", tasks, model="old"), write_run(tmp_path / "new", worse, model="new")


def test_it_is_a_function_of_the_package():
    assert evalkit.gate is gate and "gate" in dir(evalkit)


def test_stored_runs_are_read_as_far_as_it_takes(runs, tmp_path):
    found = gate(*runs, margin=5)
    assert found.verdicts == {"kept 0-shot acc": "same", "lost 0-shot acc": "worse"}
    kept, lost = found.findings
    assert lost.documents < 60 and kept.documents < 250 and found.documents == kept.documents + lost.documents
    assert (found.total, found.suite, found.spent, found.folder) == (1200, "worse", False, None)
    assert [name for name, _ in found.soonest] == ["lost 0-shot"]
    assert lost.low < -50 < lost.high < 0 and "read " in repr(found) and "suite: worse" in repr(found)
    assert lost.whole_low > lost.low  # of these 600 documents less is unknown than of all there could be
    assert found.to_json() == gate(*runs, margin=5).to_json()
    assert found.to_json() != gate(*runs, margin=5, seed=1).to_json()
    assert not list(tmp_path.glob("gate*"))


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_fits_any_terminal(runs, width):
    out = io.StringIO()
    display.show(gate(*runs, margin=5, budget=100), Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width and "…" not in out.getvalue()
    assert "/600" in out.getvalue() and "about" in out.getvalue() and "suite: worse" in out.getvalue()


def test_only_the_tasks_that_are_named_are_read(runs):
    assert [f.task for f in gate(*runs, "kept", margin=5).findings] == ["kept"]
    with pytest.raises(UsageError, match=r"task 'kep' of both runs.*kept"):
        gate(*runs, ["kep"])
    assert len(gate(*runs, shots=[0]).findings) == 2
    with pytest.raises(CompareError, match="share no task at these numbers of shots"):
        gate(*runs, shots=4)
    with pytest.raises(UsageError, match="limit, seeds: two stored runs are not asked anything"):
        gate(*runs, limit=5, seeds=[2])
    with pytest.raises(UsageError, match="--weight"):
        gate(*runs, weights={"nothing": 2})
    with pytest.raises(UsageError, match="--margin"):
        gate(*runs, margin={"nothing": 2})


def test_a_budget_of_documents_ends_it(runs):
    found = gate(*runs, margin=5, budget=100)
    assert found.documents <= 100 and found.spent
    undecided = next(f for f in found.findings if f.task == "kept")
    assert undecided.verdict == "undecided" and undecided.reason == "the budget is spent" and undecided.needed > 50
    with pytest.raises(UsageError, match="--budget 1: too small for a document of each of 2 tasks and shots"):
        gate(*runs, budget=1)


def test_runs_that_differ_cannot_be_gated(runs, tmp_path):
    other = write_run(tmp_path / "other", {"kept": Made(scores=bits(np.random.default_rng(1), 50, 0.5), version=2)})
    with pytest.raises(CompareError, match=r"task kept.v1 in BASE, kept.v2 in NEW"):
        gate(runs[0], other)
    assert gate(runs[0], other, allow=["task"]).notes
    elsewhere = write_run(tmp_path / "elsewhere", {"third": Made(scores={"a": {"acc": (1.0,)}})})
    with pytest.raises(CompareError, match="share no task"):
        gate(runs[0], elsewhere)


def folder_bytes(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_models_are_asked_in_waves_and_a_rerun_asks_nothing(tmp_path, monkeypatch):
    asked = {"margin": 10, "shots": [0], "cache": False}
    found = gate("pico", "nano", parity(), out=tmp_path / "gate", **asked)
    assert found.waves > 1 and found.documents <= 90 and found.findings[0].total == 90
    before = folder_bytes(tmp_path / "gate")
    assert set(before) == {"gate.json", "waves.jsonl"} | {
        f"{side}/{name}" for side in ("base", "new") for name in ("records.jsonl", "results.json", "scores.npz")
    }
    monkeypatch.setattr("evalkit.engine.open.load_engine", lambda *words, **more: pytest.fail("a model was loaded"))
    assert gate("pico", "nano", parity(), out=tmp_path / "gate", **asked).to_json() == found.to_json()
    assert folder_bytes(tmp_path / "gate") == before
    with pytest.raises(StoreError, match=r"other settings.*gate.margins"):
        gate("pico", "nano", parity(), out=tmp_path / "gate", **asked | {"margin": 9})
    with pytest.raises(StoreError, match="holds no gate"):
        gate("pico", "nano", parity(), out=tmp_path / "gate" / "new", **asked)


def test_a_gate_that_was_killed_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    asked = {"margin": 10, "cache": False, "seed": 3, "shots": [0, 1]}
    gate("pico", "nano", parity(), out=tmp_path / "whole", **asked)
    read, reads = sides.ModelSide.read, count()

    def dies(self, *words, **more):
        if next(reads) == 7:
            raise KeyboardInterrupt
        read(self, *words, **more)

    monkeypatch.setattr(sides.ModelSide, "read", dies)
    with pytest.raises(KeyboardInterrupt):
        gate("pico", "nano", parity(), out=tmp_path / "killed", **asked)
    assert "outcome" not in json.loads((tmp_path / "killed" / "gate.json").read_text())
    gate("pico", "nano", parity(), out=tmp_path / "killed", **asked)
    assert folder_bytes(tmp_path / "killed") == folder_bytes(tmp_path / "whole")


def test_a_stored_base_says_what_is_asked(tmp_path):
    base = evalkit.evaluate("nano", [parity()], shots=[1], seeds=[4], limit=60, out=tmp_path / "base", cache=False)
    found = gate(base, "nano", [parity()], out=tmp_path / "gate", cache=False)
    [finding] = found.findings
    assert (finding.shots, finding.total, finding.change) == (1, 60, 0.0)
    assert finding.base == finding.new and finding.verdict == "undecided"  # there is no margin
    with pytest.raises(CompareError, match="has no parity at 0 shots"):
        gate(base, "nano", [parity()], shots=[0], out=tmp_path / "other")


def test_too_many_failed_items_are_told(tmp_path):
    unlabelled = parity(rows=[{**row, "a": "neither"} if i % 8 == 0 else row for i, row in enumerate(ROWS)])
    found = gate("pico", "nano", unlabelled, cache=False, out=tmp_path / "gate")
    assert set(found.failed) == {"base: parity", "new: parity"} and "items failed at 0 shots" in repr(found)
    assert gate("pico", "nano", unlabelled, cache=False, out=tmp_path / "gate", max_failed=0.5).failed == {}


def test_a_task_of_which_nothing_was_scored_cannot_be_gated(runs, tmp_path):
    lost = write_run(tmp_path / "failed", {"kept": Made(scores=dict.fromkeys(bits(np.random.default_rng(0), 9, 1)))})
    with pytest.raises(CompareError, match=r"kept 0-shot: .* share no scored document"):
        gate(runs[0], lost)


def test_a_damaged_journal_is_read_as_far_as_it_is_whole(tmp_path):
    asked = {"cache": False, "out": tmp_path / "gate"}
    found = gate("pico", "nano", parity(), budget=40, **asked)
    path = tmp_path / "gate" / "waves.jsonl"
    before = path.read_bytes()
    path.write_bytes(before[:-20])
    assert gate("pico", "nano", parity(), budget=40, **asked).to_json() == found.to_json()
    assert path.read_bytes() == before
    (tmp_path / "gate" / "gate.json").write_text("[]")
    with pytest.raises(StoreError, match="holds a gate with other settings"):
        gate("pico", "nano", parity(), budget=40, **asked)


def test_a_larger_budget_goes_on(tmp_path):
    asked = {"cache": False, "out": tmp_path / "gate"}
    assert gate("pico", "nano", parity(), budget=30, **asked).documents == 30
    assert gate("pico", "nano", parity(), budget=30, **asked).documents == 30
    assert 30 < gate("pico", "nano", parity(), budget=60, **asked).documents <= 60


def test_a_time_ends_it_and_the_next_start_ends_there_too(tmp_path, monkeypatch):
    clock = count(0.0, 10.0)
    monkeypatch.setattr(waves, "monotonic", lambda: next(clock))
    found = gate("pico", "nano", parity(), budget="25s", cache=False, out=tmp_path / "gate")
    assert found.spent and 20 < found.documents < 60
    clock = count(0.0, 0.001)
    assert gate("pico", "nano", parity(), budget="25s", cache=False, out=tmp_path / "gate").to_json() == found.to_json()


def test_a_perplexity_that_overflows_is_worse(tmp_path):
    likelihood = {f"doc-{i}": {"ppl": (-3.0 - i / 50,)} for i in range(50)}
    overflowing = {name: {"ppl": (-9000.0,)} for name in likelihood}
    base, new = (
        write_run(tmp_path / name, {"lm": Made(scores=scores, metrics=("ppl",))})
        for name, scores in (("base", likelihood), ("new", overflowing))
    )
    found = gate(base, new, margin=1)
    assert found.suite == "worse" and found.findings[0].method == "not finite" and found.findings[0].documents < 50
    assert gate(new, new).suite == "undecided" and gate(new, base).suite == "undecided"
