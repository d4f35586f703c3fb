"""Further wordings of a task are compared each by itself, and seeds with the same seeds."""

from __future__ import annotations

import json

import pytest

from evalkit.comparison import formatting, history, junit, markdown
from evalkit.comparison.baseline import read, save
from evalkit.comparison.comparison import Settings, compare
from evalkit.comparison.flips import flips
from evalkit.errors import CompareError
from tests.comparison.made import Made, binary, write_run

HALF, NONE = binary("10" * 30), binary("00" * 30)


@pytest.fixture
def sides(tmp_path):
    """The first and the last wording stay, the one between them falls from 50 to 0."""
    base = Made(scores=HALF, wordings={"loud": HALF, "low": HALF})
    new = Made(scores=HALF, wordings={"loud": NONE, "low": HALF})
    write_run(tmp_path / "base", {"t": base}, model="old")
    write_run(tmp_path / "new", {"t": new}, model="new")
    return tmp_path


@pytest.mark.parametrize("kept", [False, True])
def test_a_fall_by_one_wording_is_found_and_named(sides, kept):
    if kept:
        save(read(sides / "base"), sides / "base.json")
    base, new = read(sides / ("base.json" if kept else "base")), read(sides / "new")
    found, _ = compare(base, new, Settings(resamples=500))
    assert [(f.template, f.base, f.new, f.verdict) for f in found.findings] == [
        ("", 50.0, 50.0, "same"), ("loud", 50.0, 0.0, "worse"), ("low", 50.0, 50.0, "same"),
    ]  # fmt: skip
    assert [f.name for f in found.failing] == ["t (loud) 0-shot acc"]
    assert [formatting.columns(f)[0] for f in found.findings] == ["t", "t (loud)", "t (low)"]
    changed = flips(base, new)
    assert len(changed) == 30 and {flip.template for flip in changed} == {"loud"}
    assert markdown.page(found, changed[:1]).count("t (loud)") == 2 and "t (loud) 0-shot acc" in junit.suite(found)
    assert [f["template"] for f in json.loads(json.dumps(found.to_json()))["findings"]] == ["", "loud", "low"]


def test_the_trend_of_each_wording(sides):
    past = [read(sides / "base"), read(sides / "new")]
    found = history.trends(past)
    assert [(trend.template, trend.change) for trend in found] == [("", 0.0), ("loud", -50.0), ("low", 0.0)]
    rows = [line.split(",") for line in history.as_csv(past, found).splitlines()]
    assert rows[0][3:7] + rows[0][-2:] == ["task", "shots", "metric", "value", "protocol", "template"]
    assert [row[3:7] + row[-2:] for row in rows[3:5]] == [["t", "0", "acc", v, "plain", "loud"] for v in ("50", "0")]


def test_a_baseline_of_version_1_is_read(sides):
    from evalkit.files import canonical_json, digest

    write_run(sides / "plain", {"t": Made(scores=HALF)})
    save(read(sides / "plain"), sides / "old.json")
    raw = json.loads((sides / "old.json").read_text())
    del raw["checksum"], raw["sheets"][0]["protocol"], raw["sheets"][0]["template"]
    raw["version"] = 1
    (sides / "old.json").write_text(json.dumps(raw | {"checksum": digest(canonical_json(raw))}))
    assert list(read(sides / "old.json").sheets) == list(read(sides / "plain").sheets)


def seeded(values, seeds):
    scores = {f"doc-{i}": [{"acc": (float(bit),)} for bit in bits] for i, bits in enumerate(values)}
    return {"t": Made(scores=scores, seeds=seeds, shots=2)}


def test_seeds_are_paired_with_the_same_seeds(tmp_path):
    """Seeds 1 and 2 against 2 and 3: what seed 2 gave is the same, what 1 and 3 gave is not compared."""
    base = write_run(tmp_path / "base", seeded(["10", "11", "10", "11"] * 10, (1, 2)))
    new = write_run(tmp_path / "new", seeded(["00", "11", "01", "10"] * 10, (2, 3)))
    with pytest.raises(CompareError, match=r"seeds differ.*seeds 1,2 and 2,3"):
        compare(read(base), read(new), Settings())
    found, _ = compare(read(base), read(new), Settings(allow=("seeds",)))
    [finding] = found.findings
    assert (finding.change, finding.seeds, finding.verdict, finding.method) == (0.0, 1, "undecided", "no difference")
    assert (finding.base, finding.new) == (50.0, 50.0) and not flips(read(base), read(new), allow=("seeds",))


def test_seeds_that_only_one_run_has_leave_nothing(tmp_path):
    base = write_run(tmp_path / "base", seeded(["1", "0"] * 5, (1,)))
    new = write_run(tmp_path / "new", seeded(["1", "0"] * 5, (2,)))
    with pytest.raises(CompareError, match="they share no scored document of the same seed"):
        compare(read(base), read(new), Settings(allow=("seeds",)))
