"""The prompt that `evalkit tasks NAME` shows: its parts are those of the protocol, and together the whole context."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.data.sources import DataPaths
from evalkit.harness.preview import prompt
from evalkit.harness.tabletask import task_from_rows

ROWS = [{"q": f"Q: what is {i}", "a": f"Q{i}"} for i in range(5)]


@pytest.mark.parametrize("description", ["", "Answer.", "Q: is a question.\nA: is its answer."])
@pytest.mark.parametrize("shots", [0, 1, 3])
def test_description_shots_and_prompt_stand_apart(description: str, shots: int) -> None:
    task = task_from_rows("t", ROWS, query="{q}\nA:", answer="a", description=description)
    separator = task.protocols["plain"].separator
    shown = prompt(task, protocol=None, shots=shots, data=DataPaths())
    head, solved, query = shown.parts
    asked = f"Q: what is {shown.target.removeprefix(' Q')}\nA:"
    assert query == asked if shots else query.endswith(asked)
    assert solved.count("A: Q") == shots and solved.endswith(separator if shots else "")
    if shots:
        assert head == (description + separator if description else "")
    assert shown.context == head + solved + query


def test_a_text_without_a_context_is_all_answer() -> None:
    task = task_from_rows("t", ROWS, query="{q}", answer="a")
    rolling = replace(task.protocols["plain"], kind="rolling", metrics=("ppl_word",))
    shown = prompt(replace(task, protocols={"plain": rolling}), protocol=None, shots=0, data=DataPaths())
    assert shown.parts == ("", "", "") and shown.target in {row["q"] for row in ROWS}
