"""CNN/Daily Mail: what a system without a model would answer, and which sentences count."""

from __future__ import annotations

from evalkit.harness import catalog
from evalkit.text.sentences import split_sentences
from evalkit.types import Document, Example

TASK = catalog.bundled()["cnn_dailymail"]
ARTICLE = "One ran. Two sat. Three fell. Four sang. Five slept. Six woke. Seven ate."


def _example(article: str) -> Example:
    return TASK.to_example(Document(id="0", row={"id": "0", "article": article, "highlights": "One ran .\nTwo sat ."}))


def test_lead3_is_the_first_three_sentences() -> None:
    assert TASK.baselines["lead3"](_example(ARTICLE), []) == "One ran. Two sat. Three fell."


def test_random3_is_three_sentences_in_their_order_and_the_same_each_time() -> None:
    picks = [split_sentences(TASK.baselines["random3"](_example(ARTICLE), [])) for _ in range(2)]
    assert picks[0] == picks[1]
    places = [split_sentences(ARTICLE).index(sentence) for sentence in picks[0]]
    assert len(places) == 3 and places == sorted(set(places))
    others = {TASK.baselines["random3"](_example(f"{ARTICLE} Nr {i} came."), []) for i in range(20)}
    assert len(others) > 5  # another article, another draw


def test_random3_of_a_short_article_is_all_of_it() -> None:
    assert TASK.baselines["random3"](_example("One ran. Two sat."), []) == "One ran. Two sat."


def test_three_generated_sentences_count() -> None:
    assert TASK.protocols["gpt2"].cleanup(" One ran. Two\nsat. Three fell.") == "One ran. Two\nsat."
