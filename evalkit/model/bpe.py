"""Byte-pair encodings that other programs store in ways of their own, rebuilt as tokenizer.json describes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tokenizers

from evalkit.errors import CheckpointError
from evalkit.sandbox import tokenizer_rules
from evalkit.tokenizer import Tokenizer

Rule = dict[str, Any]
BYTE_LEVEL: Rule = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def split(pattern: str) -> Rule:
    """Return the rule that cuts a text at all matches of a pattern."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(*rules: Rule) -> Rule:
    """Return the rule that splits by several rules, one after another."""
    return {"type": "Sequence", "pretokenizers": list(rules)}


def split_bytes(*patterns: str) -> Rule:
    """Return the rule that cuts a text at patterns and writes its bytes as letters."""
    return sequence(*map(split, patterns), {**BYTE_LEVEL, "use_regex": False})


def letters() -> list[str]:
    """Return the letter that stands for each byte in byte-level vocabularies (GPT-2's code)."""
    plain = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) if byte in plain else chr(256 + others.index(byte)) for byte in range(256)]


def merges_of(order: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the merges of a vocabulary that lists none: all pairs that make a token, those of the first tokens first.

    order: the tokens; those with the lowest number are made first. Programs that merge any two neighbours that make a
    token, the first one first (tiktoken, sentencepiece), do the same.
    """
    return [
        (token[:cut], token[cut:])
        for token in sorted(order, key=order.__getitem__)
        for cut in range(1, len(token))
        if token[:cut] in order and token[cut:] in order
    ]


def raw(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    *,
    special: Sequence[str],
    begin: str | None,
    added: Sequence[str] = (),
    pre_tokenizer: Rule | None = None,
    normalizer: Rule | None = None,
    decoder: Rule = BYTE_LEVEL,
    model: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what tokenizer.json says. model: its options.

    special, added: tokens found in a text before it is split. begin: the token put before every text, if there is one.
    """
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": vocabulary[token], "content": token, "special": token in set(special), **flags}
            for token in sorted({*special, *added}, key=vocabulary.__getitem__)
        ],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None if begin is None else _before(begin, vocabulary[begin]),
        "decoder": decoder,
        "model": {"type": "BPE", **model, "vocab": dict(vocabulary), "merges": merges},
    }


def _before(token: str, index: int) -> Rule:
    """Return the rule that puts a token before every text."""
    first, text, pair = {"SpecialToken": {"id": token, "type_id": 0}}, *(_text(name) for name in "AB")
    ids = {token: {"id": token, "ids": [index], "tokens": [token]}}
    return {"type": "TemplateProcessing", "single": [first, text], "pair": [first, text, pair], "special_tokens": ids}


def _text(name: str) -> Rule:
    return {"Sequence": {"id": name, "type_id": 0}}


def built(rules: Callable[[], Mapping[str, Any]], *, place: str, end_of_text: str, begin: str | None) -> Tokenizer:
    """Build a tokenizer. rules: returns what tokenizer.json says; place: where from, for errors.

    end_of_text, begin: as for Tokenizer, which looks whether the rules put `begin` before every text.
    Raises CheckpointError for rules that cannot be, or may never end.
    """
    try:
        said = rules()
        tokenizer_rules.check(said, place)
        backend = tokenizers.Tokenizer.from_str(json.dumps(said))
    except (CheckpointError, KeyboardInterrupt):
        raise
    except BaseException as error:  # the library raises bare Exception, and panics, which are not Exceptions
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{place}: the tokenizer cannot be read: {reason}") from error
    return Tokenizer(backend, end_of_text=end_of_text, begin=begin)
