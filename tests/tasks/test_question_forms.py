"""Question benchmarks: the release's form and the hub's give the same documents; broken files name their fault."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.data.sources import BenchmarkSource, DataPaths, Release
from evalkit.errors import DataError
from evalkit.harness import catalog
from evalkit.harness.prompts import pairs, shot_text
from evalkit.harness.run import RunSettings, load
from evalkit.types import Document, Example
from tests.tasks import made

TASKS = catalog.bundled()


def documents(task: str, path: Path) -> dict[str, tuple[Document, Example]]:
    loaded = load(TASKS[task], RunSettings(), DataPaths(named={task: path}))
    return {document.id: (document, example) for document, example in loaded.documents}


def examples(task: str, path: Path) -> dict[str, Example]:
    return {name: example for name, (_, example) in documents(task, path).items()}


def jsonl(path: Path, *rows: Mapping[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def dump(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def release(task: str) -> Release:
    source = TASKS[task].source
    assert isinstance(source, BenchmarkSource)
    return source.releases["test"]


@pytest.mark.parametrize("task", ["quac", "drop", "multirc", "record", "anli_r2"])
def test_the_hubs_columns_give_the_releases_documents(task: str, tmp_path: Path) -> None:
    path = made.write(tmp_path) / release(task).files[0]
    hub = jsonl(tmp_path / "validation-of-the-hub.jsonl", *release(task).read([path]))
    assert examples(task, hub) == examples(task, path) != {}


def test_wsc_of_the_hub_has_the_spans_beside_the_text(tmp_path: Path) -> None:
    path = made.write(tmp_path) / "superglue/WSC/val.jsonl"
    flat = [{**{k: v for k, v in row.items() if k != "target"}, **row["target"]} for row in made.wsc()]
    assert examples("wsc", jsonl(tmp_path / "hub.jsonl", *flat)) == examples("wsc", path)
    broken = {**flat[0], "span2_index": 6}
    with pytest.raises(
        DataError, match=r"row 1 of its test data .*expected 'he' at word 6 of the text, found 'because'"
    ):
        documents("wsc", jsonl(tmp_path / "hub.jsonl", broken))


def test_arc_reads_bare_queries(tmp_path: Path) -> None:
    """As llm-foundry has them: the question as it stands in a prompt, the options, the place of the right one."""
    bare = jsonl(
        tmp_path / "arc_easy.jsonl",
        {"query": "Question: Which is wet?", "choices": ["sand", "rain"], "gold": 1},
        {"query": "Question: Which is dry?\nAnswer:", "choices": ["sand", "rain", "tea"], "gold": 0},
        {"query": "Question: Which is loud?", "choices": ["sand", "rain"], "gold": 7},
    )
    found = examples("arc_easy", bare)
    assert [(e.input, e.choices, e.gold) for name, e in found.items() if name != "2"] == [
        ("Which is wet?", ("sand", "rain"), 1), ("Which is dry?", ("sand", "rain", "tea"), 0),
    ]  # fmt: skip
    assert "7" in found["2"].error
    form = TASKS["arc_easy"].protocols["lm-eval"]
    assert pairs(form, found["0"], [])[1] == ("Question: Which is wet?\nAnswer:", " rain")


@pytest.mark.parametrize("task", ["arc_easy", "openbookqa"])
def test_the_ai2_release_nests_its_choices(task: str, tmp_path: Path) -> None:
    stem = "question" if task == "arc_easy" else "question_stem"
    options = [{"text": "red", "label": "1"}, {"text": " blue", "label": "2"}]
    name = Path(release(task).files[0]).name
    nested = jsonl(tmp_path / name, {"id": "x", "question": {"stem": "Which?", "choices": options}, "answerKey": "2"})
    flat = {"id": "x", stem: "Which?", "choices": {"text": ["red", "blue"], "label": ["1", "2"]}, "answerKey": "2"}
    found = examples(task, nested)
    assert found == examples(task, jsonl(tmp_path / "hub.jsonl", flat))
    assert (found["x"].output, found["x"].gold) == ("blue", 1)
    with pytest.raises(DataError, match=rf"{task}: row 1 of its test data, .*'C'"):
        documents(task, jsonl(tmp_path / "hub.jsonl", {**flat, "answerKey": "C"}))


def test_webquestions_have_two_released_forms(tmp_path: Path) -> None:
    theirs = {
        "url": "http://x",
        "utterance": "what do they speak?",
        "targetValue": '(list (description "Jamaican \\"Creole\\"") (description English) (description "A (b)"))',
    }
    ours = {"qId": "q1", "qText": "what do they speak?", "answers": ['Jamaican "Creole"', "English", "A (b)"]}
    official = examples("webquestions", dump(tmp_path / "webquestions.examples.test.json", [theirs]))
    other = examples("webquestions", dump(tmp_path / "test.json", [ours]))
    assert list(official.values()) == list(other.values())
    assert official["0"].answers == ('Jamaican "Creole"', "English", "A (b)")
    assert pairs(TASKS["webquestions"].protocols["gpt3"], other["q1"], []) == [("Q: what do they speak?\n\nA:", "")]


def test_triviaqa_has_three_forms(tmp_path: Path) -> None:
    answer = {"Value": "Onion", "Aliases": ["Pyaz", "Onion"], "NormalizedAliases": ["onion"]}
    official = {"Data": [{"QuestionId": "tc_1", "Question": "Which vegetable?", "Answer": answer}]}
    found = examples("triviaqa", dump(tmp_path / "unfiltered-web-dev.json", official))
    foundry = {"context": "Question: Which vegetable?\nAnswer:", "answer": "Onion", "aliases": ["Pyaz", "Onion"]}
    assert examples("triviaqa", jsonl(tmp_path / "triviaqa_sm_sub.jsonl", foundry))["0"] == found["tc_1"]
    hub = {"question": "Which vegetable?", "question_id": "tc_1", "answer": {"value": "Onion", "aliases": ["Pyaz"]}}
    assert examples("triviaqa", jsonl(tmp_path / "validation.jsonl", hub)) == found
    assert found["tc_1"].answers == ("Onion", "Pyaz")


def article(name: str, *questions: str) -> dict[str, Any]:
    return {
        "id": name,
        "article": f" Text of {name}. ",
        "questions": list(questions),
        "options": [["one", "two", "three", "four"]] * len(questions),
        "answers": ["B"] * len(questions),
    }


def archive(path: Path, files: Mapping[str, Any]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_race_is_read_from_its_archive(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "RACE.tar.gz",
        {
            "RACE/test/high/1.txt": article("high1.txt", "First?", "Second?"),
            "RACE/test/middle/2.txt": article("middle2.txt", "Other?"),
            "RACE/train/high/3.txt": article("high3.txt", "Shot?"),
        },
    )
    found = documents("race_high", path)
    assert sorted(found) == ["high1_0", "high1_1"]
    document, example = found["high1_1"]
    assert document.cluster == "high1"
    context = "Article:\nText of high1.txt.\n\nQ: First?\n\nA: two\n\nQ: Second?\n\nA:"
    assert pairs(TASKS["race_high"].protocols["gpt3"], example, [])[1] == (context, " two")
    for place in (path, tmp_path):
        shots = TASKS["race_high"].source.rows("shots", DataPaths(named={"race_high": place}))
        assert [row["question"] for row in shots] == ["Shot?"]
    hub = [
        {"example_id": "high1.txt", "article": " Text of high1.txt. ", "question": question, "answer": "B",
         "options": ["one", "two", "three", "four"]}
        for question in ("First?", "Second?")
    ]  # fmt: skip
    assert examples("race_high", jsonl(tmp_path / "test.jsonl", *hub)) == examples("race_high", path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"RACE/train/high/1.txt": b"{}"}, r"expected articles in RACE/test/high/NUMBER\.txt, found none"),
        ({"RACE/test/high/1.txt": b"{"}, r"RACE/test/high/1\.txt: expected JSON with id, article"),
        (
            {"RACE/test/high/1.txt": {**article("high1.txt", "Q?"), "answers": []}},
            r"1\.txt: expected JSON .*equally many",
        ),
    ],
)
def test_a_wrong_race_archive_is_an_error(files: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        documents("race_high", archive(tmp_path / "RACE.tar.gz", files))


def test_a_cut_race_archive_is_an_error(tmp_path: Path) -> None:
    files = {f"RACE/test/high/{i}.txt": article(f"high{i}.txt", f"{i}?" * 500) for i in range(50)}
    path = archive(tmp_path / "RACE.tar.gz", files)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"RACE\.tar\.gz: not a readable tar archive .*is the file cut"):
        documents("race_high", path)


def squad(*paragraphs: tuple[str, Sequence[tuple[str, Sequence[str]]]]) -> dict[str, Any]:
    return {
        "version": "v2.0",
        "data": [
            {
                "title": "T",
                "paragraphs": [
                    {
                        "context": context,
                        "qas": [
                            {"id": f"{context}{question}", "question": question,
                             "answers": [{"text": text, "answer_start": 0} for text in answers]}
                            for question, answers in questions
                        ],
                    }
                    for context, questions in paragraphs
                ],
            }
        ],
    }  # fmt: skip


def test_squad_shows_the_earlier_questions_of_a_paragraph(tmp_path: Path) -> None:
    content = squad(("P1", [("a?", ["one", "One"]), ("b?", [])]), ("P2", [("c?", ["two"])]))
    found = examples("squad2", dump(tmp_path / "dev-v2.0.json", content))
    gpt3 = TASKS["squad2"].protocols["gpt3"]
    context = "Title: T\n\nBackground: P1\n\nQ: a?\n\nA: one\n\nQ: b?\n\nA:"
    assert pairs(gpt3, found["P1b?"], []) == [(context, "")]
    assert shot_text(gpt3, found["P1b?"]) == f"{context} unanswerable"
    assert pairs(gpt3, found["P2c?"], []) == [("Title: T\n\nBackground: P2\n\nQ: c?\n\nA:", "")]
    assert found["P1a?"].answers == ("one", "One")


def test_squad1_has_an_answer_to_every_question(tmp_path: Path) -> None:
    path = dump(tmp_path / "dev-v1.1.json", squad(("P1", [("b?", [])])))
    with pytest.raises(DataError, match=r"squad1: row 1 of its test data .*expected at least one answer"):
        documents("squad1", path)


def test_boolq_writes_the_title_once(tmp_path: Path) -> None:
    row = {"question": "is it?", "passage": "Text.", "answer": True}
    gpt3 = TASKS["boolq"].protocols["gpt3"]
    for title, passage in (("", "Text."), ("Ice", "Text."), ("Ice", "Ice -- Text.")):
        example = TASKS["boolq"].to_example(Document(id="0", row={**row, "passage": passage, "title": title}))
        before = "Ice -- " if title else ""
        assert pairs(gpt3, example, [])[0][0] == f"{before}Text.\nquestion: is it?\nanswer:"
        assert example.output == "yes"
    superglue = jsonl(tmp_path / "x.jsonl", {"question": "is it", "passage": "Ice -- Text.", "label": 0, "idx": 0})
    assert examples("boolq", superglue)["0"].output == "no"


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("rte", {0: "True", "not_entailment": "False"}),
        ("cb", {"entailment": "true", 1: "false", "neutral": "neither"}),
        ("anli_r1", {"e": "True", 1: "Neither", "c": "False"}),
        ("wic", {True: "yes", 0: "no"}),
    ],
)
def test_labels_are_numbers_or_names(task: str, labels: Mapping[Any, str], tmp_path: Path) -> None:
    row = {"premise": "p", "hypothesis": "h", "uid": "u", "word": "w", "sentence1": "s", "sentence2": "t"}
    for label, word in labels.items():
        assert TASKS[task].to_example(Document(id="0", row={**row, "label": label})).output == word
    with pytest.raises(DataError, match=rf"{task}: row 1 of its test data, .*-1"):  # what unlabelled test sets have
        documents(task, jsonl(tmp_path / "x.jsonl", {**row, "label": -1}))


def test_copa_puts_the_option_into_the_sentence() -> None:
    row = {"premise": "I ran.", "choice1": "I was late.", "choice2": "The bus left.", "question": "cause", "label": 1}
    example = TASKS["copa"].to_example(Document(id="0", row=row))
    assert pairs(TASKS["copa"].protocols["gpt3"], example, []) == [
        ("I ran because", " I was late."),
        ("I ran because", " the bus left."),
    ]
    other = TASKS["copa"].to_example(Document(id="0", row={**row, "question": "effect"}))
    assert pairs(TASKS["copa"].protocols["lm-eval"], other, [])[0][0] == "I ran therefore"


def test_multirc_labels_every_answer_of_a_shot(tmp_path: Path) -> None:
    found = documents("multirc", made.write(tmp_path) / "superglue/MultiRC/val.jsonl")
    document, example = found["0_1"]
    assert (document.cluster, example.golds, example.gold) == ("0", (0, 2, 5), None)
    assert shot_text(TASKS["multirc"].protocols["gpt3"], example) == (
        "Ada left Lima on 3 May with 2 red bags and a well-known map.\n\nWith what?"
        "\n- [True] 2 bags\n- [True] a map\n- [False] a dog"
    )


def test_record_fills_the_gap_with_every_entity(tmp_path: Path) -> None:
    (_, example) = documents("record", made.write(tmp_path) / "superglue/ReCoRD/val.jsonl")["0_0"]
    assert (example.choices, example.gold, example.answers) == (("Ada", "Lima", "Ms Hu"), 2, ("Ms Hu", "Hu"))
    context, filled = pairs(TASKS["record"].protocols["gpt3"], example, [])[1]
    assert context.endswith("Ada met Ms Hu.\n\n- Ada is gone\n- Hu stays")
    assert filled == "\n- The traveller said that Lima likes Lima"


def test_drop_writes_numbers_dates_and_lists(tmp_path: Path) -> None:
    found = examples("drop", made.write(tmp_path) / "drop/drop_dataset_dev.json")
    assert [found[f"q0_{i}"].answers for i in range(3)] == [
        ("2", "a map"),
        ("3 May", "a map"),
        ("red bags; well-known map", "a map"),
    ]


def test_quac_takes_the_passage_alone_away(tmp_path: Path) -> None:
    document, example = documents("quac", made.write(tmp_path) / "quac/val_v0.2.json")["C_0_q#2"]
    assert (document.cluster, example.output) == ("C_0", "CANNOTANSWER")
    bare = TASKS["quac"].controls["no_passage"](example)
    ((context, _),) = pairs(TASKS["quac"].protocols["gpt3"], bare, [])
    assert context.startswith(
        "TITLE: Ada - Travels\nPARAGRAPH: \n\nQ: Which town?\n\nA: Lima\n\nQ: With what?\n\nA: 2 red"
    )
    assert context.endswith("bags\n\nQ: Why?\n\nA:")


BROKEN_JSON = {
    "quac": (r"section 1: expected title, section_title", {"data": [{}]}),
    "squad2": (r"article 1: expected title and paragraphs", {"data": [{"title": "T"}]}),
    "drop": (r"passage 'p': expected passage and qa_pairs", {"p": {"passage": "x"}}),
    "triviaqa": (r"question 1: expected QuestionId", {"Data": [{"Question": "?"}]}),
    "webquestions": (r"question 2: expected qText and answers", [{"qId": 1, "qText": "?", "answers": ["a"]}, {}]),
}


@pytest.mark.parametrize("task", BROKEN_JSON)
def test_a_broken_release_names_file_and_place(task: str, tmp_path: Path) -> None:
    message, content = BROKEN_JSON[task]
    path = tmp_path / Path(release(task).files[0]).name
    for text, expected in (
        (json.dumps(content), rf"{path.name} {message}"),
        (json.dumps(content)[:-1], rf"{path.name} line 1: not valid JSON .*is the file cut"),
        ("3", rf"{path.name}: expected "),
        ("", rf"{path.name} is empty"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=expected):
            documents(task, path)


@pytest.mark.parametrize(
    "task", ["multirc", "record", "anli_r1", "wic", "wsc", "copa", "cb", "rte", "boolq", "arc_easy"]
)
def test_a_broken_line_is_named(task: str, tmp_path: Path) -> None:
    path = tmp_path / Path(release(task).files[0]).name
    for text, expected in (
        ('{"idx": 1}\n', r"row 1"),
        ('\n{"idx": 1', rf"{path.name} line 2: not valid JSON .*is the file cut"),
        ("[]\n", rf"{path.name} line 1: expected a JSON object"),
        ("", rf"{path.name} is empty"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=expected):
            documents(task, path)


def test_a_record_without_its_gap_is_an_error(tmp_path: Path) -> None:
    row = {"passage": "p", "query": "no gap", "entities": ["a"], "answers": ["a"], "idx": {"passage": 0, "query": 0}}
    with pytest.raises(DataError, match=r"row 1 .*expected @placeholder in the column 'query'"):
        documents("record", jsonl(tmp_path / "hub.jsonl", row))
    with pytest.raises(DataError, match=r"row 1 .*none of the answers \['b'\] is one of its 1 choices"):
        documents("record", jsonl(tmp_path / "hub.jsonl", {**row, "query": "@placeholder", "answers": ["b"]}))


@pytest.mark.parametrize("task", ["boolq", "rte", "cb", "copa", "anli_r3"])
def test_further_wordings_render(task: str) -> None:
    """Each replaces fields that a protocol has, and reads unlike the others."""
    row = {
        "premise": "I ran.",
        "hypothesis": "I moved",
        "label": 0,
        "choice1": "a.",
        "choice2": "b.",
        "question": "cause",
    }
    row |= {"passage": "Text."} if task == "boolq" else {}
    example = TASKS[task].to_example(Document(id="0", row=row))
    protocol = TASKS[task].protocols["gpt3"]
    assert 2 <= len(protocol.templates) <= 3
    wordings = [protocol, *(replace(protocol, **fields) for fields in protocol.templates.values())]
    texts = {pairs(wording, example, [])[0] for wording in wordings}
    assert len(texts) == len(wordings)
    assert all("I ran" in context or "Text." in context for context, _ in texts)
