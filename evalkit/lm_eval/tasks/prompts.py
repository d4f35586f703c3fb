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

    several_inputs: the options stand in the contexts, and the target is scored after each (winogrande).
    several_targets: a document has a list of right answers. Both are told from the first document, as lm-eval does.
    """

    file: TaskFile
    fields: Fields
    several_inputs: bool
    several_targets: bool

    @classmethod
    def of(cls, file: TaskFile, fields: Fields, rows: Sequence[Row]) -> Prompts:
        """Look at the first document that has a target."""
        first = next((row for row in rows if _has_target(fields, row)), rows[0])
        target, asked = fields.target(first), fields.text(first)
        return cls(
            file,
            fields,
            several_inputs=file.doc_to_choice is not None and not isinstance(asked, str) and whole(asked) is not None,
            several_targets=isinstance(target, list) and bool(target),
        )

    def solved(self, row: Row) -> bool:
        """Whether a document of the pool can be a shot: its answer is there, and where it has choices, one of them.

        Where the file has a text of its own for shots, or scores by code of its own, a text need not be a choice.
        """
        own, file = self.file.shots, self.file
        try:
            told = self.fields.target(row, own.doc_to_target)
            if own.doc_to_choice is not None:
                choices = self.fields.choices(row, own.doc_to_choice)
                told = self.fields.text(row, own.doc_to_text) if self.several_inputs else told
                same = (own.doc_to_target, own.doc_to_choice) == (file.doc_to_target, file.doc_to_choice)
                if (same and file.process_results is None) or not isinstance(told, str):
                    places(told, choices)
        except DataError:
            return False
        return told is not None

    def shot(self, row: Row) -> str:
        """Write a solved document: query, delimiter, answer and what stands between shots."""
        own = self.file.shots
        query: Any = self.fields.text(row, own.doc_to_text)
        choices = self.fields.choices(row, own.doc_to_choice) if own.doc_to_choice is not None else None
        answer = self.fields.target(row, own.doc_to_target)
        prefix = self.fields.prefix(row, own.gen_prefix)
        if self.several_inputs:
            if choices is None:
                raise DataError(
                    f"{self.file.path}: fewshot_config.doc_to_choice is missing; its inputs are the choices"
                )
            query, choices = choices[places(query, choices)[0]], None
        asked = self._query(query)
        if answer is None or answer == "":
            return asked + (own.target_delimiter + prefix if prefix and self._apart(asked, prefix) else prefix)
        delimiter = own.target_delimiter if not prefix or self._apart(asked, prefix) else ""
        return asked + delimiter + join(prefix, self._answer(answer, choices), delimiter=" ") + own.fewshot_delimiter

    def contexts(self, row: Row, shots: Sequence[str]) -> list[str]:
        """Write what precedes the scored or generated text: one context, or one for each of several inputs."""
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
            asked = [(context, f"{delimiter}{self.fields.target(row)}") for context in contexts]
        else:
            asked = [(contexts[0], f"{delimiter}{choice}") for choice in choices]
        if "acc_mutual_info" in names(self.file.metrics):
            asked += [("", f"{delimiter}{choice}") for choice in choices]
        return asked

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
        """Write an answer: the first of several, and of a number the choice that it counts.

        lm-eval itself stops at several numbers (webqs with shots).
        """
        first: Any = answer[0] if isinstance(answer, list) and answer else answer
        found = choices[places(first, choices)[0]] if choices and not isinstance(first, str) else first
        if not isinstance(found, str):
            raise DataError(f"{self.file.path}: doc_to_target: a shot's answer is no text but {answer!r}")
        return found

    @staticmethod
    def _apart(query: str, prefix: str) -> bool:
        """Whether a delimiter is needed between the query and the beginning of the answer."""
        return query != "" and not touching_space(query, prefix)


def _has_target(fields: Fields, row: Row) -> bool:
    try:
        return fields.target(row) is not None
    except DataError:
        return False
