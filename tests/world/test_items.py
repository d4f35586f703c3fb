from __future__ import annotations

import json
from collections import Counter

import pytest

from evalkit import world
from evalkit.errors import UsageError
from evalkit.world.patterns import RULES

NAMES = world.NAMES


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_stable_distinct_and_json(name: str) -> None:
    rows = world.items(name, "test")
    assert rows == world.items(name, "test") == json.loads(json.dumps(rows))
    assert len({row["id"] for row in rows}) == len(rows) >= 100
    assert len(world.items(name, "shots")) >= 200
    assert world.items(name, "test", seed=1) != rows


def test_unknown_names_are_user_errors() -> None:
    with pytest.raises(UsageError, match="did you mean 'reading'"):
        world.items("readin", "test")
    with pytest.raises(UsageError, match="unknown split 'train'"):
        world.items("reading", "train")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="kind of document"):
        world.sample("novel")


def test_reading_choices_stand_in_the_passage() -> None:
    for row in world.items("reading", "test"):
        assert row["answer"] in row["choices"] and 3 <= len(set(row["choices"])) == len(row["choices"]) <= 4
        standing = sum(choice in row["passage"] for choice in row["choices"])
        assert standing == {"one": 1, "many": len(row["choices"])}[row["level"]]


def test_cloze_choices_stand_in_the_passage() -> None:
    rows = world.items("cloze", "test")
    assert all(choice in row["passage"] for row in rows for choice in row["choices"])
    assert Counter(row["gold"] for row in rows).most_common(1)[0][1] < 0.5 * len(rows)


def test_the_last_word_stands_in_the_context_but_not_in_its_last_sentence() -> None:
    for row in world.items("lastword", "test"):
        assert f" {row['word']}" in f" {row['context']}"
        assert f" {row['word']} " not in f"{row['context'].rpartition('. ')[2]} "


def test_the_first_sentence_of_an_article_names_nothing_of_the_event() -> None:
    for row in world.items("summary", "test"):
        _, role, _, _, thing, _, town = row["summary"].rstrip(".").split()
        assert row["article"] == " ".join(row["sentences"])
        assert all(word in row["article"] and word not in row["sentences"][0].split() for word in (role, thing, town))


def test_pronouns_come_in_pairs() -> None:
    rows = world.items("pronouns", "test")
    golds = {row["pair"]: sorted(r["gold"] for r in rows if r["pair"] == row["pair"]) for row in rows}
    assert all(gold == [0, 1] for gold in golds.values())


def test_every_rule_has_shots_and_the_outputs_follow_it() -> None:
    shots, test = (world.items("patterns", split) for split in ("shots", "test"))
    assert set(RULES) == {row["rule"] for row in test}
    assert min(Counter(row["rule"] for row in shots).values()) >= 40
    for row in [*shots, *test]:
        assert row["output"] == RULES[row["rule"]][1](row["input"].split())


def test_qa_levels() -> None:
    levels = Counter(row["level"] for row in world.items("qa", "test"))
    assert levels["head"] >= 60 and levels["tail"] > levels["head"]
