"""Signature: everything that a value depends on, in one line, as sacrebleu's scores have it (Post 2018).

Written and read only here: `task:lambada.v1|protocol:gpt2|shots:0|...|evalkit:0.1.0|RULE`, where RULE is the
metric's own part (its normalisation, tokenizer, version).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# The last field before the metric's rule.
_LAST = "evalkit"
_FIELD = re.compile(r"((?:[^|\\]|\\.)*)(?:\||$)", re.DOTALL)


@dataclass(frozen=True)
class Signature:
    """fields: name -> value, in the order in which they are written. rule: the metric's own part."""

    fields: Mapping[str, str]
    rule: str = ""

    def __str__(self) -> str:
        written = "|".join(f"{name}:{_escaped(value)}" for name, value in self.fields.items())
        return f"{written}|{self.rule}" if self.rule else written

    @property
    def of_all(self) -> int:
        """Of an estimate from a sample: the documents whose value it estimates; 0 otherwise."""
        return int(self.fields.get("sample", "/0@").partition("/")[2].partition("@")[0])

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read what str() wrote; from any other text, the parts that look like it."""
        fields: dict[str, str] = {}
        place = 0
        while place < len(text) and _LAST not in fields and (part := _FIELD.match(text, place)):
            name, _, value = part.group(1).partition(":")
            fields[name] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
            place = part.end()
        return cls(fields, text[place:])


def _escaped(value: str) -> str:
    """Keep a model's or a template's name from ending its field."""
    return re.sub(r"[\\|]", r"\\\g<0>", value)
