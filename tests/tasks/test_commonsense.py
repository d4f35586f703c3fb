"""Options, blanks and pronouns: what stands where, and what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit import metrics
from evalkit.data.sources import DataPaths
from evalkit.errors import DataError
from evalkit.harness import catalog
from evalkit.harness.prompts import pairs
from evalkit.harness.run import RunSettings, load
from evalkit.types import Document

TASKS = catalog.bundled()
HELLASWAG = {
    "ind": 7,
    "activity_label": "Roofing",
    "ctx_a": "A man sits on a roof.",
    "ctx_b": "he",
    "ctx": "A man sits on a roof. he",
    "endings": ["sings.", "[title] sleeps.", "falls  down.", "pulls [substeps] shingles."],
    "source_id": "activitynet~v_1",
    "split_type": "indomain",
    "label": "3",
}


def _pairs(name: str, protocol: str, row: dict[str, Any]) -> list[tuple[str, str]]:
    task = TASKS[name]
    (document,) = task.documents(row, 0)
    return pairs(task.protocols[protocol], task.to_example(document), [])


def test_hellaswag_is_cleaned_and_capitalised_as_each_protocol_has_it() -> None:
    context = "Roofing: A man sits on a roof. he"
    assert _pairs("hellaswag", "gpt3", HELLASWAG)[3] == (context, " pulls shingles.")
    assert _pairs("hellaswag", "lm-eval", HELLASWAG)[2] == ("Roofing: A man sits on a roof. He", " falls down.")


def test_hellaswag_documents_say_where_they_come_from() -> None:
    (document,) = TASKS["hellaswag"].documents(HELLASWAG, 0)
    assert (document.id, document.cluster, document.level) == ("7", "activitynet~v_1", "indomain")


def test_the_cleaned_hellaswag_is_read_and_named_where_it_is_wrong(tmp_path: Path) -> None:
    row = {"ind": 3, "query": "Roofing: A man sits. he", "choices": ["sings.", "sleeps."], "gold": 1}
    path = tmp_path / "hellaswag_val_full.jsonl"
    path.write_text(json.dumps(row) + "\n")
    data = DataPaths(named={"hellaswag": path})
    ((document, example),) = load(TASKS["hellaswag"], RunSettings(), data).documents
    assert (document.id, example.input, example.output) == ("3", "Roofing: A man sits. he", "sleeps.")
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "query": "no activity"}) + "\n")
    with pytest.raises(DataError, match=r"hellaswag_val_full\.jsonl row 2: expected 'ACTIVITY: CONTEXT' in query"):
        load(TASKS["hellaswag"], RunSettings(), data)
    path.write_text(json.dumps({**row, "query": None}) + "\n")
    with pytest.raises(DataError, match=r"hellaswag_val_full\.jsonl row 1: expected ind, query, choices and gold"):
        load(TASKS["hellaswag"], RunSettings(), data)


def test_piqa_joins_its_labels(tmp_path: Path) -> None:
    rows = [{"goal": f"Goal {i}", "sol1": "do ", "sol2": "do not"} for i in range(3)]
    (tmp_path / "valid.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "valid-labels.lst").write_text("0\n1\n1\n")
    data = DataPaths(named={"piqa": tmp_path})
    loaded = load(TASKS["piqa"], RunSettings(), data)
    assert {document.id: example.output for document, example in loaded.documents} == {
        "0": "do",
        "1": "do not",
        "2": "do not",
    }
    (tmp_path / "valid-labels.lst").write_text("0\n1\n")
    with pytest.raises(DataError, match=r"valid-labels\.lst ends too early"):
        load(TASKS["piqa"], RunSettings(), data)
    (tmp_path / "valid-labels.lst").write_text("0\n2\n1\n")
    wrong = {document.id: example.error for document, example in load(TASKS["piqa"], RunSettings(), data).documents}
    assert wrong["0"] == wrong["2"] == "" and "row 2 of its test data" in wrong["1"] and "'2'" in wrong["1"]


def test_winogrande_scores_what_stands_behind_the_blank() -> None:
    row = {"sentence": "The cup hit the jug so _ broke.", "option1": "cup", "option2": "jug", "answer": "2"}
    assert _pairs("winogrande", "gpt3", row) == [
        ("The cup hit the jug so cup", " broke."),
        ("The cup hit the jug so jug", " broke."),
    ]


def test_winogrande_twins_share_a_cluster() -> None:
    documents = TASKS["winogrande"].documents
    row = {"sentence": "_ sat.", "option1": "a", "option2": "b", "answer": "1"}
    clusters = {d.cluster for name in ("3FCO-1", "3FCO-2") for d in documents({**row, "qID": name}, 0)}
    assert clusters == {"3FCO"}


def _schema(text: str, pronoun: str, *options: str) -> dict[str, Any]:
    return {
        "text": text,
        "pronoun": pronoun,
        "pronoun_loc": text.index(f" {pronoun}") + 1,
        "options": options,
        "label": 0,
    }


def test_winograd_puts_candidates_in_the_pronouns_place() -> None:
    row = _schema(
        "The trophy doesn't fit into  the suitcase because it is too large.", "it", "The trophy", "The suitcase"
    )
    before = "The trophy doesn't fit into the suitcase because"
    assert _pairs("winograd", "gpt2", row) == [
        (f"{before} the trophy", " is too large."),
        (f"{before} the suitcase", " is too large."),
    ]
    assert _pairs("winograd_full", "gpt2", row)[1] == ("", f"{before} the suitcase is too large.")


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (_schema("Sam shouted at Ed. He left.", "He", "Sam", "Ed"), ("Sam shouted at Ed. Sam", " left.")),
        (
            _schema("The fox ate the hen. It ran.", "It", "the fox", "the hen"),
            ("The fox ate the hen. The fox", " ran."),
        ),
        (_schema("Sam drove Ed to his house.", "his", "Sam", "Ed"), ("Sam drove Ed to Sam's", " house.")),
        (_schema("Sam drove Ed to his house.", "his", "Sam's", "Ed's"), ("Sam drove Ed to Sam's", " house.")),
        (
            _schema("The hen saw the fox and ate it.", "it", "The fox", "The hen"),
            ("The hen saw the fox and ate the fox", "."),
        ),
    ],
)
def test_winograd_candidates_are_written_as_they_would_stand(row: dict[str, Any], wanted: tuple[str, str]) -> None:
    assert _pairs("winograd", "gpt2", row)[0] == wanted


def test_winograd_wants_the_pronoun_where_the_row_says() -> None:
    row = _schema("Sam saw Ed when he left.", "he", "Sam", "Ed") | {"pronoun_loc": 3}
    with pytest.raises(ValueError, match="expected the pronoun 'he' at character 3"):
        TASKS["winograd"].to_example(Document(id="0", row=row))


PROBLEM = "The [MASK] fell .\n[MASK]\nThe cup ,The jug\nThe cup\n\n"


@pytest.mark.parametrize(
    "broken",
    [
        PROBLEM.replace(",", ";"),
        PROBLEM.replace("\nThe cup\n", "\nThe pot\n"),
        PROBLEM[:-1] + "x\n",
        "The [MASK] fell .\n",
    ],
    ids=["one candidate", "answer is none", "no empty line", "cut"],
)
def test_a_broken_problem_is_named(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "wsc273.txt"
    path.write_text(PROBLEM + broken)
    with pytest.raises(DataError, match=r"wsc273\.txt line 6: expected a sentence, its pronoun, two or more"):
        load(TASKS["winograd"], RunSettings(), DataPaths(named={"winograd": path}))


def test_pdp_has_two_candidates_or_more(tmp_path: Path) -> None:
    problems = (
        "Harry lost  [MASK]  wing.\n[MASK]\n Harry , Ann's father , the captain \n the captain \n\n",
        "Dora saw the cat near  [MASK].\n[MASK]\n Dora , cat \n Dora \n\n",
    )
    path = tmp_path / "PDP.txt"
    path.write_text("".join(problems))
    loaded = load(TASKS["pdp"], RunSettings(), DataPaths(named={"pdp": path}))
    (_, three), (_, two) = sorted(loaded.documents, key=lambda pair: pair[0].id)
    assert (three.gold, len(three.choices), two.gold, len(two.choices)) == (2, 3, 0, 2)
    assert pairs(loaded.protocol, three, []) == [
        (f"Harry lost {name}", " wing.") for name in ("Harry's", "Ann's father's", "the captain's")
    ]
    assert metrics.get("acc").chance(three) == pytest.approx(1 / 3)
    row = _schema("Dora saw Ann and Eve when she left.", "she", "Dora", "Ann") | {"label": 2}
    row["options"] = [*row["options"], "Eve"]  # as on the hub
    assert TASKS["pdp"].to_example(Document(id="0", row=row)).output == "Eve"


ANALOGY = "190 FROM REAL SATs\nlull trust v:n\nbalk fortitude v:n\nbetray loyalty v:n\ncajole compliance v:n\nc\n"


def test_an_analogy_is_asked_as_gpt3_did(tmp_path: Path) -> None:
    path = tmp_path / "SAT-package-V3.txt"
    path.write_text(f"# a comment\n\n{ANALOGY}\n\n{ANALOGY}")
    loaded = load(TASKS["sat_analogies"], RunSettings(), DataPaths(named={"sat_analogies": path}))
    assert len(loaded.documents) == 2
    _, example = loaded.documents[0]
    assert (example.gold, example.output) == (2, "cajole is to compliance")
    assert pairs(loaded.protocol, example, [])[0] == ("lull is to trust as", " balk is to fortitude")


@pytest.mark.parametrize("broken", [ANALOGY.removesuffix("c\n"), ANALOGY.replace("c\n", "e\n"), "lull trust v:n\na\n"])
def test_a_broken_analogy_is_named(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "SAT-package-V3.txt"
    path.write_text(f"{ANALOGY}\n{broken}")
    with pytest.raises(DataError, match=r"SAT-package-V3\.txt line 8: expected a source, pairs of words"):
        load(TASKS["sat_analogies"], RunSettings(), DataPaths(named={"sat_analogies": path}))


def test_the_273_schemas_have_twins(data_dir: Path) -> None:
    loaded = load(TASKS["winograd"], RunSettings(), DataPaths(root=data_dir))
    assert len(loaded.documents) == 273
    asked = [context for _, e in loaded.documents for context, _ in pairs(loaded.protocol, e, [])]
    assert "The woman held the girl against the girl's" in asked
    assert sum(context.endswith("'s") for context in asked) >= 40
    assert 100 < len({document.cluster for document, _ in loaded.documents}) < 150
    assert not any(
        "[MASK]" in text for _, e in loaded.documents for pair in pairs(loaded.protocol, e, []) for text in pair
    )


@pytest.mark.parametrize(
    ("sentence", "pronoun", "wanted"),
    [
        ("The bird ate the pie and it died.", "it", ("The bird ate the pie and the bird", " died.")),
        (
            "It was so: the bird ate the pie as it was hungry.",
            "it",
            ("It was so: the bird ate the pie as the bird", " was hungry."),
        ),
        ("The bird ate the pie. It died.", "it", ("The bird ate the pie. The bird", " died.")),
        ("The bird ate the pie and [MASK] died .", "[MASK]", ("The bird ate the pie and the bird", " died .")),
    ],
)
def test_dprd_finds_the_pronoun(sentence: str, pronoun: str, wanted: tuple[str, str]) -> None:
    row = {"sentence": sentence, "pronoun": pronoun, "candidates": ["The bird", "the pie"], "label": 0}
    assert _pairs("dprd", "gpt1", row)[0] == wanted


def test_a_story_without_its_ending_is_an_error(made_data: DataPaths, tmp_path: Path) -> None:
    assert made_data.root
    (source,) = (made_data.root / "storycloze").glob("*val.csv")
    lines = source.read_text().splitlines(keepends=True)
    path = tmp_path / "cloze_test_test__spring2016 - cloze_test_ALL_test.csv"
    path.write_text("".join([*lines[:3], lines[3].rpartition(",")[0]]))
    with pytest.raises(DataError, match=r"test\.csv line 4: expected 8 fields, found 7"):
        load(TASKS["storycloze"], RunSettings(), DataPaths(named={"storycloze": path}))
    path.write_text("".join([lines[0].replace("InputStoryid", "id"), *lines[1:]]))
    with pytest.raises(DataError, match=r"test\.csv line 1: expected a header .*InputStoryid is missing"):
        load(TASKS["storycloze"], RunSettings(), DataPaths(named={"storycloze": path}))
