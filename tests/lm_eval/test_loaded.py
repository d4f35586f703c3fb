"""A task file with its data: prompts that are cut, limits, seeds, errors of documents, values of its own."""

from __future__ import annotations

import math

import pytest

from evalkit.data.sources import DataPaths
from evalkit.engine import fake
from evalkit.engine.fake import ByteEncoder, FakeEngine
from evalkit.errors import DataError, NoDataError, UsageError
from evalkit.harness.load import load
from evalkit.harness.loaded import Loaded
from evalkit.harness.run import describe, evaluate
from evalkit.harness.settings import RunSettings
from evalkit.lm_eval import tasks as lm_eval
from evalkit.runs.store import RunStore, read_records
from evalkit.types import Cell, Response
from tests.lm_eval.made import ROWS, TASK, write


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
    return one.rules.texts(one, *one.documents[place], cell(shots, seed))


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
    assert loaded(tmp_path, "num_fewshot: 1\n", default_shots=True).shots == (1,)
    assert loaded(tmp_path, "num_fewshot: 1\n", shots=(0, 2)).shots == (0, 2)
    assert loaded(tmp_path, "num_fewshot: 0\n", shots=(3,)).shots == (0,)
    assert loaded(tmp_path, "num_fewshot: 1\n", shots=(), paper_shots=True).shots == (1,)
    with pytest.raises(UsageError, match="has no num_fewshot"):
        loaded(tmp_path, shots=(), paper_shots=True)


def test_what_is_too_long_loses_its_beginning(tmp_path):
    one = loaded(tmp_path, "description: 'Say what it is. '\n")
    [fitted] = one.rules.fit(one, one.documents[:1], cell(), encoder=ByteEncoder(), context=12)
    # " loud" has 5 tokens, 4 of which are fed, and 8 of the context; " wet" leaves one more to it.
    assert [bytes(e.context) for e in fitted.encoded] == [b". rain is", b". rain is", b" rain is"]
    assert fitted.prompt.cut == len("Say what it is. rain is") - 8
    [failed] = one.rules.fit(one, one.documents[:1], cell(), encoder=ByteEncoder(), context=4)
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
            one.rules.judge(one, *one.documents[0], responses)


def answered(folder, labels, more="", *, choices=("wet", "dry", "loud"), **settings):
    """Run a file whose targets are these; the model finds the first option likeliest."""
    rows = [{"word": f"w{i}", "options": list(choices), "gold": label} for i, label in enumerate(labels)]
    one = loaded(folder, more, rows=rows, **settings)
    engine = FakeEngine("first", lambda request: Response(loglikelihood=-float(request.index), tokens=1, text="wet"))
    chosen = RunSettings(**settings)
    with RunStore(folder / "run", describe(engine, [one], chosen)) as store:
        results = evaluate(engine, [one], chosen, store)
    return {r.metric: r for r in results}, {int(r.doc_id): r.error for r in read_records(folder / "run") if r.error}


def test_targets_that_are_no_choice_fail_and_floats_without_a_fraction_count(tmp_path, caplog):
    results, failed = answered(tmp_path, [0.0, 1.0, 2.0, None, -1.0, 9.0, 0.5])
    acc = results["acc"]
    assert (acc.n, acc.failed, round(acc.value, 4)) == (3, 4, 33.3333) and sorted(failed) == [3, 4, 5, 6]
    assert failed[3] == "row 4 of its test split: the label null names none of its 3 choices"
    assert "own.yaml: 4 of 7 labels name no choice and are failed items (row 4 of its test split" in caplog.text


@pytest.mark.parametrize(
    ("labels", "wrong"),
    [
        (["wet", "wet ", "WET", "dry"], [1, 2]),
        ([0, True, False, 3], [1, 2, 3]),
        ([[0, 1], [0, 5], [], [-1], "wet"], [1, 2, 3]),
    ],
)
def test_targets_of_other_forms(labels, wrong, tmp_path):
    rows = [{"word": f"w{i}", "options": ["wet", "dry", "loud"], "gold": label} for i, label in enumerate(labels)]
    (tmp_path / "data.py").write_text(f"def rows(**_):\n    return {{'test': {rows!r}}}\n")
    more = "custom_dataset: !function data.rows\n"
    one = loaded(tmp_path, more, trusted=True)
    assert [int(document.id) for document, example in one.documents if example.error] == wrong


def test_a_template_writes_the_numbers_of_a_column_with_gaps(tmp_path):
    results, failed = answered(tmp_path, [0.0, 1.0, None], 'doc_to_target: "{{gold}}"\n')
    assert (results["acc"].n, results["acc"].value) == (2, 50.0) and sorted(failed) == [2]


def test_the_first_document_may_be_without_a_target(tmp_path):
    results, failed = answered(tmp_path, [None, [0, 1], [2]], "output_type: multiple_choice\n")
    assert (results["acc"].n, results["acc"].value) == (2, 50.0) and sorted(failed) == [0]


def test_no_target_that_is_a_choice_is_an_error(tmp_path):
    with pytest.raises(
        DataError, match=r"own.yaml: row 1 of its test split: the label -1 names none of its 3 choices; no"
    ):
        answered(tmp_path, [-1, -1])


def test_generated_answers_have_targets_too(tmp_path):
    more = "output_type: generate_until\nmetric_list: [{metric: exact_match}]\ngeneration_kwargs: {until: []}\n"
    results, failed = answered(tmp_path, [0, 1, -1, None], more)
    assert (results["exact_match"].n, results["exact_match"].value) == (2, 50.0) and sorted(failed) == [2, 3]


def test_a_row_without_a_right_answer_is_never_a_shot(tmp_path):
    labels = [0, 1, None, -1, 2, 7]
    rows = [{"word": f"w{i}", "options": ["wet", "dry", "loud"], "gold": label} for i, label in enumerate(labels)]
    for sampler in ("default", "first_n"):
        more = f"fewshot_config: {{split: test, sampler: {sampler}}}\n"
        one = loaded(tmp_path, more, rows=rows, shots=(2,))
        for seed in range(1, 9):
            for place in (0, 1, 4):
                [*shots, _] = texts(one, place, shots=2, seed=seed)[0][0].split("\n\n")
                assert len(shots) == 2 and {*shots} <= {"w0 is wet", "w1 is dry", "w4 is loud"} - {f"w{place} is"}
    with pytest.raises(UsageError, match="made has 2 documents to draw from, 3 are needed"):
        texts(loaded(tmp_path, _OWN_SHOTS, rows=rows, shots=(3,)), shots=3)


@pytest.mark.parametrize(("metric", "prediction"), [("acc", "dry"), ("acc_norm", "very loud"), ("mcc", "dry")])
def test_the_stored_prediction_is_the_choice_that_is_scored(metric, prediction, tmp_path):
    one = loaded(tmp_path, f"metric_list: [{{metric: {metric}}}]\ndoc_to_choice: [dry, very loud, wet]\n")
    liked = {0: -2.0, 1: -3.0, 2: -4.0}
    engine = FakeEngine("liked", lambda request: Response(loglikelihood=liked[request.index], tokens=1))
    with RunStore(tmp_path / "run", describe(engine, [one], RunSettings())) as store:
        evaluate(engine, [one], RunSettings(), store)
    assert {record.prediction for record in read_records(tmp_path / "run")} == {prediction}


def test_targets_that_are_ignored_whole_are_counted(tmp_path, caplog):
    more = "output_type: generate_until\ndoc_to_choice: null\nmetric_list:\n  - {metric: exact_match, %s}\n"
    rows = [{"word": "w", "gold": gold} for gold in ("the ", "?!", "rain")]
    loaded(tmp_path, more % "ignore_punctuation: true, regexes_to_ignore: ['the ']", rows=rows)
    assert "made: 2 of 3 documents have an answer that normalises to nothing" in caplog.text
    caplog.clear()
    loaded(tmp_path, more % "ignore_vowels: true", rows=rows)
    assert not caplog.text


def test_a_shot_may_be_written_in_other_words_than_the_choices(tmp_path):
    (tmp_path / "code.py").write_text(_CODE)
    written = 'fewshot_config: {split: test, doc_to_target: "{{word}}ish"}\n'
    scored = 'fewshot_split: test\ndoc_to_target: "{{word}}ish"\nprocess_results: !function code.wrong\n'
    for more in (written, scored):
        one = loaded(tmp_path, more, trusted=True, shots=(1,))
        assert {texts(one, place, shots=1)[0][0].split("\n\n")[0][-3:] for place in range(4)} == {"ish"}


@pytest.mark.parametrize(("chosen", "first"), [(None, 257), ("begin", 257), ("end", 256)])
def test_an_empty_context_is_the_beginning_of_a_sequence(tmp_path, chosen, first):
    """As in lm-eval, for whole texts and for the options alone, of a tokenizer that names such a token."""
    rolling = "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{word}}'\n"
    mutual = "metric_list: [{metric: acc_mutual_info}]\n"
    settings = RunSettings(empty_context=chosen)
    for kind, more in (("rolling", rolling), ("mutual", mutual)):
        one = loaded(tmp_path, more, empty_context=chosen)
        engine = fake.constant()
        engine.tokenizer.bos = 257
        with RunStore(tmp_path / kind, describe(engine, [one], settings)) as store:
            [result, *_] = evaluate(engine, [one], settings, store)
        alone = [request.context_ids for request in engine.asked if len(request.context_ids) == 1]
        assert alone == [(first,)] * (4 if kind == "rolling" else 12)
        assert (f"|empty:{chosen}|" in result.signature) == (chosen is not None)
