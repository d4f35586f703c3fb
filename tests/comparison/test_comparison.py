"""Two whole runs: verdicts, what cannot be compared, and that order and seeds of records change nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from evalkit.comparison import formatting
from evalkit.comparison.baseline import read
from evalkit.comparison.comparison import Settings, compare
from evalkit.comparison.flips import flips
from evalkit.errors import CompareError, UsageError
from tests.comparison.made import Made, binary, write_run

GOOD, BAD = "1101" * 30, "1000" * 30
BASE = {"one": Made(scores=binary(GOOD)), "two": Made(scores=binary("10" * 60))}


def against(tmp_path, new, base=None, **settings):
    """Compare made-up tasks."""
    a = write_run(tmp_path / "a", base or BASE, model="old")
    b = write_run(tmp_path / "b", new, model="new")
    return compare(read(a), read(b), Settings(resamples=500, **settings))[0]


def test_worse_better_and_undecided(tmp_path):
    new = {"one": Made(scores=binary(BAD)), "two": Made(scores=binary("10" * 59 + "11"))}
    found = against(tmp_path, new)
    one, two = found.findings
    assert (one.verdict, one.change, one.method) == ("worse", -50.0, "McNemar")
    assert (one.base, one.new, one.documents) == (75.0, 25.0, 120)
    assert (two.verdict, two.needed and two.needed > 120) == ("undecided", True)
    assert found.failing == [one]
    (tmp_path / "back").mkdir()
    back = against(tmp_path / "back", BASE, new)
    assert back.findings[0].verdict == "better" and not back.failing


def test_strict_fails_on_what_is_undecided(tmp_path):
    new = {"one": BASE["one"], "two": Made(scores=binary("10" * 59 + "11"))}
    found = against(tmp_path, new, strict=True)
    assert [f.verdict for f in found.findings] == ["same", "undecided"] and found.failing == [found.findings[1]]


def test_a_margin_of_one_task(tmp_path):
    new = {"one": Made(scores=binary("1" + GOOD[1:-1] + "0")), "two": Made(scores=binary("10" * 59 + "11"))}
    found = against(tmp_path, new, margins={"two": 6.0})
    assert [f.verdict for f in found.findings] == ["undecided", "same"]
    assert [f.margin for f in found.findings] == [None, 6.0]


def test_the_order_of_records_changes_nothing(tmp_path):
    a = write_run(tmp_path / "a", BASE)
    b = write_run(tmp_path / "b", BASE, order=-1)
    found, _ = compare(read(a), read(b), Settings())
    assert {f.verdict for f in found.findings} == {"same"} and not flips(read(a), read(b))


def test_two_comparisons_are_byte_identical(tmp_path):
    scores = {f"d{i}": {"f1": (i / 100,)} for i in range(40)}
    other = {f"d{i}": {"f1": ((i * 7 % 40) / 100,)} for i in range(40)}
    a = write_run(tmp_path / "a", {"t": Made(scores=scores, metrics=("f1",))})
    b = write_run(tmp_path / "b", {"t": Made(scores=other, metrics=("f1",))})
    first, second = (json.dumps(compare(read(a), read(b), Settings())[0].to_json()) for _ in range(2))
    assert first == second and '"method": "permutation"' in first


CHANGES = {
    "task": {"version": 2},
    "protocol": {"protocol": "gpt3"},
    "data": {"data": "d1"},
    "seeds": {"seeds": (2,)},
    "documents": {"scores": binary(GOOD[:-1])},
}


@pytest.mark.parametrize("field", CHANGES)
def test_what_differs_is_named_and_can_be_allowed(tmp_path, field):
    new = {**BASE, "one": replace(BASE["one"], **CHANGES[field])}
    with pytest.raises(CompareError, match=rf"\({field} differ\): one at 0 shots"):
        against(tmp_path, new)
    (tmp_path / "again").mkdir()
    found = against(tmp_path / "again", new, allow=(field,))
    assert {f.verdict for f in found.findings} == {"same"} and "one at 0 shots" in found.notes[0]
    assert found.findings[0].documents == 120 - (field == "documents")


def test_other_metrics_are_named(tmp_path):
    new = {
        **BASE,
        "one": Made(scores={d: {"exact_match": (1.0,)} for d in BASE["one"].scores}, metrics=("exact_match",)),
    }
    with pytest.raises(CompareError, match=r"\(metric differ\): .* metrics acc and exact_match"):
        against(tmp_path, new)


def test_missing_records_are_counted(tmp_path):
    new = {**BASE, "one": Made(scores=dict(list(BASE["one"].scores.items())[:-2]), documents=120)}
    with pytest.raises(CompareError, match=r"NEW holds 118 of its 120 documents.*2 documents scored in BASE only"):
        against(tmp_path, new)


def test_records_missing_on_both_sides_are_refused(tmp_path):
    cut = {"one": Made(scores=binary(GOOD[:-2]), documents=120)}
    with pytest.raises(CompareError, match="BASE holds 118 of its 120"):
        against(tmp_path, cut, cut)


def test_failed_items_are_left_out_if_both_failed_and_refused_if_one_did(tmp_path):
    failed = {**BASE, "one": Made(scores={**BASE["one"].scores, "doc-3": None})}
    found = against(tmp_path, failed, failed)
    assert found.findings[0].documents == 119
    (tmp_path / "again").mkdir()
    with pytest.raises(CompareError, match="1 documents scored in BASE only"):
        against(tmp_path / "again", failed)


def test_a_task_of_one_run_only(tmp_path):
    with pytest.raises(CompareError, match="two at 0 shots is in BASE only"):
        against(tmp_path, {"one": BASE["one"]})
    (tmp_path / "again").mkdir()
    assert len(against(tmp_path / "again", {"one": BASE["one"]}, allow=("tasks",)).findings) == 1


def test_wrong_names(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'documents'"):
        against(tmp_path, BASE, allow=("document",))
    (tmp_path / "again").mkdir()
    with pytest.raises(UsageError, match="unknown task in --margin 'three'"):
        against(tmp_path / "again", BASE, margins={"three": 1.0})


def test_the_first_metric_gates_and_all_on_demand(tmp_path):
    def both(bits):
        return {d: {"acc": (1.0,), "ppl": (-float(bit),)} for d, bit in zip(BASE["one"].scores, bits, strict=True)}

    old, new = ({"t": Made(scores=both(bits), metrics=("acc", "ppl"))} for bits in ("0" * 120, "1" * 120))
    found = against(tmp_path, new, old)
    assert [(f.verdict, f.gates) for f in found.findings] == [("same", True), ("worse", False)]
    assert not found.failing and math.isnan(found.findings[1].adjusted)
    (tmp_path / "again").mkdir()
    found = against(tmp_path / "again", new, old, all_metrics=True)
    assert [f.metric for f in found.failing] == ["ppl"] and found.findings[1].gain < 0 < found.findings[1].change


def test_a_likelihood_of_zero_is_a_regression(tmp_path):
    old, new = (
        {"t": Made(scores={f"d{i}": {"ppl": (-1.0 if i else first,)} for i in range(9)}, metrics=("ppl",))}
        for first in (-2.0, -math.inf)
    )
    [finding] = against(tmp_path, new, old).findings
    assert (finding.verdict, finding.method) == ("worse", "not finite")


def test_seeds_are_paired_within_documents(tmp_path):
    def several(bits):
        return {f"d{i}": [{"acc": (float(bit),)}, {"acc": (1.0,)}] for i, bit in enumerate(bits)}

    old, new = (Made(scores=several(bits), shots=2, seeds=(1, 2)) for bits in (GOOD, BAD))
    [finding] = against(tmp_path, {"t": new}, {"t": old}).findings
    assert (finding.seeds, finding.documents, finding.units, finding.verdict) == (2, 120, 120, "worse")
    assert finding.change == -25.0 and finding.method == "permutation"


def test_flips_come_worst_first_with_what_was_said(tmp_path):
    new = {**BASE, "one": Made(scores=binary("0" + GOOD[1:2] + "1" + GOOD[3:]))}
    a, b = write_run(tmp_path / "a", BASE), write_run(tmp_path / "b", new)
    worst, best = flips(read(a), read(b))
    assert (worst.document, worst.base, worst.new, worst.gain) == ("doc-0", 100.0, 0.0, -100.0)
    assert (best.document, best.gain) == ("doc-2", 100.0)
    assert (worst.prompt, worst.gold, worst.base_prediction) == ("Q: doc-0?\nA:", "gold | `of` <b>", "said *1*")
    assert len(flips(read(a), read(b), limit=1)) == 1


def test_too_few_units_say_so_and_what_a_test_needs_at_least(tmp_path):
    """Of three passages no exact test can reach 5%, whatever changed; of six it can."""
    answers = {f"d{i}": {"acc": (float(i % 2),)} for i in range(30)}
    others = {name: {"acc": (1.0,)} for name in answers}
    clusters = {name: f"p{int(name[1:]) % 3}" for name in answers}
    runs = [
        read(write_run(tmp_path / str(i), {"t": Made(scores=scores, metrics=("acc",), clusters=clusters)}))
        for i, scores in enumerate((answers, others))
    ]
    [found] = compare(*runs, Settings(margins={"": 90.0}))[0].findings
    assert (found.verdict, found.units) == ("undecided", 3) and math.isnan(found.low) and found.needed == 60
    assert formatting.interval(found) == "3 passages: too few for an interval"
    assert formatting.judgement(found) == "undecided (at least 60 documents are needed)"
