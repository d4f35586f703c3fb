"""What the GPT-2 and GPT-3 papers measured, to stand beside a run of the same task, protocol, shots and size.

results.csv has a row per published value; each says where it stands (paper, table or section, split). Its columns:

task, protocol, shots  as evalkit names them; shots "some": the paper used examples and does not say how many.
                       What GPT-3 scored as plain text is scored as GPT-2 did: protocol gpt2 (LAMBADA, PTB);
                       its question without examples, for translation, is the protocol gpt3-zero
model                  the size: 117M ... 1542M (Radford et al. 2019), gpt3-125M ... gpt3-175B (Brown et al. 2020)
source                 as in Result: model, baseline:NAME (then without a model) or control:NAME
metric                 the metric of the value; several with blanks between where they are the same thing, or where the
                       paper does not say which it is
value, where, note     as printed; its place; what is known against it

GPT-1's zero-shot figure (Radford et al. 2018, figure 2) has no values, only lines between a guess and the best system
of its day, so that nothing of it is here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from evalkit.types import Result

# The names of models that are the same weights.
_SIZES = MappingProxyType({"gpt2": "117M", "gpt2-medium": "345M", "gpt2-large": "762M", "gpt2-xl": "1542M"})

_SOME = "some"

# task, protocol, shots, model, source, metric
_Key = tuple[str, str, str, str, str, str]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A paper's value, on the scale of ours, and where it stands."""

    value: float
    where: str
    note: str = ""


@cache
def published() -> Mapping[_Key, Published]:
    """Return every value by task, protocol, shots, model, source and metric."""
    table = {}
    with (resources.files("evalkit.papers") / "results.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found = Published(value=float(row["value"]), where=row["where"], note=row["note"])
            for metric in row["metric"].split():
                key = (row["task"], row["protocol"], row["shots"], row["model"], row["source"], metric)
                assert key not in table, f"results.csv has {key} twice"
                table[key] = found
    return MappingProxyType(table)


def beside(result: Result) -> Published | None:
    """Return what the paper has for a result's task, protocol, shots, size and metric; None where nothing matches.

    Only exact matches: no other size, no level, no other wording than the protocol's own.
    """
    if result.level or result.template:
        return None
    name = result.model.removeprefix("hf:").removeprefix("openai-community/")
    model = "" if result.source.startswith("baseline:") else _SIZES.get(name, name)
    for shots in (str(result.shots), _SOME) if result.shots else (str(result.shots),):
        key = (result.task, result.protocol, shots, model, result.source, result.metric)
        if found := published().get(key):
            return found
    return None
