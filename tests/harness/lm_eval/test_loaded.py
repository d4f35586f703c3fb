"""A task file with its data: prompts that are cut, limits, seeds, errors of documents, values of its own."""

from __future__ import annotations

import math

import pytest

from evalkit.engine import fake
from evalkit.engine.fake import ByteEncoder, FakeEngine
from evalkit.errors import DataError, NoDataError, UsageError
from evalkit.harness import lm_eval
from evalkit.harness.load import Loaded, RunSettings, load
from evalkit.harness.run import describe, evaluate
from evalkit.harness.sources import DataPaths
from evalkit.harness.store import RunStore, read_records
from evalkit.types import Cell, Response
from tests.harness.lm_eval.made import ROWS, TASK, write


def loaded(
    folder, more: str = "", *, rows=ROWS, trusted: bool = False, data: DataPaths | None = None, **settings
) -> Loaded:
    path = write(folder, "own.yaml", TASK, more=more, rows=rows)
    [task] = lm_eval.choose(str(path), trusted=trusted)
    return load(task, RunSettings(**settings), data or DataPaths())


# Without this word of the file lm-eval may show a document as its own shot, and so do we.
_OWN_SHOTS = "fewshot_split: test\n"


def cell(shots: int = 0, seed: int = 1) -> Cell:
    return Cell(task="made", protocol="lm-eval", shots=shots, seed=seed)


def texts(one: Loaded, place: int = 0, *, shots: int = 0, seed: int = 1) -> list[tuple[str, str]]:
    return one.texts(*one.documents[place], cell(shots, seed))


def test_a_limit_takes_the_first_documents_and_says_so(tmp_path):
    one = loaded(tmp_path, limit=2)
    assert [document.row["word"] for document, _ in one.documents] == ["rain", "sand"]
    engine = fake.constant("")
    with RunStore(tmp_path / "run", describe(engine, [one], RunSettings(limit=2))) as store:
        [result, *_] = evaluate(engine, [one], RunSettings(limit=2), store)
    assert "|limit:first-2|" in result.signature


def test_shots_are_others_of_the_same_split_and_change_with_the_seed(tmp_path):
    one = loaded(tmp_path, _OWN_SHOTS, shots=(2,))
    drawn = [texts(one, place, shots=2)[0][0] for place in range(4)]
    assert all(text.count("\n\n") == 2 and text.split("\n\n")[-1] not in text.split("\n\n")[:-1] for text in drawn)
    assert drawn != [texts(one, place, shots=2, seed=2)[0][0] for place in range(4)]
    with pytest.raises(UsageError, match="--shots: made has 4 documents to draw from, 5 are needed"):
        texts(loaded(tmp_path, _OWN_SHOTS, shots=(4,)), shots=4)


def test_a_document_that_is_there_twice_is_never_its_own_shot(tmp_path):
    rows = [ROWS[0], ROWS[0], ROWS[0], ROWS[1], ROWS[2]]
    one = loaded(tmp_path, _OWN_SHOTS, rows=rows, shots=(2,))
    assert all("rain is wet" not in texts(one, place, shots=2)[0][0] for place in range(3))


def test_shots_of_the_file_count_where_nobody_asks_for_others(tmp_path):
    assert loaded(tmp_path, "num_fewshot: 1\n", unsaid=True).shots == (1,)
    assert loaded(tmp_path, "num_fewshot: 1\n", shots=(0, 2)).shots == (0, 2)
    assert loaded(tmp_path, "num_fewshot: 0\n", shots=(3,)).shots == (0,)
    assert loaded(tmp_path, "num_fewshot: 1\n", shots=(), paper_shots=True).shots == (1,)
    with pytest.raises(UsageError, match="has no num_fewshot"):
        loaded(tmp_path, shots=(), paper_shots=True)


def test_what_is_too_long_loses_its_beginning(tmp_path):
    one = loaded(tmp_path, "description: 'Say what it is. '\n")
    [fitted] = one.fit(one.documents[:1], cell(), encoder=ByteEncoder(), context=12)
    # " loud" has 5 tokens, 4 of which are fed, and 8 of the context; " wet" leaves one more to it.
    assert [bytes(e.context) for e in fitted.encoded] == [b". rain is", b". rain is", b" rain is"]
    assert fitted.prompt.cut == len("Say what it is. rain is") - 8
    [failed] = one.fit(one.documents[:1], cell(), encoder=ByteEncoder(), context=4)
    assert "5 tokens to score" in failed.error


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('doc_to_text: "{{wrod}} is"\n', "doc_to_text: UndefinedError: 'wrod' is undefined"),
        ('doc_to_choice: "{{word}}"\n', "doc_to_choice: ValueError"),
        ("doc_to_choice: gold\n", "doc_to_choice: expected a list of texts, found 0"),
        ("test_split: dev\n", "json has no split 'dev' .it has: test"),
        ('doc_to_text: "{{word.__class__.__mro__}}"\n', "doc_to_text: SecurityError"),
    ],
)
def test_what_a_document_lacks_names_file_and_key(tmp_path, more, says):
    with pytest.raises(DataError, match=f"own.yaml: {says}") as caught:
        texts(loaded(tmp_path, more))
    assert "\n" not in str(caught.value)


def test_a_later_document_that_lacks_something_is_named(tmp_path):
    rows = [*ROWS, {"word": "fog", "options": None, "gold": 0}]
    with pytest.raises(DataError, match=r"doc_to_choice: expected a list of texts, found None \(document 4\)"):
        loaded(tmp_path, rows=rows)


def test_data_that_is_nowhere(tmp_path):
    with pytest.raises(
        NoDataError, match=r"no data for made: nobody/nothing cannot be loaded .*--data nobody/nothing="
    ):
        loaded(tmp_path, "dataset_path: nobody/nothing\ndataset_kwargs:\n")


def test_data_of_the_hub_from_a_local_copy(tmp_path):
    more = "dataset_path: someone/words\ndataset_name: plain\ndataset_kwargs:\n"
    write(tmp_path, "own.yaml")
    folder = tmp_path / "someone" / "words" / "plain"
    folder.mkdir(parents=True)
    (tmp_path / "rows.jsonl").rename(folder / "test.jsonl")
    for data in (DataPaths(root=tmp_path), DataPaths(named={"someone/words": folder / "test.jsonl"})):
        one = loaded(tmp_path, more, data=data)
        assert texts(one)[0] == ("rain is", " wet")
        assert one.task.source.at_hand(data)


def test_a_file_that_the_hub_names_is_read_from_a_local_copy(tmp_path):
    more = "dataset_kwargs: {data_files: {test: 'hf://datasets/someone/words/data/test.jsonl'}}\n"
    write(tmp_path, "own.yaml")
    folder = tmp_path / "someone" / "words" / "data"
    folder.mkdir(parents=True)
    with pytest.raises(NoDataError, match=r"data/test\.jsonl is missing; made reads it"):
        loaded(tmp_path, more, data=DataPaths(root=tmp_path))
    (tmp_path / "rows.jsonl").rename(folder / "test.jsonl")
    assert len(loaded(tmp_path, more, data=DataPaths(root=tmp_path)).documents) == 4


_CODE = """
import numpy as np
def scores(row, results):
    best = np.int64(max(range(3), key=lambda i: results[i][0]))
    return {"best": {"word": row["word"], "n": best}, "nan": float("nan")}
def most(values):
    return max(value["n"] for value in values)
def wrong(row, results):
    raise RuntimeError("no idea")
def text(row, results):
    return {"best": "wet"}
"""

_OWN = "process_results: !function code.scores\nmetric_list: [{metric: best, aggregation: !function code.most}]\n"


def test_values_of_a_tasks_own_are_kept_and_aggregated_also_when_a_run_is_resumed(tmp_path):
    (tmp_path / "code.py").write_text(_CODE)
    one, settings = loaded(tmp_path, _OWN, trusted=True), RunSettings()
    engine = FakeEngine("last", lambda request: Response(loglikelihood=float(request.index), tokens=1))
    values = []
    for _ in range(2):  # the second time everything is read from the records
        with RunStore(tmp_path / "run", describe(engine, [one], settings)) as store:
            results = evaluate(engine, [one], settings, store)
        values.append({r.metric: (r.value, r.low) for r in results})
    assert values[0]["best"][0] == values[1]["best"][0] == 2.0
    assert math.isnan(values[0]["best"][1]) and math.isnan(values[0]["nan"][0])
    assert {"best": {"word": "rain", "n": 2}} in [record.values for record in read_records(tmp_path / "run")]


def test_code_that_fails_is_named(tmp_path):
    (tmp_path / "code.py").write_text(_CODE)
    responses = [Response(loglikelihood=-1.0)] * 3
    for function, says in (("wrong", "process_results: RuntimeError: no idea"), ("text", "metric best of document 0")):
        more = f"process_results: !function code.{function}\nmetric_list: [{{metric: best}}]\n"
        one = loaded(tmp_path, more, trusted=True)
        with pytest.raises(DataError, match=f"own.yaml: {says}"):
            one.judge(*one.documents[0], responses)
