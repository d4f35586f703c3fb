"""Evaluation text is found wherever 13 words agree, and cut as GPT-3's appendix C says."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest

from evalkit.corpus import contamination
from evalkit.corpus.contamination import MARGIN, SHORTEST, N, evaluation_text, pieces
from evalkit.corpus.word_hashes import WordHasher
from evalkit.data.readers import read_jsonl
from evalkit.data.sources import DataPaths
from evalkit.errors import DataError, UsageError

SECRET = "She opened the old wooden box and found in it a letter that her brother had written before the long war"


@pytest.fixture
def data(tmp_path):
    """LAMBADA with two passages of its own, one of them too short."""
    rows = [{"text": SECRET}, {"text": "Six words are not enough here"}]
    (tmp_path / "lambada.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataPaths(named={"lambada": tmp_path / "lambada.jsonl"})


@pytest.fixture
def evaluation(data):
    return evaluation_text(contamination.choose(["lambada"], data), data)


def find(evaluation, text):
    return evaluation.find(text, WordHasher()(text))


def test_the_runs_of_a_task_are_known(evaluation):
    assert evaluation.names == ("lambada",) and evaluation.examples == ((2, 1),)
    assert len(evaluation.grams) == len(SECRET.split()) - N + 1
    assert (np.diff(evaluation.grams.astype(float)) > 0).all()


def test_data_that_a_task_cannot_read(tmp_path):
    (tmp_path / "lambada.jsonl").write_text('{"passage": "of another benchmark"}\n')
    data = DataPaths(named={"lambada": tmp_path / "lambada.jsonl"})
    with pytest.raises(DataError, match="lambada: row 1 of its test data is not as expected"):
        evaluation_text(contamination.choose(["lambada"], data), data)


def test_a_run_is_found_whatever_its_letters_and_punctuation(evaluation, page):
    for said in (SECRET, SECRET.upper(), SECRET.replace(" ", ",\n_"), f"“{SECRET}”"):
        text = f"{page(1)} {said} {page(2)}"
        hits = find(evaluation, text)
        assert len(hits) == len(evaluation.grams)
        assert text[int(hits[0, 1]) :].lower().startswith("she") and text[: int(hits[-1, 2])].lower().endswith("war")
    words = SECRET.split()
    assert not len(find(evaluation, f"{page(1)} {' '.join(words[: N - 1])} {page(2)}"))
    assert len(find(evaluation, f"{page(1)} {' '.join(words[:N])} {page(2)}")) == 1
    assert not len(find(evaluation, page(3))) and not len(find(evaluation, "short"))


def test_a_continued_dialogue_is_read_on_from_where_it_was():
    assert contamination._new("abc def", "abc") == "abc def"
    long = "word " * 1000
    assert contamination._new(long + "and more", long) == long[-contamination._LONG :] + "and more"
    assert contamination._new("another", long) == "another"


def hits(*places):
    return np.array([(i, start, end, 0) for i, (start, end) in enumerate(places)], dtype=np.uint64).reshape(-1, 4)


def test_what_stays_of_a_document():
    assert pieces(5000, hits()) == [(0, 5000)]
    assert pieces(10, hits()) == [(0, 10)]  # nothing was cut, so nothing is too short
    assert pieces(5000, hits((1000, 1100))) == [(0, 1000 - MARGIN), (1100 + MARGIN, 5000)]
    assert pieces(5000, hits((1000, 1100), (1050, 1200))) == [(0, 800), (1400, 5000)]
    assert pieces(5000, hits((100, 160))) == [(360, 5000)]
    assert pieces(5000, hits((MARGIN + SHORTEST - 1, 700))) == [(900, 5000)]
    assert pieces(500, hits((200, 300))) == []


def test_a_document_in_too_many_pieces_goes():
    ten = hits(*((1000 * i, 1000 * i + 50) for i in range(1, 10)))
    assert len(pieces(10_000, ten)) == 10
    eleven = hits(*((1000 * i, 1000 * i + 50) for i in range(1, 11)))
    assert pieces(11_000, eleven) == []


def test_what_stands_in_many_documents_is_a_common_phrase():
    documents = [hits((0, 9)) for _ in range(contamination.COMMON)]
    assert not len(contamination.common_grams(documents))
    common = contamination.common_grams([*documents, hits((0, 9), (20, 29))])
    assert common.tolist() == [0]
    assert contamination.without(hits((0, 9), (20, 29)), common)[:, 0].tolist() == [1]


def test_passages_leave_the_corpus_and_the_report_names_the_task(tmp_path, page, make, data):
    long = f"{page(1, words=300)} {SECRET} {page(2, words=300)}"
    only = f"A title. {SECRET}."
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in (long, page(3), only)))
    made = make([tmp_path / "a.jsonl"], tmp_path / "out", tasks=["lambada"], data=data)
    [task] = made.tasks.values()
    assert (task.examples, task.short, task.documents, task.removed) == (2, 1, 2, 1)
    assert task.places == 2 * (len(SECRET.split()) - N + 1)
    assert made.removed["evaluation text"].documents == 1 and made.removed["evaluation text"].characters == len(only)
    assert made.total.documents == 3  # page 3 and two pieces
    assert len(SECRET) + 2 * MARGIN <= made.cut <= len(SECRET) + 2 * MARGIN + 4  # and the white space at the cuts
    assert "| lambada | 2 | 1 | 2 |" in (tmp_path / "out" / "stats.md").read_text()


def test_a_phrase_of_many_documents_stays(tmp_path, page, make, data):
    texts = [f"{page(i)} {SECRET}" for i in range(contamination.COMMON + 1)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    made = make([tmp_path / "a.jsonl"], tmp_path / "out", tasks=["lambada"], data=data)
    assert not made.removed and not made.cut and not made.tasks["lambada"].documents


def test_by_default_the_benchmarks_are_taken_whose_files_are_there(data):
    assert [task.name for task in contamination.choose(None, data)] == ["lambada", "lambada_filtered"]
    assert contamination.choose(None, DataPaths()) == []
    with pytest.raises(UsageError, match="did you mean 'lambada'"):
        contamination.choose(["lambda"], data)


def test_a_book_that_stands_in_lambada_is_found(data_dir):
    data = DataPaths(root=data_dir)
    found = evaluation_text(contamination.choose(["lambada"], data), data)
    [book] = islice(read_jsonl([data_dir / "books" / "books-00.jsonl.gz"]), 5, 6)
    places = find(found, book["text"])
    assert len(places) == 58
    kept = pieces(len(book["text"]), places)
    assert len(kept) == 3 and sum(end - start for start, end in kept) > 0.99 * len(book["text"])
