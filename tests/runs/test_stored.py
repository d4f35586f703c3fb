"""A stored run is believed as far as its files are bound to each other, and what does not fit is named."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from evalkit.errors import StoreError
from evalkit.files import canonical_json
from evalkit.runs.journal import seal, unseal
from evalkit.runs.store import RunStore, open_run, read_records, record_to_json
from evalkit.runs.stored import checksum, run_digest
from tests.comparison.made import Made, binary, write_run

TASKS = {"a": Made(scores=binary("0110")), "b": Made(scores=binary("011"), documents=3)}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", TASKS)


def settings_of(folder):
    return json.loads((folder / "manifest.json").read_text())["settings"]


def add(folder, line):
    with (folder / "records.jsonl").open("ab") as file:
        file.write(line)


def as_before(folder):
    """Make a run what older versions wrote: neither records nor results are bound to anything."""
    lines = (folder / "records.jsonl").read_bytes().splitlines()
    (folder / "records.jsonl").write_bytes(b"".join(seal(canonical_json(unseal(line))) for line in lines))
    raw = json.loads((folder / "results.json").read_text())
    del raw["records"], raw["checksum"]
    (folder / "results.json").write_text(json.dumps(raw))


def sealed(folder, **changes):
    """Return the first record with other values, sealed as the run's own."""
    raw = unseal((folder / "records.jsonl").read_bytes().splitlines(keepends=True)[0])
    raw["cell"] |= changes.pop("cell", {})
    return seal(canonical_json(raw | changes), run_digest(settings_of(folder)))


def test_a_whole_run_gives_its_records_and_results(run):
    found = open_run(run)
    assert found.finished and len(list(found.records())) == 7 and found.settings == settings_of(run)
    assert {r.task for r in found.results} == {"a", "b"}


def test_records_and_results_belong_together(run):
    lines = (run / "records.jsonl").read_bytes().splitlines(keepends=True)
    (run / "records.jsonl").write_bytes(b"".join(reversed(lines)))
    assert len(list(open_run(run).records())) == 7  # in whatever order they came
    (run / "records.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(StoreError, match=r"its records are not those that results\.json was made from"):
        open_run(run)


def test_a_line_of_another_run_is_refused_by_name_and_computed_again(run, tmp_path, caplog):
    other = write_run(tmp_path / "other", TASKS, model="other")
    (run / "results.json").unlink()
    lines = (run / "records.jsonl").read_bytes().splitlines(keepends=True)
    theirs = (other / "records.jsonl").read_bytes().splitlines(keepends=True)
    (run / "records.jsonl").write_bytes(b"".join([*lines[:3], theirs[3], *lines[4:]]))
    with pytest.raises(StoreError, match=r"records\.jsonl line 4: .*belongs to a run with other settings"):
        list(open_run(run, unfinished=True).records())
    with RunStore(run, settings_of(run)) as store:
        assert len(store.done) == 6
    assert "line 4 is left out (it belongs to a run with other settings)" in caplog.text


def test_a_line_that_names_no_run_among_those_that_do(run):
    (run / "results.json").unlink()
    add(run, seal(canonical_json(unseal((run / "records.jsonl").read_bytes().splitlines(keepends=True)[0]))))
    with pytest.raises(StoreError, match=r"line 8: .*does not say that it belongs to this run"):
        list(open_run(run, unfinished=True).records())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "a second record of document 'doc-0' of a"),
        ({"gold": "other"}, "a second record of document 'doc-0' of a"),
        ({"cell": {"task": "c"}}, "'c', which is not one of the run's tasks"),
        ({"cell": {"protocol": "cloze"}}, "by protocol 'cloze', not 'plain'"),
        ({"cell": {"seed": 9}}, "with seed 9, which the run does not have"),
        ({"scores": 3.5}, "scores is 3.5"),
        ({"doc_id": 7}, "doc_id is 7"),
        ({"cell": {"shots": "0"}}, "cell: shots is '0'"),
    ],
)
def test_records_outside_the_plan_or_of_a_wrong_type_are_refused_by_name(run, changes, said):
    (run / "results.json").unlink()
    add(run, sealed(run, **changes))
    with pytest.raises(StoreError, match=r"records\.jsonl line 8: ") as error:
        list(open_run(run, unfinished=True).records())
    assert said in str(error.value)


def test_shots_that_no_result_has(run):
    as_before(run)
    add(run, seal(canonical_json(unseal(sealed(run, cell={"shots": 4})))))
    with pytest.raises(StoreError, match="line 8: a record of a with 4 shots, which the run does not have"):
        list(open_run(run).records())


def test_a_foreign_document_makes_one_too_many(run):
    as_before(run)
    add(run, seal(canonical_json(unseal(sealed(run, doc_id="alien")))))
    with pytest.raises(StoreError, match="holds 5 documents of a, but the run's plan has 4"):
        list(open_run(run).records())
    raw = json.loads((run / "results.json").read_text())
    raw["results"][0]["n"] = 5
    (run / "results.json").write_text(json.dumps(raw))
    with pytest.raises(StoreError, match=r"results\.json holds 5 documents of a"):
        open_run(run)


def test_a_foreign_document_or_cell_stops_the_run_that_goes_on(run):
    with RunStore(run, settings_of(run)) as store:
        records = list(read_records(run))
        planned = {r.cell: {other.doc_id for other in records} for r in records}
        store.check_plan(planned)
        store.append([replace(records[0], doc_id="alien")])
        with pytest.raises(StoreError, match="document 'alien' of a, which is none of this run's"):
            store.check_plan(planned)
        with pytest.raises(StoreError, match=r"a \(plain, 0 shots, seed 1\), which is none of this run's"):
            store.check_plan({})


def test_the_first_of_two_records_counts(run, caplog):
    add(run, sealed(run, gold="another"))
    with RunStore(run, settings_of(run)) as store:
        assert len(store.done) == 7 and "another" not in {r.gold for r in read_records(run)}
    assert "a second record of document 'doc-0' of a (plain, 0 shots, seed 1)" in caplog.text


def test_an_edited_manifest_is_not_believed(run, caplog):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["settings"]["model"]["model"] = "better"
    (run / "manifest.json").write_text(json.dumps(manifest))
    found = open_run(run)
    assert found.settings["model"]["model"] == "m" and len(list(found.records())) == 7
    assert "manifest.json was edited" in caplog.text


def test_a_run_of_an_older_version_is_read_and_becomes_bound_when_it_goes_on(run):
    whole = (run / "records.jsonl").read_bytes()
    as_before(run)
    assert len(list(open_run(run).records())) == 7
    with RunStore(run, settings_of(run)) as store:
        assert len(store.done) == 7
    assert (run / "records.jsonl").read_bytes() == whole


@pytest.mark.parametrize("field", ["shots", "n", "value", "metric", "chance", "signature"])
def test_results_of_a_wrong_type_with_a_right_checksum(run, field):
    raw = json.loads((run / "results.json").read_text())
    del raw["checksum"]
    raw["results"][0][field] = {"a": 1}
    (run / "results.json").write_text(json.dumps(raw | {"checksum": checksum(raw)}))
    with pytest.raises(StoreError, match=rf"results\.json: not the results of a run \({field} is"):
        open_run(run)


@pytest.mark.parametrize("name", ["manifest.json", "results.json", "records.jsonl"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_and_not_waited_for(run, name, make):
    (run / name).unlink()
    make(run / name)
    with pytest.raises(StoreError, match=f"{run / name} is a (pipe|folder)") as error:
        list(open_run(run).records())
    assert error.value.exit_code == 2


@pytest.mark.parametrize("name", ["manifest.json", "results.json", "records.jsonl"])
def test_a_file_without_permission_ends_with_2_wherever_it_stands(run, name, monkeypatch):

    def refuse(path, *words, **more):
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return whole(path, *words, **more)

    from pathlib import Path

    whole = Path.open
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StoreError, match=f"cannot read {run / name}: Permission denied") as error:
        list(open_run(run).records())
    assert error.value.exit_code == 2


def test_a_record_keeps_its_line(run):
    [first, *_] = open_run(run).records()
    line = (run / "records.jsonl").read_bytes().splitlines(keepends=True)[0]
    assert seal(canonical_json(record_to_json(first)), run_digest(settings_of(run))) == line
