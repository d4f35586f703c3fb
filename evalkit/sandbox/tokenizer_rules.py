"""The rules of a stranger's tokenizer.json: how far they can lengthen a text, and whether their patterns end.

Rules of the usual tokenizers are bounded by what they are. A regular expression is tried on texts that are hard for it,
in the child process, before it meets any other text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.errors import CheckpointError

PARTS = ("normalizer", "pre_tokenizer", "decoder")

# How many times as long the rules may make a text, and how many characters one may put before or behind it.
GROWTH, ADDED = 1_000, 1_000
# Characters of a probe: enough for a pattern that goes back without end to reach the limit of its library.
_PROBE = 256
# Characters that one may become: of the compatibility forms (U+FDFA), of the canonical ones, of other rules.
_FORMS = {"NFKC": 18, "NFKD": 18, "NFD": 4, "NFC": 3, "Lowercase": 3, "BertNormalizer": 12, "Nmt": 1}
_LONGER = {"ByteLevel": 4, "Metaspace": 2, "WordPiece": 2, "BPEDecoder": 2}
# A group that holds an unbounded repetition and is itself repeated without bound.
_NESTED = re.compile(r"\((?:[^()\\]|\\.)*[+*](?:[^()\\]|\\.)*\)(?:[+*]|\{\d*,\})")
_ALPHABET = ("a", "A", "1", " ", "\n", "\t", "\u00e9", "\u8bcd", "\u0301", "\U0001f642", "!", "'", "_")
_ENDS = ("", "\0", "!", "\n", "\n!")


def check(raw: Any, place: str) -> None:
    """Check the rules of a tokenizer.json that has been read; `place` names it in errors.

    Raises CheckpointError for rules that can make a text more than GROWTH times as long, or whose patterns take more
    time than any text needs.
    """
    if not isinstance(raw, dict):
        return
    rules = {part: raw.get(part) for part in PARTS}
    for part, rule in rules.items():
        _check_growth(list(_steps(rule)), f"{place}: the {part}")
    patterns = sorted({pattern for step in _steps(list(rules.values())) if (pattern := _regex(step))})
    for pattern in patterns:
        if _NESTED.search(pattern):
            raise CheckpointError(f"{place}: the pattern {pattern[:200]!r} repeats a repetition; it may never end")
    if patterns:
        _try(rules, patterns, place)


def _steps(rule: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the rules of a sequence, of any depth, in their order."""
    waiting = [rule]
    while waiting:
        step = waiting.pop()
        if isinstance(step, list):
            waiting += reversed(step)
        elif isinstance(step, dict):
            inner = [value for value in step.values() if isinstance(value, list)]
            if step.get("type") == "Sequence":
                waiting += reversed(inner)
            else:
                yield step


def _regex(step: Mapping[str, Any]) -> str:
    pattern = step.get("pattern")
    found = pattern.get("Regex") if isinstance(pattern, dict) else None
    return found if isinstance(found, str) else ""


def _check_growth(steps: list[Mapping[str, Any]], what: str) -> None:
    """Raise CheckpointError where the steps, one after another, can make a text too long."""
    growth = form = 1
    for step in steps:
        kind = str(step.get("type"))
        added = step.get("prepend") if kind == "Prepend" else step.get("content") if kind == "Strip" else ""
        if isinstance(added, str) and len(added) > ADDED:
            raise CheckpointError(f"{what} puts {len(added):,} characters before every text (at most {ADDED:,})")
        # Forms that follow each other find each other's work done: they do not add up.
        own = _of_form(step, kind)
        longer = _of_replacement(step) if kind == "Replace" else _LONGER.get(kind, 1)
        form = max(form, own)
        if longer > 1:
            growth, form = growth * longer * form, 1
        if growth * form > GROWTH:
            raise CheckpointError(f"{what} can make a text more than {GROWTH:,} times as long")


def _of_form(step: Mapping[str, Any], kind: str) -> int:
    """Return how many characters a form of Unicode makes of one, at most."""
    if kind != "Precompiled":
        return _FORMS.get(kind, 1)
    try:
        blob = base64.b64decode(step.get("precompiled_charsmap") or "")
    except (binascii.Error, TypeError, ValueError):
        return 1
    texts = blob[4 + int.from_bytes(blob[:4], "little") :].split(b"\0")
    return max((len(text.decode("utf-8", "replace")) for text in texts), default=1) or 1


def _of_replacement(step: Mapping[str, Any]) -> int:
    """Return how many times as long a replacement makes a text, at most."""
    content, pattern = step.get("content"), step.get("pattern")
    text = pattern.get("String") if isinstance(pattern, dict) else None
    length = len(content) if isinstance(content, str) else 1
    if isinstance(text, str) and text:
        return -(-length // len(text)) or 1
    return length + 1  # what a pattern finds may be empty


def _try(rules: Mapping[str, Any], patterns: list[str], place: str) -> None:
    """Apply the rules to the probes in the child process. Raises CheckpointError for what takes too long."""
    probes = list(dict.fromkeys(probe for pattern in patterns for probe in _probes(pattern)))
    # Without a vocabulary: only the rules are tried, and nothing large is read.
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    source = json.dumps({"version": "1.0", "added_tokens": [], **rules, "post_processor": None, "model": empty})
    from evalkit.sandbox.child import ask  # with Jinja, which most tokenizers need not wait for

    [found] = ask("tokenize", source, [probes])
    if isinstance(found, Exception):
        raise CheckpointError(f"{place}: its patterns may never end: for texts that are hard for them {found}")
    if found:
        text, reason = found
        raise CheckpointError(f"{place}: its patterns may never end: for {text[:20]!r} and so on {reason[:200]}")


def _probes(pattern: str) -> Iterator[str]:
    """Yield texts that make a pattern go back: repetitions of what stands in it and of usual characters, and an end."""
    plain = re.sub(r"\\[pP]\{[^}]*\}|\(\?[a-zA-Z:=!<]+|\\[a-zA-Z]", " ", pattern)
    words = re.findall(r"[^\W_]+", plain)[:20]
    letters = list(dict.fromkeys(sign for sign in plain if sign not in "()[]{}|*+?^$.\\"))[:40]
    for unit in dict.fromkeys((*_ALPHABET, *letters, *words)):
        for end in _ENDS:
            yield unit * (_PROBE // len(unit) or 1) + end
