"""Log-probabilities of tokens: they add up to what the run stored, and are not shown where they do not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import evalkit
from evalkit.cli import main
from evalkit.comparison import baseline
from evalkit.comparison.flips import flips
from evalkit.engine.cache import response_cache
from evalkit.report import rescoring
from evalkit.report.measurements import read
from evalkit.report.pages import samples
from evalkit.report.rescoring import Rescoring
from evalkit.report.selection import select
from evalkit.runs.store import open_run
from tests.report.browsed import unpacked

# Of each kind: options after one context, options in the context, a continuation, a whole text, a generated text.
TASKS = ("world_cloze", "world_pronouns", "world_lastword", "world_lm", "world_qa")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Runs of two bundled models."""
    folder = tmp_path_factory.mktemp("runs")
    for model in ("pico", "nano"):
        evalkit.evaluate(model, TASKS, shots=[0, 1], limit=8, cache=False, out=folder / model)
    return folder


def test_the_tokens_add_up_to_what_the_run_stored(runs):
    run = open_run(runs / "nano")
    records = [record for record in run.records() if not record.cell.variant]
    scored = list(Rescoring(count=0).score(run, records))
    assert {record.cell.task for record in records} == set(TASKS) and len(scored) == len(records)
    for record, tokens in zip(records, scored, strict=True):
        assert isinstance(tokens, list), tokens
        for i, of_response in enumerate(tokens):
            response = record.responses[i]
            text = "".join(token.text for token in of_response)
            if record.continuations:
                assert text == record.continuations[i] and len(of_response) == response.tokens
                assert sum(token.logprob for token in of_response) == pytest.approx(response.loglikelihood, abs=0.15)
                assert all(token.greedy for token in of_response) == response.is_greedy
            else:  # a generated text ends with tokens that are not part of it
                assert text == response.text and len(of_response) < response.tokens
                assert sum(token.logprob for token in of_response) > response.loglikelihood
                assert all(token.greedy for token in of_response), "greedy decoding takes the likeliest token"


def test_a_sum_that_does_not_agree_is_not_shown(runs):
    run = open_run(runs / "nano")
    records = [record for record in run.records() if record.cell.task in ("world_lastword", "world_qa")][::9]
    shifted = [
        replace(record, responses=[replace(r, loglikelihood=r.loglikelihood + 3) for r in record.responses])
        for record in records
    ]
    reasons = [reason for reason in Rescoring(count=0).score(run, shifted) if isinstance(reason, str)]
    assert len(reasons) == len(records) and all("they are not the same" in reason for reason in reasons)


def test_long_texts_are_shown_from_their_beginning(runs, monkeypatch):
    monkeypatch.setattr(rescoring, "_MOST", 10)
    run = open_run(runs / "nano")
    records = [record for record in run.records() if record.cell.task == "world_lm"]
    for record, tokens in zip(records, Rescoring(count=0).score(run, records), strict=True):
        assert len(tokens[0]) == 10 and record.continuations[0].startswith("".join(t.text for t in tokens[0]))


def collected(runs: Path, **settings):
    measured, _ = read([runs])
    selection = select(measured)
    return selection, *samples.collect(selection, scores=Rescoring(**settings))


def test_the_page_has_them_for_the_first_documents_and_the_first_that_differ(runs):
    selection, page, problems = collected(runs, count=2)
    assert problems == [] and page.tokens
    for group in page.groups:
        documents = unpacked(page, group)
        shown = [[model for model, a in d["answers"].items() if "tokens" in a] for d in documents]
        if group["variant"]:
            assert not any(shown), "controls are left out"
            continue
        metric = selection.metrics[group["task"]]
        differing = [
            i for i, d in enumerate(documents) if len({a["scores"].get(metric) for a in d["answers"].values()}) > 1
        ]
        expected = {0, 1, *differing[:2]}
        assert [bool(models) for models in shown] == [i in expected for i in range(len(documents))]
        assert all(len(models) == 2 for models in shown if models), "of both models, side by side"


def test_a_model_that_is_another_one_is_refused(runs):
    _, page, problems = collected(runs, count=1, models={"nano": "pico"})
    assert [problem.path.name for problem in problems] == ["nano"]
    assert "nano is not the model of the run" in problems[0].reason
    assert page.tokens, "those of the other run are there"
    _, page, problems = collected(runs, count=1, models={"nano": "/no/such/model", "pico": "/nor/this"})
    assert len(problems) == 2 and "no log-probabilities of tokens: " in problems[0].reason and not page.tokens


def test_responses_are_cached(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    cache = response_cache()
    run = open_run(runs / "pico")
    records = list(run.records())[:3]
    first = list(Rescoring(count=0, cache=cache).score(run, records))
    monkeypatch.setattr("evalkit.engine.open.load_engine", lambda *model, **settings: pytest.fail("weights are read"))
    assert list(Rescoring(count=0, cache=cache).score(run, records)) == first


def test_scores_that_differ_on_the_page_are_those_that_compare_lists(runs):
    """The page's filter "scores that differ" and `evalkit compare` agree, document by document."""
    measured, _ = read([runs])
    selection = select(measured)
    page, _ = samples.collect(selection)
    before, after = baseline.read(runs / "pico"), baseline.read(runs / "nano")
    listed = {(f.task, f.shots, f.document): f.gain > 0 for f in flips(before, after)}
    shown = {}
    pico, nano = (str(page.models.index(name)) for name in ("pico", "nano"))
    for group in (group for group in page.groups if not group["variant"]):
        for document in unpacked(page, group):
            scores = [document["answers"][model]["scores"].get(group["metric"]) for model in (pico, nano)]
            if scores[0] != scores[1]:
                better = (scores[1] > scores[0]) != group["falling"]
                shown[group["task"], group["shots"], document["id"]] = better
    assert shown == listed and len(listed) > 10


def test_the_right_option_of_a_sentence_with_a_gap_is_marked(runs):
    """Its options are the ends of the sentence, of which the gold answer is the first word."""
    measured, _ = read([runs / "nano"])
    page, _ = samples.collect(select(measured))
    [group, *_] = (group for group in page.groups if group["task"] == "world_cloze")
    for document in unpacked(page, group):
        [answer] = document["answers"].values()
        assert answer["continuations"][answer["gold"]].startswith(f" {document['gold']} ")


def test_the_size_of_the_samples_is_bounded(runs, tmp_path, capsys):
    command = ["report", str(runs / "pico"), "--family", "qa", "--out"]
    assert main([*command, str(tmp_path / "none"), "--samples", "0"]) == 0
    page = (tmp_path / "none" / "report.html").read_text()
    assert "left out (--samples 0)" in page and "piece-0" not in page
    assert "--samples 0" in (tmp_path / "none" / "report.md").read_text()
    for options, message in (
        (["--samples", "-1"], "expected megabytes"), (["--tokens", "-1"], "expected a number of documents"),
        (["--model", "a=b"], "--model is for --tokens"), (["--tokens", "1", "--samples", "0"], "leaves out"),
        (["--tokens", "1", "--model", "nano"], "give NAME=MODEL"),
    ):  # fmt: skip
        assert main([*command, str(tmp_path / "x"), *options]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_budget_leaves_out_documents_and_says_so(runs):
    measured, _ = read([runs])
    selection = select(measured)
    page, _ = samples.collect(selection, budget=1)
    assert sum(len(piece) for piece in page.pieces) < 500_000 and len(page.pieces) == len(page.groups)


def test_a_damaged_run_is_named_and_the_others_are_shown(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    measured, _ = read([tmp_path / "runs"])
    (tmp_path / "runs" / "nano" / "records.jsonl").write_text("{}\n")
    page, problems = samples.collect(select(measured), scores=Rescoring(count=1))
    assert {problem.path.name for problem in problems} == {"nano"} and page.models == ["pico"] and page.tokens
