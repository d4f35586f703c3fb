"""Prompts of a task file: description, shots and query put together as lm-evaluation-harness 0.4.13 does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.data.rows import whole
from evalkit.errors import DataError
from evalkit.lm_eval.tasks.fields import Fields, join, places, touching_space
from evalkit.lm_eval.tasks.metriclist import names
from evalkit.lm_eval.tasks.taskfile import TaskFile

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Prompts:
    """Writes a task's prompts.

    several_inputs: the options are in the contexts, and the target is scored after each (winogrande).
    several_targets: a document has a list of right answers. As in lm-eval, the first document decides both.
    """

    file: TaskFile
    fields: Fields
    several_inputs: bool
    several_targets: bool

    @classmethod
    def of(cls, file: TaskFile, fields: Fields, rows: Sequence[Row]) -> Prompts:
        """Decide by the first document that has a target."""
        first = next((row for row in rows if _has_target(fields, row)), rows[0])
        target, query = fields.target(first), fields.text(first)
        return cls(
            file,
            fields,
            several_inputs=file.doc_to_choice is not None and not isinstance(query, str) and whole(query) is not None,
            several_targets=isinstance(target, list) and bool(target),
        )

    def solved(self, row: Row) -> bool:
        """Whether a document of the pool can be a shot: it has an answer, which is one of its choices if there are any.

        Where the file words shots differently, or scores by its own code, a text need not be one of the choices.
        """
        shots, file = self.file.shots, self.file
        try:
            answer = self.fields.target(row, shots.doc_to_target)
            if shots.doc_to_choice is not None:
                choices = self.fields.choices(row, shots.doc_to_choice)
                answer = self.fields.text(row, shots.doc_to_text) if self.several_inputs else answer
                same = (shots.doc_to_target, shots.doc_to_choice) == (file.doc_to_target, file.doc_to_choice)
                if (same and file.process_results is None) or not isinstance(answer, str):
                    places(answer, choices)
        except DataError:
            return False
        return answer is not None

    def shot(self, row: Row) -> str:
        """Write a solved document: query, delimiter, answer and the delimiter between shots."""
        style = self.file.shots
        query: Any = self.fields.text(row, style.doc_to_text)
        choices = self.fields.choices(row, style.doc_to_choice) if style.doc_to_choice is not None else None
        answer = self.fields.target(row, style.doc_to_target)
        prefix = self.fields.prefix(row, style.gen_prefix)
        if self.several_inputs:
            if choices is None:
                raise DataError(
                    f"{self.file.path}: fewshot_config.doc_to_choice is missing; its inputs are the choices"
                )
            query, choices = choices[places(query, choices)[0]], None
        question = self._query(query)
        if answer is None or answer == "":
            return question + (style.target_delimiter + prefix if prefix and self._apart(question, prefix) else prefix)
        delimiter = style.target_delimiter if not prefix or self._apart(question, prefix) else ""
        return (
            question + delimiter + join(prefix, self._answer(answer, choices), delimiter=" ") + style.fewshot_delimiter
        )

    def contexts(self, row: Row, shots: Sequence[str]) -> list[str]:
        """Write the text before the scored or generated one: one context, or one for each of several inputs."""
        head = self.fields.description(row) + "".join(shots)
        prefix = self.fields.prefix(row)
        if self.several_inputs:
            return [head + choice + prefix for choice in self.fields.choices(row)]
        query = self._query(self.fields.text(row))
        apart = self.file.target_delimiter if prefix and self._apart(query, prefix) else ""
        return [head + query + apart + prefix]

    def requests(self, row: Row, shots: Sequence[str]) -> list[tuple[str, str]]:
        """Return (context, continuation) of every request of a document, in lm-eval's order."""
        kind = self.file.output_type
        if kind == "loglikelihood_rolling":
            return [("", self._text_target(row))]
        contexts = self.contexts(row, shots)
        if kind == "generate_until":
            return [(contexts[0], "")]
        if kind == "loglikelihood":
            return [(contexts[0], self._text_target(row))]
        delimiter, choices = self.file.target_delimiter, self.fields.choices(row)
        if self.several_inputs:
            requests = [(context, f"{delimiter}{self.fields.target(row)}") for context in contexts]
        else:
            requests = [(contexts[0], f"{delimiter}{choice}") for choice in choices]
        if "acc_mutual_info" in names(self.file.metrics):
            requests += [("", f"{delimiter}{choice}") for choice in choices]
        return requests

    def _query(self, query: Any) -> str:
        if not isinstance(query, str):
            raise DataError(f"{self.file.path}: doc_to_text: expected a text, found {query!r}")
        return query

    def _text_target(self, row: Row) -> str:
        target = self.fields.target(row)
        if not isinstance(target, str):
            raise DataError(f"{self.file.path}: doc_to_target: expected a text to score, found {target!r}")
        return target

    def _answer(self, answer: Any, choices: Sequence[str] | None) -> str:
        """Write an answer: the first of several; for an index, the choice.

        lm-eval itself fails on several indices (webqs with shots).
        """
        first: Any = answer[0] if isinstance(answer, list) and answer else answer
        text = choices[places(first, choices)[0]] if choices and not isinstance(first, str) else first
        if not isinstance(text, str):
            raise DataError(f"{self.file.path}: doc_to_target: a shot's answer is not text but {answer!r}")
        return text

    @staticmethod
    def _apart(query: str, prefix: str) -> bool:
        """Whether a delimiter is needed between the query and the beginning of the answer."""
        return query != "" and not touching_space(query, prefix)


def _has_target(fields: Fields, row: Row) -> bool:
    try:
        return fields.target(row) is not None
    except DataError:
        return False
