"""Selection, paper layouts and the samples' data."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from evalkit.files import digest
from evalkit.report.measurements import Measurement, read
from evalkit.report.models import ModelFacts
from evalkit.report.pages import located, paper_tables, pieces, result_tables, samples
from evalkit.report.pages.cells import Entry, Grid, markdown, tex
from evalkit.report.pages.reference import Reference, printed
from evalkit.report.selection import mean, nest, select
from evalkit.runs.record_lines import record_at
from evalkit.runs.store import open_run
from evalkit.types import Prompt
from tests.comparison.made import unbind
from tests.report.browsed import unpacked


def measurement(task, model="m-1b", value=50.0, **more):
    facts = ModelFacts(name=model, family="m", parameters=more.pop("parameters", 10**9), seed=more.pop("seed", None))
    fields = {"family": "lm", "metric": "acc", "low": value - 3, "high": value + 3, "scale": 100.0, "ceiling": 100.0}
    return Measurement(model=facts, task=task, value=value, **{**fields, **more})


def test_parts_of_imported_tasks_become_levels():
    found = nest(
        [measurement(t, protocol="lm-eval") for t in ("mmlu", "mmlu_anatomy", "hendrycksTest-law", "arc_easy")]
    )
    assert [(m.task, m.level) for m in found] == [("mmlu", ""), ("mmlu", "anatomy"), ("mmlu", "law"), ("arc_easy", "")]


def test_our_own_tasks_are_left_as_they_are():
    assert [m.level for m in nest([measurement("world_qa"), measurement("world_qa_hard")])] == ["", ""]


def test_the_mean_of_tasks_narrows_and_that_of_seeds_does_not():
    value, low, high = mean([measurement("a", value=40.0), measurement("b", value=60.0)])
    assert (value, high - value) == pytest.approx((50, 3 / math.sqrt(2)))
    value, low, high = mean([measurement("a", value=40.0, seed=0), measurement("a", value=40.0, seed=1)])
    assert (value, low, high) == (40, 37, 43)


def test_training_seeds_that_differ_widen_the_interval():
    """Of two seeds Student's t is 12.7, of four 3.18: with so few, chance may have made them alike."""
    two = [measurement("a", value=40.0 + 2 * seed, seed=seed) for seed in range(2)]
    value, low, high = mean(two)
    assert (value, high - value, value - low) == pytest.approx((41, *[math.hypot(3, 12.706)] * 2), rel=1e-4)
    four = [measurement("a", value=40.0 + 2 * (seed % 2), seed=seed) for seed in range(4)]
    value, low, high = mean(four)
    assert high - value == pytest.approx(math.hypot(3, 3.182 * math.sqrt(4 / 3) / 2), rel=1e-3)


def test_a_seed_that_is_good_at_one_task_and_bad_at_another_is_no_better():
    """The seeds are judged on their means over the tasks: these are alike."""
    group = [measurement(t, value=40.0 + 5 * (seed ^ i), seed=seed) for i, t in enumerate("ab") for seed in (0, 1)]
    value, _, high = mean(group)
    assert (value, high - value) == pytest.approx((42.5, 3 / math.sqrt(2)))


def test_bounds_of_shares_stay_shares():
    group = [replace(measurement("a", value=60.0 + 35 * seed, seed=seed), ceiling=100.0) for seed in (0, 1)]
    assert mean(group)[1:] == (0.0, 100.0)


def test_models_are_listed_by_size_with_what_is_known_of_them():
    def made(name, parameters, **known):
        return measurement("a", model=name, parameters=parameters, **known)

    small, large = made("m-1m", 10**6), made("m-2m", 2 * 10**6)
    large = replace(large, model=replace(large.model, loss=3.25))
    grid = result_tables.models(select([large, small]))
    assert grid.header == ["model", "parameters", "held-out loss ↓"]
    assert [[entry.text for entry in row] for row in grid.rows] == [
        ["1m", "1,000,000", ""],
        ["2m", "2,000,000", "3.250"],
    ]


def test_models_of_which_nothing_is_known_are_no_table():
    assert not result_tables.models(select([measurement("a", parameters=None)])).rows


def test_the_largest_is_held_out_unless_told_otherwise():
    found = [measurement("a", model=f"m-{n}m", parameters=n * 10**6) for n in (1, 2, 3)]
    assert select(found).held_out == {"m-3m"}
    assert select(found, predict=["1m", "m-2m"]).held_out == {"m-1m", "m-2m"}


def test_a_size_belongs_to_its_paper_whatever_the_protocol():
    papers = {r.paper for r in printed() if r.model == "175B" and r.task in ("lambada", "ptb")}
    assert papers == {"GPT-3"}
    assert {r.paper for r in printed() if r.model == "1542M"} == {"GPT-2"}


def test_printed_values_stand_beside_ours():
    found = [
        measurement("lambada", model=m, parameters=p, value=v)
        for m, p, v in (("x-1m", 10**6, 40.0), ("x-2m", 2 * 10**6, 60.0))
    ]
    printed = [
        Reference(
            paper="GPT-2", model="117M", task="lambada", metric="acc", value=45.99, parameters=124 * 10**6, shots=0
        ),
        Reference(
            paper="GPT-3", model="175B", task="lambada", metric="acc", value=86.4, parameters=175 * 10**9, shots=15
        ),
    ]
    selection = select(found, references=printed)
    lm = paper_tables.language_modelling(selection)
    assert lm and [[e.text for e in row] for row in lm.rows] == [
        ["GPT-2 117M", "124M", "46.0"], ["1m", "1M", "40.0"], ["2m", "2M", "60.0"],
    ]  # fmt: skip
    assert [row[2].best for row in lm.rows] == [False, False, True] and lm.rows[0][2].quoted
    [zero] = paper_tables.by_setting(selection)
    assert list(zero.header) == ["task", "metric", "K", "1m", "2m", "GPT-2 117M"]


def test_markup_in_a_cell_stays_text():
    grid = Grid(name="g", title="", header=["a|b"], rows=[[Entry(text="<b>*x*</b> | y\nz")]])
    assert markdown(grid).splitlines()[-1] == r"| &lt;b&gt;\*x\*&lt;/b&gt; \| y z |"
    assert tex(r"a\b_{c}") == r"a\textbackslash{}b\_\{c\}"


def test_samples_are_the_same_documents_for_every_model(runs):
    found, _ = read([runs / "atto", runs / "micro"])
    collected, problems = samples.collect(select(found))
    assert not problems and collected.models == ["atto", "micro"] and not collected.cut
    data = json.loads(collected.script())
    group = next(g for g in data["groups"] if (g["task"], g["shots"]) == ("reading_a", 0))
    documents = unpacked(collected, group)
    assert len(documents) == group["documents"] == group["held"] == 12
    assert all(set(d["answers"]) == {"0", "1"} for d in documents)
    answer = documents[0]["answers"]["1"]
    assert (answer["right"], answer["gold"], answer["continuations"][0]) == (True, 0, " yes")
    assert documents[0]["question"] == "Q: really?"
    assert documents[0]["passage"].endswith("of <b>reading_a</b> & more.")


def test_all_documents_are_there_in_pieces_that_are_read_one_by_one(runs, monkeypatch):
    monkeypatch.setattr(pieces, "_PIECE", 2_000)
    found, _ = read([runs / "micro"])
    collected, _ = samples.collect(select(found))
    for group in collected.groups:
        assert len(group["pieces"]) > 2 and sum(size for _, size in group["pieces"]) == 12
        assert {d["id"] for d in unpacked(collected, group)} == {f"{group['task']}-{i}" for i in range(12)}
    assert not collected.cut and len(collected.pieces) == sum(len(group["pieces"]) for group in collected.groups)


def test_more_samples_than_a_page_may_hold_are_left_out_and_it_is_said(runs, monkeypatch):
    monkeypatch.setattr(pieces, "BUDGET", 4_000)
    monkeypatch.setattr(pieces, "_PIECE", 1_000)
    found, _ = read([runs / "atto", runs / "micro"])
    collected, _ = samples.collect(select(found))
    assert collected.cut and all(1 <= group["held"] < group["documents"] == 12 for group in collected.groups)
    assert all(set(d["answers"]) == {"0", "1"} for group in collected.groups for d in unpacked(collected, group))


def test_of_large_runs_only_the_records_that_are_shown_are_read(runs, monkeypatch):
    selection = select(read([runs / "atto", runs / "micro"])[0])
    whole, _ = samples.collect(selection)
    places = []
    monkeypatch.setattr(located, "record_at", lambda *place: places.append(place) or record_at(*place))
    monkeypatch.setattr(
        samples, "_READ", sum((runs / name / "records.jsonl").stat().st_size // 4 for name in ("atto", "micro"))
    )
    page, problems = samples.collect(selection)
    assert not problems and page.cut and page.documents == whole.documents == whole.held
    assert len(places) == 2 * page.held < 2 * whole.held / 2
    for group, entire in zip(page.groups, whole.groups, strict=True):
        assert group["documents"] == 12 and 1 <= group["held"] < 12
        first = sorted(unpacked(whole, entire), key=lambda document: digest(document["id"]))[: group["held"]]
        assert unpacked(page, group) == first and all(len(document["answers"]) == 2 for document in first)


def test_groups_that_need_less_than_their_share_leave_it_to_the_others():
    assert located._share([10, 90, 100], 100) == 45 and located._share([1, 2, 300], 30) == 27
    assert located._share([50, 50], 40) == 20


@pytest.mark.parametrize(
    ("text", "shots", "question", "passage"),
    [
        ("It rained.\nQ: Where is Ida?\nA: Ida is", 0, "Q: Where is Ida?", "It rained."),
        ("One.\nQ: a?\nA: b\n\nTwo.\nQ: c?\nA:", 1, "Q: c?", "Two."),
        ("English: cat\nFrench:", 0, "English: cat", ""),
        ("word " * 100 + "end", 0, "…" + ("word " * 100 + "end")[-200:], ("word " * 100)[:280] + "…"),
        ("", 0, "the text", ""),
    ],
)
def test_a_row_shows_what_was_asked(runs, text, shots, question, passage):
    record = next(open_run(runs / "micro").records())
    asked = replace(record, prompt=Prompt(contexts=(text,), shots=shots), continuations=(" the text",))
    assert samples._asked(asked, samples._gold(asked)) == {"question": question, "passage": passage}


def test_broken_records_are_named_and_the_rest_goes_on(runs, tmp_path):
    import shutil

    shutil.copytree(runs / "micro", tmp_path / "run")
    (tmp_path / "run" / "records.jsonl").write_text("{]\n")
    unbind(tmp_path / "run")
    found, _ = read([tmp_path / "run"])
    collected, [problem] = samples.collect(select(found))
    assert not collected.groups and "line 1" in problem.reason
