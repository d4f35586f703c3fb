"""The benchmarks' own scores on real answers, against other implementations of the official scripts.

Macro F1 and F1a: scikit-learn. SQuAD 2.0, TriviaQA, DROP and QuAC: the rules of evaluate-v2.0.py,
triviaqa_evaluation.py, drop_eval.py and scorer.py written down here in another way, character by character and by
trying every pairing. Predictions are made of real answers: the right one, another's, a longer and a shorter one.
"""

from __future__ import annotations

import itertools
import random
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from evalkit import metrics
from evalkit.data.sources import DataPaths
from evalkit.harness import catalog
from evalkit.harness.run import RunSettings, load
from evalkit.types import Example, Response

ITEMS = 400
# What the official scripts give in sum on these items: EVALKIT_DATA=DATA python -m tests.official_scores FOLDER, with
# mandarjoshi90/triviaqa at ca43b58, allenai/allennlp-reading-comprehension at 14fc0a4, QuAC's scorer.py as it lies in
# prdwb/bert_hae at e72514e.
OFFICIAL = {
    "triviaqa": 202.000000,
    "drop_em": 62.000000,
    "drop_f1": 124.270000,
    "squad2_f1": 226.708921,
    "squad2_em": 181.000000,
    "quac_f1": 609.657299,
    "quac_counted": 1477.000000,
}


def examples(task: str, data_dir: Path, *, limit: int = ITEMS) -> list[Example]:
    loaded = load(catalog.bundled()[task], RunSettings(limit=limit), DataPaths(root=data_dir))
    return [example for _, example in loaded.documents]


def predictions(items: Sequence[Example]) -> Iterator[tuple[Example, str]]:
    """Yield each item with a text that is right, half right or wrong in turn."""
    for i, example in enumerate(items):
        other = items[i - 1].answers[0]
        right = example.answers[-1]
        texts = [right, f"The {right}, {other}", other, right.split()[0], f"{other}; {right}", "", "unanswerable"]
        yield example, texts[i % len(texts)]


def score(name: str, example: Example, text: str) -> float:
    metric = metrics.get(name)
    sums = np.asarray(metric.statistics(example, [Response(text=text)]))
    return float(metric.aggregate(sums, np.asarray(1.0)))


def bag(text: str) -> list[str]:
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def bag_f1(left: str, right: str) -> float:
    rest, same = bag(right), 0
    for word in bag(left):
        if word in rest:
            rest.remove(word)
            same += 1
    if not same:
        return 0.0
    precision, recall = same / len(bag(left)), same / len(bag(right))
    return 2 * precision * recall / (precision + recall)


def plain_squad(text: str, answers: Sequence[str]) -> tuple[float, float]:
    """Return F1 and exact match; the empty text is no answer."""
    found = []
    for answer in [answer for answer in answers if bag(answer)] or [""]:
        f1 = bag_f1(text, answer) if bag(text) and bag(answer) else float(bag(text) == bag(answer))
        found.append((f1, float(bag(text) == bag(answer))))
    return max(f1 for f1, _ in found), max(em for _, em in found)


def squad2_items(data_dir: Path) -> list[tuple[Example, str]]:
    return list(predictions(examples("squad2", data_dir)))


def test_squad2(data_dir: Path) -> None:
    seen = set()
    sums = np.zeros(2)
    for example, text in squad2_items(data_dir):
        answers = ["" if answer == "unanswerable" else answer for answer in example.answers]
        said = "" if text == "unanswerable" else text
        wanted = plain_squad(said, answers)
        ours = score("squad2_f1", example, text), score("squad2_em", example, text)
        assert ours == pytest.approx(wanted), (example.answers, text)
        seen.add(round(wanted[0], 3))
        sums += ours
    assert len(seen) > 5  # not only right and wrong
    assert sums == pytest.approx([OFFICIAL["squad2_f1"], OFFICIAL["squad2_em"]])


def plain_triviaqa(text: str) -> str:
    text = text.replace("_", " ").lower()
    text = "".join(" " if c in string.punctuation or c in "‘’´`" else c for c in text)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def triviaqa_items(data_dir: Path) -> list[tuple[Example, str]]:
    return list(predictions(examples("triviaqa", data_dir, limit=1000)))


def test_triviaqa(data_dir: Path) -> None:
    found = [
        (score("triviaqa_exact_match", example, text), plain_triviaqa(text) in map(plain_triviaqa, example.answers))
        for example, text in triviaqa_items(data_dir)
    ]
    assert all(ours == float(wanted) for ours, wanted in found)
    assert sum(ours for ours, _ in found) == OFFICIAL["triviaqa"]


def is_number(text: str) -> bool:
    try:
        return bool(float(text)) or True
    except ValueError:
        return False


def plain_drop(text: str) -> str:
    words = []
    for word in re.split("[ -]", text):
        word = word.lower()
        if not is_number(word):
            word = "".join(c for c in word if c not in string.punctuation)
        if is_number(word):
            word = str(float(word))
        words += re.sub(r"\b(a|an|the)\b", " ", word).split()
    return " ".join(words)


def plain_drop_f1(said: Sequence[str], gold: Sequence[str]) -> float:
    def f1(guess: set[str], want: set[str]) -> float:
        numbers = {word for word in want if is_number(word)}
        if numbers and not numbers & guess:
            return 0.0
        precision = len(guess & want) / len(guess) if guess else 1.0
        recall = len(guess & want) / len(want) if want else 1.0
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    size = max(len(said), len(gold))
    bags = [set(plain_drop(span).split()) for span in said]
    wants = [set(plain_drop(span).split()) for span in gold]
    best = 0.0
    for places in itertools.permutations(range(size)):
        pairs = [(p, i) for i, p in enumerate(places) if p < len(bags) and i < len(wants)]
        best = max(best, sum(f1(bags[p], wants[i]) for p, i in pairs))
    return round(best / size, 2)


def drop_items(data_dir: Path) -> list[tuple[Example, str]]:
    """Take SQuAD's answers that have numbers, one by one and two at a time."""
    items = examples("squad1", data_dir, limit=1000)
    numbers = [item for item in items if any(c.isdigit() for c in item.output)]
    assert len(numbers) >= 200
    lists = [
        Example(task="", input="", output="; ".join((a.output, b.output)), references=())
        for a, b in itertools.pairwise(numbers[:100])
    ]
    return list(predictions([*numbers[:200], *lists]))


def test_drop(data_dir: Path) -> None:
    seen = set()
    sums = np.zeros(2)
    for example, text in drop_items(data_dir):
        wanted = [(plain_drop_f1(text.split("; "), answer.split("; "))) for answer in example.answers]
        assert score("drop_f1", example, text) == pytest.approx(max(wanted)), (example.answers, text)
        said = sorted(plain_drop(span) for span in text.split("; "))
        exact = [sorted(plain_drop(span) for span in answer.split("; ")) for answer in example.answers]
        assert score("drop_em", example, text) == float(said in exact)
        seen.add(max(wanted))
        sums += score("drop_f1", example, text), score("drop_em", example, text)
    assert len(seen) > 10
    assert sums == pytest.approx([OFFICIAL["drop_f1"], OFFICIAL["drop_em"]])


@pytest.mark.parametrize(
    ("said", "gold", "f1", "em"),
    [
        ("3", "3.0", 1.0, 1.0),
        ("1,000 men", "1000 men", 1.0, 1.0),
        ("40 yards", "41 yards", 0.0, 0.0),  # another number: the shared word does not count
        ("yards", "41 yards", 0.0, 0.0),
        ("red bags; a map", "map; red bags", 1.0, 1.0),
        ("red bags", "red bags; map", 0.5, 0.0),
        ("the well-known man", "well known man", 1.0, 1.0),
        ("", "map", 0.0, 0.0),
    ],
)
def test_drop_by_hand(said: str, gold: str, f1: float, em: float) -> None:
    example = Example(task="", input="", output=gold)
    assert (score("drop_f1", example, said), score("drop_em", example, said)) == (f1, em)


def plain_quac(text: str, answers: Sequence[str]) -> tuple[float, bool]:
    """Return F1, and whether the question counts."""
    none = [answer for answer in answers if answer == "CANNOTANSWER"]
    kept = ["CANNOTANSWER"] if len(none) >= len(answers) - len(none) else [a for a in answers if a not in none]

    def f1(answer: str) -> float:
        return float(text == answer) if answer == "CANNOTANSWER" else bag_f1(text, answer)

    if len(kept) == 1:
        return f1(kept[0]), True
    people, model = [], []
    for i in range(len(kept)):
        others = kept[:i] + kept[i + 1 :]
        people.append(max(bag_f1(kept[i], other) for other in others))
        model.append(max(f1(other) for other in others))
    return sum(model) / len(model), sum(people) / len(people) >= 0.4


def quac_items(data_dir: Path) -> list[tuple[Example, str]]:
    """Take CoQA's answers, four to a question; "unknown" plays CANNOTANSWER."""
    items = [
        Example(
            task="", input="", output="", references=tuple(a.replace("unknown", "CANNOTANSWER") for a in item.answers)
        )
        for item in examples("coqa", data_dir, limit=1500)
    ]
    return list(predictions(items))


def test_quac(data_dir: Path) -> None:
    counts = {True: 0, False: 0}
    metric = metrics.get("quac_f1")
    total = 0.0
    for example, text in quac_items(data_dir):
        f1, counted = plain_quac(text, example.answers)
        ours = metric.statistics(example, [Response(text=text)])
        assert ours == (pytest.approx((f1, 1.0)) if counted else (0.0, 0.0)), (example.answers, text)
        counts[counted] += 1
        total += ours[0]
    assert counts[True] == OFFICIAL["quac_counted"] and counts[False] > 10
    assert total == pytest.approx(OFFICIAL["quac_f1"])


def test_quac_counts_only_what_people_agree_on() -> None:
    sure = Example(task="", input="", output="x", references=("red bags", "red bags"))
    unsure = Example(task="", input="", output="x", references=("red", "blue"))
    unknown = Example(task="", input="", output="x", references=("red", "CANNOTANSWER"))
    assert score("quac_f1", sure, "bags") == pytest.approx(2 / 3)
    assert np.isnan(score("quac_f1", unsure, "red"))
    assert score("quac_f1", unknown, "red") == 0.0
    assert score("quac_f1", unknown, "CANNOTANSWER") == 1.0


@pytest.mark.parametrize("task", ["cb", "rte"])
def test_macro_f1_is_scikit_learns(task: str, data_dir: Path) -> None:
    from sklearn.metrics import f1_score

    items = examples(task, data_dir)
    metric, rng = metrics.get("macro_f1"), random.Random(0)
    for kept in (len(items), 20, 1):
        rows, right, chosen = [], [], []
        for item in items[:kept]:
            likely = [rng.random() for _ in item.choices]
            rows.append(metric.statistics(item, [Response(loglikelihood=value, tokens=1) for value in likely]))
            right.append(item.gold)
            chosen.append(likely.index(max(likely)))
        wanted = f1_score(right, chosen, average="macro")
        assert float(metric.aggregate(np.sum(rows, axis=0), np.asarray(kept))) == pytest.approx(wanted)


def test_multirc_is_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    rng = random.Random(0)
    exact, f1a = metrics.get("multirc_em"), metrics.get("multirc_f1a")
    tables: dict[str, list[tuple[float, ...]]] = {"em": [], "f1a": []}
    right: list[bool] = []
    said: list[bool] = []
    perfect = []
    for _ in range(300):
        truths = [rng.random() < 0.4 for _ in range(rng.randint(2, 6))]
        labels = [truth if rng.random() < 0.8 else not truth for truth in truths]
        choices = tuple(f"[{word}] {i}" for i in range(len(truths)) for word in ("True", "False"))
        golds = tuple(2 * i + (not truth) for i, truth in enumerate(truths))
        example = Example(task="", input="", output="x", choices=choices, golds=golds)
        answers = [
            Response(loglikelihood=-1.0 if label == want else -2.0) for label in labels for want in (True, False)
        ]
        tables["em"].append(exact.statistics(example, answers))
        tables["f1a"].append(f1a.statistics(example, answers))
        right += truths
        said += labels
        perfect.append(truths == labels)
        assert exact.chance(example) == 0.5 ** len(truths)
    n = np.asarray(300.0)
    assert float(f1a.aggregate(np.sum(tables["f1a"], axis=0), n)) == pytest.approx(f1_score(right, said))
    assert float(exact.aggregate(np.sum(tables["em"], axis=0), n)) == pytest.approx(sum(perfect) / 300)


def test_record_takes_the_best_answer_for_the_likeliest_entity() -> None:
    example = Example(
        task="", input="", output="Ms Hu", choices=("Ada", "Ms Hu"), gold=1, references=("Ms Hu", "Hu", "Ms Ada King")
    )
    ada = [Response(loglikelihood=-2.0, tokens=4), Response(loglikelihood=-1.5, tokens=2)]  # -0.5 and -0.75 a token
    assert metrics.get("record_em").statistics(example, ada) == (0.0,)
    assert metrics.get("record_f1").statistics(example, ada) == (0.5,)
    assert metrics.get("record_em").statistics(example, ada[::-1]) == (1.0,)


def test_one_of_several_right_options_is_right() -> None:
    example = Example(task="", input="", output="x", choices=("a", "b", "c"), golds=(1, 2))
    likely = [Response(loglikelihood=value, tokens=1) for value in (-3.0, -2.0, -1.0)]
    assert metrics.get("acc").statistics(example, likely) == (1.0,)
    assert metrics.get("acc").statistics(example, likely[::-1]) == (0.0,)
    assert metrics.get("acc").chance(example) == 2 / 3
