"""Small files in the form of the authors' releases, for benchmarks whose real files may not be at hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

PEOPLE = ("Ada", "Bo", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal")
TOWNS = ("Lima", "Oslo", "Rome", "Cairo", "Delhi", "Quito", "Paris", "Tunis")


def _story(i: int) -> str:
    return f"{PEOPLE[i]} left {TOWNS[i]} on 3 May with {i + 2} red bags and a well-known map."


def quac() -> dict[str, Any]:
    """Sections with one dialogue of three questions; the third has no answer."""

    def asked(i: int) -> Iterator[dict[str, Any]]:
        told = (TOWNS[i], f"{i + 2} red bags", "CANNOTANSWER")
        for turn, question in enumerate(("Which town?", "With what?", "Why?")):
            answers = [{"text": told[turn], "answer_start": 0}, {"text": told[turn], "answer_start": 0}]
            yield {
                "id": f"C_{i}_q#{turn}",
                "question": question,
                "answers": answers,
                "orig_answer": answers[0],
                "followup": "y",
                "yesno": "x",
            }

    return {
        "data": [
            {
                "title": PEOPLE[i],
                "section_title": "Travels",
                "background": "",
                "paragraphs": [{"id": f"C_{i}", "context": f"{_story(i)} CANNOTANSWER", "qas": list(asked(i))}],
            }
            for i in range(8)
        ]
    }


def drop() -> dict[str, Any]:
    """Passages with a number, a date and a list of spans to be found."""
    none = {"number": "", "date": {"day": "", "month": "", "year": ""}, "spans": []}

    def asked(i: int) -> Iterator[dict[str, Any]]:
        answers = (
            {**none, "number": str(i + 2)},
            {**none, "date": {"day": "3", "month": "May", "year": ""}},
            {**none, "spans": ["red bags", "well-known map"]},
        )
        for number, question in enumerate(("How many bags?", "When?", "Which things?")):
            yield {
                "query_id": f"q{i}_{number}",
                "question": question,
                "answer": answers[number],
                "validated_answers": [{**none, "spans": ["a map"]}],
            }

    return {f"history_{i}": {"passage": _story(i), "qa_pairs": list(asked(i))} for i in range(8)}


def multirc() -> Iterator[dict[str, Any]]:
    """Paragraphs with two questions of two and three answers."""
    for i in range(8):
        truths = ((TOWNS[i], 1), ("Bonn", 0)), ((f"{i + 2} bags", 1), ("a map", 1), ("a dog", 0))
        questions = [
            {
                "question": question,
                "idx": 2 * i + number,
                "answers": [{"text": text, "label": label, "idx": 10 * i + j} for j, (text, label) in enumerate(truth)],
            }
            for number, (question, truth) in enumerate(zip(("Where from?", "With what?"), truths, strict=True))
        ]
        yield {"idx": i, "version": 1.1, "passage": {"text": _story(i), "questions": questions}}


def record() -> Iterator[dict[str, Any]]:
    """Passages with three entities, one of them named twice."""
    for i in range(8):
        text = f"{_story(i)} {PEOPLE[i]} met Ms Hu.\n@highlight\n{PEOPLE[i]} is gone\n@highlight\nHu stays"
        places = [(0, len(PEOPLE[i]))]
        for name in (TOWNS[i], PEOPLE[i], "Ms Hu"):
            start = text.index(name, places[-1][1])
            places.append((start, start + len(name)))
        answers = [{"text": name, "start": 0, "end": 0} for name in ("Ms Hu", "Hu")]
        yield {
            "idx": i,
            "source": "Daily mail",
            "passage": {"text": text, "entities": [{"start": start, "end": end - 1} for start, end in places]},
            "qas": [
                {"idx": 5 * i, "query": f"The traveller said that @placeholder likes {TOWNS[i]}", "answers": answers}
            ],
        }


def anli() -> Iterator[dict[str, Any]]:
    """Pairs with each of the three labels."""
    claims = ("c", "{} was in Bonn."), ("e", "{} has been in {}."), ("n", "{} has a sister in {}.")
    for i in range(8):
        for label, claim in claims:
            hypothesis = claim.format(PEOPLE[i], TOWNS[i])
            yield {"uid": f"u{i}{label}", "context": _story(i), "hypothesis": hypothesis, "label": label}


def wic() -> Iterator[dict[str, Any]]:
    """A word in the same and in another sense."""
    for i in range(8):
        for label, other in ((True, "The bags are new."), (False, "He bags groceries.")):
            yield {"word": "bag", "sentence1": _story(i), "sentence2": other, "idx": 2 * i + label, "label": label}


def wsc() -> Iterator[dict[str, Any]]:
    """A pronoun with a comma behind it, and the two nouns that it may mean."""
    for i in range(8):
        text = f"The man from {TOWNS[i]} thanked {PEOPLE[i]} because he, as ever, had helped."
        nouns = (("The man", 0), False), ((PEOPLE[i], 5), True)
        for (noun, place), label in nouns:
            spans = {"span1_index": place, "span1_text": noun, "span2_index": 7, "span2_text": "he"}
            yield {"text": text, "target": spans, "idx": 2 * i + label, "label": label}


def qqp() -> Iterator[dict[str, Any]]:
    """Pairs of questions that ask the same, and that do not."""
    for i in range(8):
        for label, other in ((1, "Which town did {} leave? "), (0, "Why did {} leave?")):
            yield {
                "question1": f"Where did {PEOPLE[i]} set out from?",
                "question2": other.format(PEOPLE[i]),
                "label": label,
                "idx": 2 * i + label,
            }


def qnli() -> Iterator[dict[str, Any]]:
    """Questions with a sentence that answers them, and with one that does not."""
    for i in range(8):
        for label, other in ((0, _story(i)), (1, f"{PEOPLE[i]} likes dogs.")):
            yield {"question": f"Where did {PEOPLE[i]} live?", "sentence": other, "label": label, "idx": 2 * i + label}


def mnli() -> Iterator[dict[str, Any]]:
    """Pairs with each of the three labels; a hypothesis may lack its full stop and end in a blank."""
    for row in anli():
        label = "enc".index(row["label"])
        hypothesis = row["hypothesis"].rstrip(".") + " " if label == 1 else row["hypothesis"]
        yield {"premise": row["context"], "hypothesis": hypothesis, "label": label, "idx": row["uid"]}


FILES: Mapping[str, Callable[[], Any]] = {
    "quac/val_v0.2.json": quac,
    "drop/drop_dataset_dev.json": drop,
    "superglue/MultiRC/val.jsonl": multirc,
    "superglue/ReCoRD/val.jsonl": record,
    "superglue/WiC/val.jsonl": wic,
    "superglue/WSC/val.jsonl": wsc,
    **{f"anli_v1.0/R{round_}/test.jsonl": anli for round_ in (1, 2, 3)},
    **{f"qqp/{split}.jsonl": qqp for split in ("validation", "train")},
    **{f"qnli/{split}.jsonl": qnli for split in ("validation", "train")},
    **{f"mnli/{split}.jsonl": mnli for split in ("validation_matched", "train")},
    **{f"mnli_mm/{split}.jsonl": mnli for split in ("validation_mismatched", "train")},
}


def write(root: Path) -> Path:
    """Write all files below a folder as EVALKIT_DATA would hold them."""
    for name, make in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = make()
        lines = [json.dumps(content)] if isinstance(content, dict) else [json.dumps(row) for row in content]
        path.write_text("\n".join(lines) + "\n")
    return root
