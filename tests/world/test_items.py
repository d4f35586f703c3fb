from __future__ import annotations

import json
from collections import Counter

import pytest

from evalkit import world
from evalkit.errors import UsageError
from evalkit.world import news, patterns, people, plots, schemas, stories
from evalkit.world.patterns import RULES, TAUGHT

NAMES = world.NAMES
LEVELS = {
    "reading": stories.LEVELS,
    "summary": news.LEVELS,
    "qa": people.LEVELS,
    "lastword": plots.LEVELS,
    "pronouns": schemas.LEVELS,
    "patterns": patterns.LEVELS,
}
CHECKS = {  # some rules, said again in other words
    "first": lambda given: given[0],
    "swap": lambda given: f"{given[1]} {given[0]}",
    "sum": lambda given: str(sum(map(int, given))),
    "predecessor": lambda given: str(int(given[0]) - 1),
    "reversed": lambda given: "".join(reversed(given)),
    "spell": lambda given: " ".join(*given),
    "triple": lambda given: " ".join(3 * given),
}


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_stable_distinct_and_json(name: str) -> None:
    rows = world.items(name, "test")
    assert rows == world.items(name, "test") == json.loads(json.dumps(rows))
    assert len({row["id"] for row in rows}) == len(rows) >= 90
    assert len(world.items(name, "shots")) >= 200
    assert world.items(name, "test", seed=1) != rows


def test_unknown_names_are_user_errors() -> None:
    with pytest.raises(UsageError, match="did you mean 'reading'"):
        world.items("readin", "test")
    with pytest.raises(UsageError, match="unknown split 'train'"):
        world.items("reading", "train")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="kind of document"):
        world.sample("novel")


def test_every_level_has_the_same_number_of_rows() -> None:
    for name, levels in LEVELS.items():
        assert levels
        counts = Counter(row["level"] for row in world.items(name, "test"))
        assert set(counts) == set(levels) and min(counts.values()) >= (40 if name == "patterns" else 80), name


def test_reading_choices_stand_in_the_passage() -> None:
    for row in world.items("reading", "test"):
        assert row["answer"] in row["choices"] and 3 <= len(set(row["choices"])) == len(row["choices"]) <= 4
        standing = sum(choice in row["passage"] for choice in row["choices"])
        if row["level"] in ("one", "many", "long", "who", "hop"):
            assert standing == (1 if row["level"] == "one" else len(row["choices"]))


def test_unsaid_questions_have_no_answer_in_the_passage() -> None:
    rows = [row for row in world.items("reading", "test") if row["level"] == "unsaid"]
    unsaid = [row for row in rows if row["answer"] == stories.UNSAID]
    assert 0.3 < len(unsaid) / len(rows) < 0.7
    for row in rows:
        name = row["question"].removesuffix("?").split()[-1 if "Where" in row["question"] else 2]
        verb = "is" if "Where" in row["question"] else "has"
        assert (f"{name} {verb} " in row["passage"]) == (row["answer"] != stories.UNSAID)


def test_counts_are_right() -> None:
    for row in world.items("reading", "test"):
        if row["level"] == "count":
            name = row["question"].split()[-2]
            assert ("one", "two", "three", "four")[row["passage"].count(f"{name} has") - 1] == row["answer"]


def test_hops_lead_to_the_answer() -> None:
    for row in world.items("reading", "test"):
        if row["level"] == "hop":
            guest = row["question"].removesuffix("?").split()[-1]
            host = row["passage"].split(f"{guest} is with ")[1].split(".")[0]
            assert f"{host} is {row['answer']}." in row["passage"]


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
        _, role, _, _, thing, _, town = row["summary"].split(".")[0].split()
        assert row["article"] == " ".join(row["sentences"])
        assert all(word in row["article"] and word not in row["sentences"][0].split() for word in (role, thing, town))


def test_pronouns_come_in_pairs() -> None:
    rows = world.items("pronouns", "test")
    golds = {row["pair"]: sorted(r["gold"] for r in rows if r["pair"] == row["pair"]) for row in rows}
    assert all(gold == [0, 1] for gold in golds.values())


def test_every_rule_has_shots_and_the_outputs_follow_it() -> None:
    shots, test = (world.items("patterns", split) for split in ("shots", "test"))
    assert set(RULES) == {row["rule"] for row in test}
    assert min(Counter(row["rule"] for row in shots).values()) >= 15
    for row in [*shots, *test]:
        if row["rule"] in CHECKS:
            assert CHECKS[row["rule"]](row["input"].split()) == row["output"]


def test_the_summary_is_of_the_event_that_people_talk_about() -> None:
    for row in world.items("summary", "test"):
        if row["level"] == "salience":
            role = row["summary"].split()[1]
            assert f"talked about the {role}." in row["article"] or f"spoke of the {role}." in row["article"]


def test_the_crowd_is_what_the_police_counted_rounded() -> None:
    for row in world.items("summary", "test"):
        if row["level"] == "crowd":
            counted = int(row["article"].split("police counted ")[1].split()[0])
            said = int(row["summary"].split("About ")[1].split()[0])
            assert said % 10 == 0 and 0 < abs(counted - said) < 5


def test_new_rules_are_not_taught() -> None:
    new = {row["rule"] for row in world.items("patterns", "test") if row["level"] == "new"}
    assert new and not new & set(TAUGHT)
