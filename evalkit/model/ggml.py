"""The tokenizer of a GGUF file: byte-level BPE ("gpt2"), or sentencepiece's BPE ("llama").

How text is cut before the merges is not in the file, only a name for it; those of the models that our network can be
are here, with the rules that llama.cpp has for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.errors import CheckpointError
from evalkit.model import bpe
from evalkit.model.settings import NotNativeError
from evalkit.tokenizer import Tokenizer

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LETTERS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3, _QWEN2, _DIGIT = _LETTERS % r"\p{N}{1,3}", _LETTERS % r"\p{N}", r"\p{N}"
# tokenizer.ggml.pre -> the patterns, one after another.
_PATTERNS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("gpt-2", "gpt2", "olmo", "mpt", "jais", "phi-2"), (_GPT2,)),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell", "exaone", "command-r"), (_DIGIT, _GPT2)),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3"), (_LLAMA3,)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez"), (_QWEN2,)),
}
_KEY = "tokenizer.ggml."
# Values of tokenizer.ggml.token_type.
_CONTROL, _USER_DEFINED = 3, 4
_SPACE = "▁"


def tokenizer(fields: Mapping[str, Any], *, place: str) -> Tokenizer:
    """Build the tokenizer. fields: all of the file's; place: the file, for errors.

    Raises NotNativeError for another kind, CheckpointError for a damaged one.
    """
    own = {key.removeprefix(_KEY): value for key, value in fields.items() if key.startswith(_KEY)}
    kind = own.get("model")
    if kind is None:
        raise CheckpointError(f"{place}: no tokenizer in the file (tokenizer.ggml.model)")
    if kind not in ("gpt2", "llama"):
        raise NotNativeError(
            f"{place}: tokenizer.ggml.model {kind!r}: evalkit reads gpt2, llama; give another --tokenizer"
        )
    tokens, types = own.get("tokens"), own.get("token_type", [])
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise CheckpointError(f"{place}: tokenizer.ggml.tokens must be a list of texts")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    special = [token for token, kind in zip(tokens, types, strict=False) if kind == _CONTROL]
    added = [token for token, kind in zip(tokens, types, strict=False) if kind == _USER_DEFINED]
    end, begin = (_named(own, name, tokens, place) for name in ("eos_token_id", "bos_token_id"))
    if end is None:
        raise CheckpointError(f"{place}: tokenizer.ggml.eos_token_id is missing; it names the token that ends a text")
    first = begin if own.get("add_bos_token", kind == "llama") else None
    make = _byte_level if kind == "gpt2" else _sentencepiece

    def rules() -> Mapping[str, Any]:
        return make(own, vocabulary, special=[*special, end], begin=first, added=added, place=place)

    return bpe.built(rules, place=place, end_of_text=end, begin=begin)


def _named(own: Mapping[str, Any], key: str, tokens: Sequence[str], place: str) -> str | None:
    """Return the token that a field names by its id."""
    index = own.get(key)
    if index is None:
        return None
    if not isinstance(index, int) or not 0 <= index < len(tokens):
        raise CheckpointError(f"{place}: {_KEY}{key} is {index!r}; it must be an id of the {len(tokens)} tokens")
    return tokens[index]


def _byte_level(
    own: Mapping[str, Any],
    vocabulary: Mapping[str, int],
    *,
    special: Sequence[str],
    begin: str | None,
    added: Sequence[str],
    place: str,
) -> dict[str, Any]:
    rule = own.get("pre", "gpt-2")
    if rule not in _PATTERNS:
        raise NotNativeError(
            f"{place}: tokenizer.ggml.pre {rule!r}: evalkit knows {', '.join(_PATTERNS)}; give another --tokenizer"
        )
    patterns = _PATTERNS[rule]
    merges = [(first, second) for first, _, second in (merge.partition(" ") for merge in own.get("merges", []))]
    return bpe.raw(
        vocabulary, merges, special=special, begin=begin, added=added, pre_tokenizer=bpe.split_bytes(*patterns),
        # Qwen's own tokenizer composes characters.
        normalizer={"type": "NFC"} if patterns == (_QWEN2,) else None,
        model={"ignore_merges": patterns == (_LLAMA3,)},
    )  # fmt: skip


def _sentencepiece(
    own: Mapping[str, Any],
    vocabulary: Mapping[str, int],
    *,
    special: Sequence[str],
    begin: str | None,
    added: Sequence[str],
    place: str,
) -> dict[str, Any]:
    scores = own.get("scores")
    if not isinstance(scores, list) or len(scores) != len(vocabulary):
        raise CheckpointError(f"{place}: tokenizer.ggml.scores must be a list of {len(vocabulary)} numbers")
    prefix = own.get("add_space_prefix", True)
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    before = [{"type": "Prepend", "prepend": _SPACE}] if prefix else []
    after = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []
    back = {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "}
    decoders = [back, {"type": "ByteFallback"}, {"type": "Fuse"}, *after]
    unknown = next((token for token, index in vocabulary.items() if index == own.get("unknown_token_id", 0)), None)
    order = {token: -scores[index] for token, index in vocabulary.items() if token not in {*special, *added}}
    return bpe.raw(
        vocabulary, bpe.merges_of(order), special=special, begin=begin, added=added,
        normalizer={"type": "Sequence", "normalizers": [*before, spaces]},
        decoder={"type": "Sequence", "decoders": decoders},
        model={"unk_token": unknown, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False},
    )  # fmt: skip
