"""What CoQA's task file imports from transformers, which no longer has it since its version 5.

Both programs are given this in its place where it is missing. Needs nothing but Python.
"""

from __future__ import annotations

import importlib
import re
import string
import sys
import types
from collections import Counter

_NAME = "transformers.data.metrics.squad_metrics"


def install() -> None:
    """Put this module where the task file looks for it, unless something is there."""
    try:
        importlib.import_module(_NAME)
    except ImportError:
        package, _, name = _NAME.rpartition(".")
        sys.modules[package] = types.ModuleType(package)
        sys.modules[_NAME] = sys.modules[__name__]
        setattr(sys.modules[package], name, sys.modules[__name__])


def compute_exact(gold: str, answer: str) -> int:
    """Whether two answers are the same but for case, punctuation, articles and white space."""
    return int(_words(gold) == _words(answer))


def compute_f1(gold: str, answer: str) -> float:
    """F1 of the words of two answers; without words, whether both have none."""
    wanted, said = _words(gold), _words(answer)
    if not wanted or not said:
        return float(wanted == said)
    shared = sum((Counter(wanted) & Counter(said)).values())
    return 2 * shared / (len(wanted) + len(said))


def _words(text: str) -> list[str]:
    bare = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()
