from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.text.sentences import sentence_spans, split_sentences

# A case is written as its sentences; the text is these joined by one blank. Speech of two sentences within
# one pair of quotation marks is split at the inner stop.
CASES = [
    ["One.", "Two!", "Three?", "Four"],
    ["Mr. and Mrs. Smith met Dr. Jones on St. James St. in May."],
    ["J. R. R. Tolkien wrote it.", "He taught at Oxford."],
    ["He was in the U.S. Army until 1945.", "Then he left."],
    ["They moved to the U.S.", "The year was 1920."],
    ["It rose 3.5 percent to $1.25.", "Shares fell 2.0 per cent."],
    ["See example.com for more.", "Or don't."],
    ["He came in at No. 5 on Jan. 3 at 4 p.m. EST.", "She won."],
    ["Acme Inc. said it would pay.", "It never did."],
    ["They sold it to Acme Inc.", "Nobody cared."],
    ["Books, pens, etc. are sold here."],
    ['"Really?" he asked.', '"Yes."', "She left."],
    ["“Stop!” she cried.", "“No,” he said.", "“Never.”"],
    ["He waited... and waited...", "Nothing came."],
    ["What?!", "You heard me."],
    ["(He was late.)", "She was not."],
    ["« Quoi ? » dit-il.", "« Rien ! »", "Il partit."],
    ["« Bonjour. »", "Mme Dupont entra avec M. Martin."],
    ["Il est né le 3 janv. 1920 à Paris.", "Il y vécut."],
    ["It was I.", "Nobody else came."],
    ["1. First of all."],
    ["Police say they have no objections .", "With plenty at stake , some may fear it .", "However , no ."],
    ["' We have not objected , ' he told us .", "' That is it . '", "It passed ."],
    ["`` I am here , '' she said .", "`` Go away . ''", "They went ."],
    ['He said , " Go . "', '" Now ? " she asked .', "They went ."],
    ["all in lower case.", "no capitals at all!", "still three."],
]


@pytest.mark.parametrize("sentences", CASES, ids=lambda case: case[0][:30])
def test_cases(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


def test_a_line_break_ends_a_sentence() -> None:
    assert split_sentences("a title\n\nMr.\nSmith came") == ["a title", "Mr.", "Smith came"]


def test_limit_stops_early() -> None:
    text = "One. Two. Three."
    assert sentence_spans(text, limit=2) == sentence_spans(text)[:2] == [(0, 4), (5, 9)]


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text(alphabet="aB1 .!?…\"'”»«()\n,Mr"))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in sentences)


def test_cnn_dailymail_stops_apart_are_ends(data_dir: Path) -> None:
    path = data_dir / "cnn_dailymail" / "cnndm_test_198.jsonl"
    articles = [json.loads(line)["article"] for line in path.read_text(encoding="utf-8").splitlines()]
    lengths = [len(s.split()) for article in articles for s in split_sentences(article)]
    assert len(articles) == 198
    assert 15 < sum(lengths) / len(lengths) < 30
    # No sentence runs across a stop that stands apart, but for two of the kind ` . ... if i get more `.
    across = [s for article in articles for s in split_sentences(article) if " . " in s.rstrip("'\"’”) ")]
    assert len(across) == 2 and all(" . ... " in s for s in across)
