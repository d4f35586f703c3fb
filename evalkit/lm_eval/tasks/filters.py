"""`filter_list`: steps applied to a model's answers before they are scored.

An answer is a text, or for likelihoods a pair (log-likelihood, is greedy). Each request of a document has a list of
answers, one per repeat; a step changes these lists, or picks one answer from each.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from evalkit.errors import DataError
from evalkit.lm_eval.tasks.functions import FunctionRef
from evalkit.sandbox import child

Answers = Sequence[Any]
Row = Mapping[str, Any]

_NUMBER = r"#### (\-?[0-9\.\,]+)"


@dataclass(frozen=True)
class Step:
    """One step: its name, or a class of the task's own, and its options."""

    function: Any
    options: Mapping[str, Any] = field(default_factory=dict)


TAKE_FIRST = {"none": (Step("take_first"),)}


def parse(value: Any, path: Path) -> Mapping[str, Sequence[Step]]:
    """Read filter_list: name -> steps. Raises DataError for an unknown step or option."""
    if value is None:
        return TAKE_FIRST
    if not isinstance(value, list) or not all(isinstance(item, dict) and "name" in item for item in value):
        raise DataError(f"{path}: filter_list: expected entries with the keys name and filter")
    filters: dict[str, Sequence[Step]] = {}
    for item in value:
        steps = item.get("filter")
        if not isinstance(steps, list) or not all(isinstance(step, dict) and "function" in step for step in steps):
            raise DataError(f"{path}: filter_list: {item['name']}: expected steps with the key function")
        filters[str(item["name"])] = tuple(_step(step, f"{path}: filter_list: {item['name']}") for step in steps)
    return filters


def _step(raw: Mapping[str, Any], where: str) -> Step:
    step = Step(raw["function"], {key: value for key, value in raw.items() if key != "function"})
    if isinstance(step.function, FunctionRef) or callable(step.function):
        return step
    if step.function not in _STEPS:
        raise DataError(f"{where}: filter {step.function!r} is not known (allowed: {', '.join(_STEPS)})")
    allowed = _OPTIONS.get(step.function, ())
    if strange := sorted(step.options.keys() - {*allowed}):
        raise DataError(
            f"{where}: {step.function} has no option {strange[0]!r} (it has: {', '.join(allowed) or 'none'})"
        )
    if "regex_pattern" in step.options:
        try:
            re.compile(step.options["regex_pattern"])
        except (re.error, TypeError, RecursionError, OverflowError) as error:
            raise DataError(f"{where}: regex_pattern: not a valid regular expression ({error})") from None
    if step.function == "custom":
        function = step.options.get("filter_fn")
        if not (isinstance(function, FunctionRef) or callable(function)):
            raise DataError(f"{where}: custom: expected filter_fn, a !function")
    return step


def apply(steps: Sequence[Step], answers: Sequence[Answers], row: Row) -> list[Any]:
    """Apply a chain of steps to the answers of one document's requests; return the result for each request."""
    results: Any = list(answers)
    for step in steps:
        if callable(step.function):
            results = list(step.function(**step.options).apply(results, [row] * len(results)))
        else:
            results = list(_STEPS[step.function](results, row, step.options))
    return list(results)


def _each(change: Callable[[str], Any]) -> Callable[..., list[list[Any]]]:
    """Turn a function of one text into a step."""
    return lambda answers, row, options: [[change(text) for text in texts] for texts in answers]


def _take_k(answers: Sequence[Answers], row: Row, options: Mapping[str, Any]) -> list[Any]:
    count = int(options["k"])
    if len(answers[0]) < count:
        raise DataError(
            f"filter take_first_k needs {count} answers per document, there are {len(answers[0])} (repeats)"
        )
    return [candidates[:count] for candidates in answers]


def _majority(answers: Sequence[Answers], row: Row, options: Mapping[str, Any]) -> list[Any]:
    return [[Counter(candidates).most_common(1)[0][0]] for candidates in answers]


def _map(answers: Sequence[Answers], row: Row, options: Mapping[str, Any]) -> list[Any]:
    table, default = options.get("mapping_dict") or {}, options.get("default_value")
    return [[table.get(text, default) for text in texts] for texts in answers]


def _regex(answers: Sequence[Answers], row: Row, options: Mapping[str, Any]) -> list[Any]:
    pattern, fallback = options.get("regex_pattern", _NUMBER), options.get("fallback", "[invalid]")
    group = options.get("group_select", 0)

    def extract(matches: Sequence[Any]) -> str:
        if not matches:
            return str(fallback)
        match = matches[group]
        if isinstance(match, tuple):
            match = next((part for part in match if part), fallback)
        return str(match.strip())

    return [[extract(matches) for matches in child.find_all(pattern, _texts(texts))] for texts in answers]


def _texts(answers: Sequence[Any]) -> list[str]:
    return [answer if isinstance(answer, str) else "" for answer in answers]


def _tags(answers: Sequence[Answers], row: Row, options: Mapping[str, Any]) -> list[Any]:
    """Extract the tags from a list of (word, tag) pairs in text form."""
    fallback = options.get("fallback") or ["invalid"]

    def extract(text: Any) -> Any:
        pairs = re.findall(r"\('([^']*)', '([^']*)'\)", text) if isinstance(text, str) else text
        return [tag for _, tag in pairs] or fallback

    return [[extract(text) for text in texts] for texts in answers]


@cache
def _punctuation() -> Mapping[int, None]:
    return {i: None for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P")}


def _choice_regex(answers: Sequence[Answers], row: Row, options: Mapping[str, Any]) -> list[Any]:
    """Find the letter of the answer: by the pattern, then by the text of an option, then by ": A"."""
    pattern, group = options.get("regex_pattern", _NUMBER), options.get("group_select", 0)

    def plain(text: str) -> str:
        for ignored in options.get("regexes_to_ignore") or ():
            [text] = child.remove_all(ignored, [text])
        text = text.lower() if options.get("ignore_case") else text
        return text.translate(_punctuation()) if options.get("ignore_punctuation") else text

    letters = [chr(ord("A") + i) for i in range(len(row["choices"]))]
    options_plain = [plain(choice.strip()) for choice in row["choices"]]
    by_text = {text: f"({letter})" for text, letter in zip(options_plain, letters, strict=True)}
    by_letter = {letter: f"({letter})" for letter in letters}
    # The longest first, so that an option which is a prefix of another does not match in its place.
    texts = re.compile("|".join(sorted(map(re.escape, options_plain), key=len, reverse=True)))
    behind_colon = re.compile(rf":[\s]*({'|'.join(letters)})")

    def chosen(matches: Sequence[Any], names: Mapping[str, str]) -> str:
        if not matches:
            return ""
        match = matches[group]
        match = next((part for part in match if part), "") if isinstance(match, tuple) else match
        return names.get(match.strip(), match.strip())

    def extract(text: Any) -> str:
        text = text if isinstance(text, str) else ""
        letter = chosen(child.find_all(pattern, [text])[0], {}) or chosen(texts.findall(plain(text)), by_text)
        return letter or chosen(behind_colon.findall(text), by_letter) or str(options.get("fallback", "[invalid]"))

    return [[extract(text) for text in some] for some in answers]


# Names of entities as models write them -> labels of the data (MasakhaNER), in the order of replacement.
_LABELS = {
    "person": "PER", "location": "LOC", "organization": "ORG", "counties": "LOC", "places": "LOC", "people": "PER",
    "persons": "PER", "company": "ORG", "country": "LOC", "continent": "LOC", "time": "DATE", "date": "DATE",
    "per": "PER", "loc": "LOC", "org": "ORG",
}  # fmt: skip


def _spans(text: str) -> str:
    """Write named entities as `label: value $ label: value`, without those that are "none"."""
    text = text.lower()
    for name, label in _LABELS.items():
        text = re.sub(rf"\b{name}\s*:", f"{label}:", text)
    text = "$".join(text.split("$$")).rstrip("$").replace("\n", "$").strip()
    spans = []
    for label, values in re.findall(r"\b(PER|LOC|ORG|DATE):\s*([^$]+)", text):
        entities = [entity.strip() for entity in values.split(",")]
        spans += [f"{label.lower()}: {entity}" for entity in entities if entity.lower() != "none"]
    return " $ ".join(spans)


_STEPS: Mapping[str, Callable[[Sequence[Answers], Row, Mapping[str, Any]], Any]] = {
    "take_first": lambda answers, row, options: [some[0] for some in answers],
    "take_first_k": _take_k,
    "majority_vote": _majority,
    "remove_whitespace": _each(lambda text: text.strip()),
    "lowercase": _each(lambda text: text.lower()),
    "uppercase": _each(lambda text: text.upper()),
    "map": _map,
    "regex": _regex,
    "regex_pos": _tags,
    "multi_choice_regex": _choice_regex,
    "format_span": _each(_spans),
    "custom": lambda answers, row, options: options["filter_fn"](answers, [row] * len(answers)),
}
_EXTRACTION = ("regex_pattern", "group_select", "fallback")
_OPTIONS: Mapping[str, Sequence[str]] = {
    "take_first_k": ("k",),
    "map": ("mapping_dict", "default_value"),
    "regex": _EXTRACTION,
    "regex_pos": _EXTRACTION,
    "multi_choice_regex": (*_EXTRACTION, "ignore_case", "ignore_punctuation", "regexes_to_ignore"),
    "custom": ("filter_fn",),
}
