"""CORE's tasks: texts, token boundaries, draws and scores as nanochat has them, and what the bundle lacks."""

from __future__ import annotations

import json
import math
import random
from contextlib import closing
from pathlib import Path

import pytest

import evalkit
from evalkit.data.sources import DataPaths
from evalkit.dclm.draws import Draws
from evalkit.dclm.rules import chosen
from evalkit.dclm.task import TASKS, choose
from evalkit.engine.fake import FakeEngine
from evalkit.errors import DataError, NoDataError, UsageError
from evalkit.harness.catalog import choose as choose_any
from evalkit.harness.item import Item
from evalkit.harness.load import load
from evalkit.harness.run import cells
from evalkit.harness.settings import RunSettings
from evalkit.model import resolve, weights
from evalkit.types import Example, Response
from tests.benchmarks import compare_core
from tests.dclm.made_bundle import BASELINES, CHOICES, SETTINGS, TEXTS, make

SETTINGS_OF_CORE = RunSettings(default_shots=True)


@pytest.fixture
def data(tmp_path):
    return DataPaths(named={"core": make(tmp_path / "bundle")})


def built(name, data, *, protocol=None, context=1 << 20, settings=SETTINGS_OF_CORE):
    """The first item of a task, and its requests' token ids as the texts that they are bytes of."""
    [task] = choose(name)
    settings = RunSettings(default_shots=True, limit=settings.limit, protocol=protocol)
    loaded = load(task, settings, data)
    engine = FakeEngine("none", lambda request: Response(), context_length=context)
    [cell] = cells(loaded, settings)
    return loaded, Item.build(engine, loaded, cell, loaded.documents), engine.tokenizer


def shuffled(rows):
    rows = list(rows)
    random.Random(1337).shuffle(rows)
    return rows


def scored(item):
    return [(bytes(r.context_ids[1:]).decode(), bytes(r.continuation_ids).decode()) for r in item.requests]


def test_a_choice_is_scored_from_where_its_options_differ(data):
    loaded, items, tokenizer = built("core_arc_easy", data)
    rows = shuffled(CHOICES)
    drawn = random.Random(1234).sample([1, 2, 3, 4, 5], 2)
    head = "".join(f"{rows[i]['query']}\nAnswer: {rows[i]['choices'][rows[i]['gold']]}\n\n" for i in drawn)
    query = head + rows[0]["query"] + "\nAnswer: "
    assert scored(items[0]) == [(query, "red"), (query, "red hot"), (query, "blue")]
    assert {r.context_ids[0] for r in items[0].requests} == {tokenizer.end_of_text}
    assert loaded.metrics["centred"].of(1.0) == (1.0,)
    assert loaded.metrics["centred"].of(0.0) == (pytest.approx(-1 / 3),)


def test_an_option_that_begins_another_has_no_tokens_of_its_own(tmp_path):
    folder = make(tmp_path)
    rows = [{"query": "Q", "choices": ["red", "red hot"], "gold": i % 2} for i in range(6)]
    (folder / "eval_data/world_knowledge/arc_easy.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = DataPaths(named={"core": folder})
    _, items, _ = built("core_arc_easy", data)
    assert [text for _, text in scored(items[0])] == ["", " hot"]
    # all six inputs are equal, so that none is left to be a shot where equal ones are left out
    with pytest.raises(UsageError, match=r"core_arc_easy: 2 shots are needed, there are 0"):
        built("core_arc_easy", data, protocol="core-fixed")


def test_the_fixed_protocol_scores_whole_options(data):
    _, items, _ = built("core_arc_easy", data, protocol="core-fixed")
    assert [text for _, text in scored(items[0])] == [" red", " red hot", " blue"]
    assert scored(items[0])[0][0].endswith("?\nAnswer:")


def test_a_schema_is_scored_from_where_its_contexts_agree_again(data):
    _, items, _ = built("core_winograd", data)
    [first, second] = scored(items[0])
    assert first[1] == second[1] == " ran."
    assert (first[0][-3:], second[0][-3:]) == ("cat", "dog")


def test_a_text_is_scored_behind_its_trimmed_context(data):
    _, items, _ = built("core_jeopardy", data)
    [[context, continuation]] = scored(items[0])
    rows = shuffled(TEXTS)
    shot = rows[random.Random(1234).sample([1, 2, 3, 4], 1)[0]]
    assert context == (
        f"{shot['context'].strip()}\nAnswer: {shot['continuation']}\n\n{rows[0]['context'].strip()}\nAnswer:"
    )
    assert continuation == " " + rows[0]["continuation"]


def test_long_prompts_keep_their_last_tokens_or_whole_shots(data):
    _, whole, _ = built("core_jeopardy", data)
    [request] = whole[0].requests
    ids = (*request.context_ids, *request.continuation_ids)
    _, cut, _ = built("core_jeopardy", data, context=30)
    [request] = cut[0].requests
    assert (*request.context_ids, *request.continuation_ids) == ids[-30:]
    assert cut[0].fitted.prompt.cut == len(ids) - 30 - 1
    _, fixed, _ = built("core_jeopardy", data, protocol="core-fixed", context=40)
    [(context, _)] = scored(fixed[0])
    assert (context.startswith("CLUE"), fixed[0].fitted.prompt.dropped) == (True, 1)
    _, none, _ = built("core_jeopardy", data, context=5)
    assert "has no room for a prompt" in none[0].fitted.error


@pytest.mark.parametrize("index", [0, 3, 9])
def test_draws_are_those_of_a_list_without_the_document(index):
    pool = [Example(task="", input=f"{i}", output="") for i in range(10)]
    others = [i for i in range(10) if i != index]
    expected = random.Random(1234 + index).sample(others, 4)
    drawn = Draws("t", pool, distinct=True).draw(index, count=4, seed=1)
    assert [int(example.input) for example in drawn] == expected
    assert Draws("t", pool, distinct=False).draw(index, count=4, seed=2) != drawn


def test_a_limit_takes_the_first_documents_and_draws_from_them(data):
    loaded, items, _ = built("core_jeopardy", data, settings=RunSettings(limit=2))
    assert (len(items), loaded.sampled) == (2, "2 of 5")
    loaded, _, _ = built("core_jeopardy", data, protocol="core-fixed", settings=RunSettings(limit=2))
    assert (len(loaded.documents), loaded.sampled) == (2, "")
    with pytest.raises(UsageError, match="1 shots are needed, there are 0 other documents"):
        built("core_jeopardy", data, settings=RunSettings(limit=1))


def test_an_option_without_tokens_wins_only_in_the_first_place():
    empty, likely, unlikely = Response(), Response(loglikelihood=-1.0, tokens=1), Response(loglikelihood=-4.0, tokens=2)
    assert chosen([empty, likely]) == 0
    assert chosen([likely, empty]) == 0
    assert chosen([unlikely, empty, likely]) == 2
    assert min([math.nan, 1.0]) != 1.0, "Python's min, on which nanochat relies, changed"


def test_missing_files_are_named_and_the_mean_is_not_called_core(data, tmp_path, caplog):
    run = evalkit.evaluate("nano", "core", data={"core": data.named["core"]}, out=tmp_path / "run", cache=False)
    assert "core_squad" in caplog.text and "core_hellaswag" in caplog.text
    centred = {r.task: r.value for r in run.results if r.metric == "centred"}
    mean = centred.pop("CORE (3 of 22)")
    assert mean == pytest.approx(sum(centred.values()) / 3)
    assert "CORE" not in {r.task for r in run.results}


def test_words_and_protocols():
    assert [name for name, _ in [(task.name, p) for task, p in choose_any(["core"])]] == [f"core_{t}" for t in TASKS]
    assert {protocol for _, protocol in choose_any(["core-fixed"])} == {"core-fixed"}
    assert [task.name for task, _ in choose_any(["core_arc_*"])] == ["core_arc_easy", "core_arc_challenge"]
    with pytest.raises(UsageError, match="core_arc_easy"):
        choose_any(["core_arc_esay"])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"settings": SETTINGS.replace("[2]", "two")}, "arc_easy: num_fewshot: expected a list of one whole number"),
        ({"settings": SETTINGS.replace("multiple_choice", "schema")}, "icl_task_type is schema, in CORE it is"),
        ({"settings": SETTINGS.replace("world_knowledge/arc", "../../arc")}, "is outside of eval_data/"),
        ({"settings": "- 1"}, "expected icl_tasks, a list of tasks"),
        ({"settings": "a: [b"}, "not valid YAML"),
        ({"baselines": BASELINES.replace("25", "100")}, "the Random baseline 100 is not between 0 and 100"),
        ({"baselines": BASELINES.replace("arc_easy,25", "arc_easy,")}, "expected one row with arc_easy as Eval Task"),
    ],
)
def test_a_bundle_of_another_form_is_refused_in_one_line(files, message, tmp_path):
    data = DataPaths(named={"core": make(tmp_path, **files)})
    with pytest.raises(DataError, match=message) as caught:
        built("core_arc_easy", data)
    assert "\n" not in str(caught.value)


def test_rows_of_another_form_are_refused(tmp_path):
    folder = make(tmp_path)
    path = folder / "eval_data/world_knowledge/arc_easy.jsonl"
    path.write_text(json.dumps({"query": "Q", "choices": "ABC", "gold": 0}) + "\n")
    with pytest.raises(DataError, match="expected a list of texts in 'choices'"):
        built("core_arc_easy", DataPaths(named={"core": folder}))


def test_no_bundle_says_how_to_give_one():
    with pytest.raises(NoDataError, match="--data core=FOLDER"):
        built("core_arc_easy", DataPaths())


def test_equal_to_the_stored_answers_of_nanochat(data_dir):
    """Made by `python -m tests.benchmarks.compare_core --store`, which ran nanochat's own function."""
    path = Path(__file__).parent.parent / "golden" / "core" / "nano.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    with closing(evalkit.open_model(about["model"], dtype="fp32").engine(None)) as engine:
        for label, answers in about["answers"].items():
            [task] = choose(f"core_{label}")
            loaded = load(task, SETTINGS_OF_CORE, DataPaths(root=data_dir))
            first = compare_core.first_of(loaded, about["items"])
            outcomes = compare_core.by_evalkit(engine, first, SETTINGS_OF_CORE)
            assert compare_core.stored(outcomes) == answers, label


def test_a_module_in_training_is_scored_on_the_same_documents_each_time(data, tmp_path):
    module, tokenizer = weights.load(resolve.path_of("nano"))
    module.train()
    runs = [
        evalkit.evaluate(
            evalkit.open_model(module, tokenizer=tokenizer), "core", seconds=0.2, data=dict(data.named),
            out=tmp_path / name, cache=False,
        )
        for name in ("first", "second")
    ]  # fmt: skip
    assert module.training
    assert runs[0].limit == runs[1].limit
    assert [r.value for r in runs[0].results] == [r.value for r in runs[1].results]
    assert "CORE (3 of 22)" in {r.task for r in runs[0].results}


def test_with_other_shots_there_is_no_mean(data, tmp_path):
    run = evalkit.evaluate("nano", "core", shots=0, data=dict(data.named), out=tmp_path / "run", cache=False)
    means = {r.task: r.value for r in run.results if r.task.startswith("CORE") and r.metric == "centred"}
    [winograd] = [r.value for r in run.results if r.task == "core_winograd" and r.metric == "centred"]
    assert means == {"CORE (1 of 22)": pytest.approx(winograd)}
