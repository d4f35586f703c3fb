"""CNN/Daily Mail: what a system without a model would answer, and which sentences count."""

from __future__ import annotations

from pathlib import Path

from evalkit.data.sources import DataPaths
from evalkit.harness import catalog
from evalkit.harness.prompts import pairs
from evalkit.harness.run import RunSettings, load
from evalkit.text.sentences import split_sentences
from evalkit.types import Document, Example, Response

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


def test_the_control_takes_the_hint_alone_away() -> None:
    example = _example(ARTICLE)
    protocol = TASK.protocols["gpt2"]
    assert pairs(protocol, example, []) == [(f"{ARTICLE}\nTL;DR:", "")]
    assert pairs(protocol, TASK.controls["no_hint"](example), []) == [(f"{ARTICLE}\n", "")]


def test_lead3_is_near_the_published_figures(data_dir: Path) -> None:
    """GPT-2's table 4 has ROUGE-1 40.38, ROUGE-2 17.66 and R-L 36.62 for lead-3 on the whole test set.

    These are 198 of its 11,490 articles, so a few points either way are chance.
    """
    loaded = load(TASK, RunSettings(), DataPaths(root=data_dir))
    for name, published, within in (("rouge1", 40.38, 4), ("rouge2", 17.66, 4), ("rougeLsum", 36.62, 4)):
        metric = loaded.metrics[name]
        scores = [
            metric.statistics(example, [Response(text=TASK.baselines["lead3"](example, []))])[0]
            for _, example in loaded.documents
        ]
        assert abs(100 * sum(scores) / len(scores) - published) < within


XSUM = catalog.bundled()["xsum"]


def test_xsum_asks_for_one_sentence() -> None:
    row = {"id": "1", "document": " One ran. Two sat. ", "summary": "They did. "}
    example = XSUM.to_example(Document(id="1", row=row))
    assert pairs(XSUM.protocols["plain"], example, []) == [("One ran. Two sat.\nTL;DR:", "")]
    assert (example.output, XSUM.baselines["lead1"](example, [])) == ("They did.", "One ran.")
    assert XSUM.protocols["plain"].cleanup(" They did. Really.") == "They did."
