"""Scores of clean and dirty documents, from runs whose records are known."""

from __future__ import annotations

import csv
import json
import math

import pytest

from evalkit.cli import main
from evalkit.contamination import figure
from evalkit.contamination.scores import splits
from evalkit.contamination.verdicts import Overlap, Verdict
from evalkit.errors import StoreError, UsageError
from tests.comparison.made import Made, write_run


def overlap(task, *, dirty, documents):
    verdicts = [
        Verdict(document=name, length=20, overlap_seen=0, overlap=13, seen=int(name in dirty), runs=8)
        for name in documents
    ]
    return Overlap(task=task, n=13, overlap_seen=0, overlap=9, own_seen=None, verdicts=verdicts)


def accuracies(right, total):
    """Documents 0, 1, ...; those of `right` are right."""
    return {str(i): {"acc": (float(i in right),)} for i in range(total)}


NAMES = [str(i) for i in range(60)]
DIRTY = {str(i) for i in range(0, 60, 3)}


def test_means_of_both_kinds_and_the_change(tmp_path):
    # 18 of the 20 dirty documents are right, and 12 of the 40 clean ones
    right = {i for i in range(0, 60, 3) if i > 3} | {i for i in range(60) if i % 3 and i < 18}
    write_run(tmp_path / "run", {"t": Made(scores=accuracies(right, 60))})
    [split] = splits(tmp_path / "run", [overlap("t", dirty=DIRTY, documents=NAMES)])
    d = split.clean_minus_dirty
    assert (split.clean, split.dirty, d.first.value, d.second.value) == (40, 20, 0.3, 0.9)
    assert split.whole.value == 0.5 and split.change == pytest.approx(-0.4)
    assert d.method == "Fisher" and d.p < 1e-4 and d.high < 0


def test_seeds_of_a_document_are_one_observation(tmp_path):
    scores = {name: [{"f1": (i / 60,)}, {"f1": (i / 60,)}] for i, name in enumerate(NAMES)}
    write_run(tmp_path / "run", {"t": Made(scores=scores, metrics=("f1",), seeds=(1, 2))})
    once = {name: {"f1": (i / 60,)} for i, name in enumerate(NAMES)}
    write_run(tmp_path / "once", {"t": Made(scores=once, metrics=("f1",))})
    found = [splits(tmp_path / run, [overlap("t", dirty=DIRTY, documents=NAMES)])[0] for run in ("run", "once")]
    assert found[0].clean == found[1].clean == 40
    p, low = ([getattr(split.clean_minus_dirty, name) for split in found] for name in ("p", "low"))
    assert p[0] == pytest.approx(p[1]) and low[0] == pytest.approx(low[1])


def test_a_task_without_a_dirty_document_has_no_difference(tmp_path):
    write_run(tmp_path / "run", {"t": Made(scores=accuracies({1}, 60)), "u": Made(scores=accuracies({2}, 60))})
    [split] = splits(tmp_path / "run", [overlap("t", dirty=set(), documents=NAMES)])
    assert split.dirty == 0 and split.change == 0 and math.isnan(split.clean_minus_dirty.p)
    [split] = splits(tmp_path / "run", [overlap("t", dirty=set(NAMES), documents=NAMES)])
    assert split.clean == 0 and math.isnan(split.change)
    assert figure.figure([split]) is None


def test_runs_that_do_not_fit_are_refused(tmp_path):
    write_run(tmp_path / "run", {"t": Made(scores=accuracies({1}, 60))})
    with pytest.raises(StoreError, match="document '0' of t, which is not in the task's data here"):
        splits(tmp_path / "run", [overlap("t", dirty=set(), documents=NAMES[1:])])
    with pytest.raises(UsageError, match="has no scores of u"):
        splits(tmp_path / "run", [overlap("u", dirty=set(), documents=NAMES)])


def test_the_figure_has_a_panel_of_the_run_and_one_of_the_paper(tmp_path):
    write_run(tmp_path / "run", {"t": Made(scores=accuracies(range(30), 60))}, model="nano")
    drawn = figure.figure(splits(tmp_path / "run", [overlap("t", dirty=DIRTY, documents=NAMES)]))
    assert [panel.title for panel in drawn.panels] == ["nano, 0 shots", "GPT-3 175B (Brown et al. 2020)"]


def test_the_command_puts_scores_beside_the_verdicts(planted, tmp_path, capsys):
    _, corpus, ids = planted
    scores = {str(i): {"acc": (float(str(i) in ids or i % 2),), "ppl_word": (1.0, 2.0)} for i in range(60)}
    write_run(tmp_path / "run", {"lambada": Made(scores=scores)}, model="nano")
    command = ["contamination", str(corpus), "--tasks", "lambada", "--data", f"lambada={tmp_path / 'lambada.jsonl'}"]
    out = tmp_path / "out"
    assert main([*command, "--runs", str(tmp_path / "run"), "--out", str(out), "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "nano" in printed and "-50.0 [" in printed and "<0.001" in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if line.startswith("lambada"))
    page = (out / "contamination.md").read_text()
    assert "## Scores" in page and "(clean.svg)" in page and "| -25.0% | +0% |" in page
    [row] = csv.DictReader((out / "scores.csv").read_text().splitlines())
    assert (row["clean"], row["dirty"], row["difference"], row["test"]) == ("50.0", "100.0", "-50.0", "Fisher")
    assert json.loads((out / "contamination.json").read_text())["scores"][0]["dirty_documents"] == len(ids)
    assert (out / "clean.png").stat().st_size > 1000
