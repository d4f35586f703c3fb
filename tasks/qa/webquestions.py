"""WebQuestions: questions from a search engine's suggestions, answered from Freebase.

Paper: Berant et al. 2013, "Semantic Parsing on Freebase from Question-Answer Pairs",
https://aclanthology.org/D13-1160.
Splits: test, 2,032 questions; shots from train (3,778 on the hub and in the release; the 2,834 of trainmodel.json in
brmson/dataset-factoid-webquestions), else from the scored split. The JSON files of that repository (qText, answers)
and those of the release (utterance, targetValue) are both read.
A document is a question, named by its qId or its position. Any one of its answers is accepted.

    document  {"question": "what does jamaican people speak?", "answers": ["Jamaican Creole English Language", ...]}
    prompt    Q: what does jamaican people speak?

              A:
    target     Jamaican Creole English Language
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.data.formats import read_sections
from evalkit.data.sources import BenchmarkSource, Hub, Row, released
from evalkit.harness.examples import open_question
from evalkit.harness.task import Protocol, Task
from evalkit.types import Decoding

# (list (description "Jamaican English") (description Lawyer)): quoted where it has spaces or punctuation.
_DESCRIPTION = re.compile(r'\(description (?:"((?:[^"\\]|\\.)*)"|([^()"]+))\)')


def _row(question: Mapping[str, Any]) -> Iterable[Row]:
    """Give a question of either form the hub's columns, and its id where it has one."""
    if "utterance" not in question:
        yield {"id": question["qId"], "question": question["qText"], "answers": question["answers"]}
        return
    descriptions = _DESCRIPTION.findall(question["targetValue"])
    answers = [re.sub(r"\\(.)", r"\1", quoted) or bare.strip() for quoted, bare in descriptions]
    # Several questions may share a page, so its url does not name a question.
    yield {"url": question["url"], "question": question["utterance"], "answers": answers}


_read = read_sections(
    "WebQuestions", _row, key="", unit="question", expected="qText and answers, or utterance and targetValue"
)

TASKS = (
    Task(
        name="webquestions",
        family="qa",
        title="suggested search queries answered from Freebase (Berant et al. 2013)",
        licence="CC BY 4.0",
        source=BenchmarkSource(
            name="webquestions",
            hub=Hub(id="stanfordnlp/web_questions", splits={"test": "test", "shots": "train"}),
            releases=released(
                "webquestions/webquestions.examples.test.json",
                shots="webquestions/webquestions.examples.train.json",
                read=_read,
            ),
            samples=released("webquestions/test.json", shots="webquestions/trainmodel.json", read=_read),
        ),
        to_example=open_question("answers"),
        protocols={
            "gpt3": Protocol(
                kind="generate",
                query="Q: {input}?\n\nA:",
                metrics=("nq_exact_match", "f1"),
                decoding=Decoding(until=("\n",), max_tokens=24, beams=4),
                paper_shots=64,
            )
        },
    ),
)
