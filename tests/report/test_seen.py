"""What was in the training text stands beside the samples."""

from __future__ import annotations

import json

import pytest

from evalkit.errors import StoreError
from evalkit.report.measurements import read
from evalkit.report.pages import samples, seen
from evalkit.report.selection import select
from tests.report.browsed import unpacked


def verdict(document, kind, **more):
    return {"document": document, "verdict": kind, "passage": "", "source": "", "training_document": None, **more}


def test_dirty_documents_show_their_passage_in_the_browser(runs, tmp_path):
    first = verdict("reading_a-3", "dirty", passage="a run of words", source="books.jsonl", training_document=7)
    verdicts = [first, verdict("reading_a-4", "clean"), verdict("reading_a-5", "dirty", passage="of an index")]
    path = tmp_path / "contamination.json"
    path.write_text(json.dumps({"tasks": [{"task": "reading_a", "verdicts": verdicts}]}))
    found, _ = read([runs / "atto"])
    collected, _ = samples.collect(select(found), seen=seen.read(path))
    group = next(g for g in collected.groups if g["task"] == "reading_a")
    shown = {document["id"]: document["seen"] for document in unpacked(collected, group)}
    assert shown["reading_a-3"] == "a run of words (books.jsonl, document 7)"
    assert (shown["reading_a-4"], shown["reading_a-5"]) == ("", "of an index")


@pytest.mark.parametrize("content", ["[]", "{}", '{"tasks": [{"task": "t"}]}', '{"tasks": 3}'])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(StoreError, match=r"not the contamination\.json"):
        seen.read(tmp_path / "x.json")
