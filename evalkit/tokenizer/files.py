"""The files of a folder that hold a tokenizer: which there are, what they add to it, and how it is built from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from evalkit.errors import CheckpointError
from evalkit.files import read_json
from evalkit.sandbox import tokenizer_rules

END_OF_TEXT = "<|endoftext|>"
UNKNOWN, END_OF_WORD = "<unk>", "</w>"  # of GPT-1

# A folder has tokenizer.json, or one of these pairs (transformers' names, then OpenAI's for GPT-2 and for GPT-1).
_PAIRS = [
    ("vocab.json", "merges.txt"),
    ("encoder.json", "vocab.bpe"),
    ("encoder_bpe_40000.json", "vocab_40000.bpe"),
]
FILES = ["tokenizer.json", *(name for pair in _PAIRS for name in pair)]
# Files that may add tokens; the last two count only if tokenizer_config.json has no added_tokens_decoder.
CONFIG, SPECIAL_MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
ALL = (*FILES, CONFIG, SPECIAL_MAP, ADDED)
_SPECIAL = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_SPECIAL_LISTS = ("extra_special_tokens", "additional_special_tokens")


class Added:
    """The tokens that a folder's other files add to the vocabulary, as transformers adds them.

    listed: by id, from added_tokens_decoder or added_tokens.json. begin, end: the tokens named as the first and the
    last of a text; begins: whether every text gets the first, where there is no tokenizer.json, which says it by
    itself. Tokens that a setting only names (pad_token) become special if the vocabulary has them; transformers
    gives others an id beyond it, for which no model has a row.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        config = _object(folder / CONFIG)
        self.prefix_space = config.get("add_prefix_space") is True
        self.listed: dict[int, tokenizers.AddedToken] = {}
        if "added_tokens_decoder" in config:
            self._named = _named(config)
            for index, description in config["added_tokens_decoder"].items():
                self.listed[int(index)] = _token(description, special=False)
        else:
            listed, config = config.get(_SPECIAL_LISTS[1]), {**config, **_object(folder / SPECIAL_MAP)}
            self._named = _named(config)
            # As in transformers 5, the older name of a list counts here only in tokenizer_config.json.
            marked = _named({**config, _SPECIAL_LISTS[1]: listed})
            for content, index in _object(folder / ADDED).items():
                special = content in {token.content for token in marked}
                self.listed[int(index)] = tokenizers.AddedToken(content, normalized=not special, special=special)
        self.begin, self.end = (
            _token(config[key], special=True).content if config.get(key) else None for key in ("bos_token", "eos_token")
        )
        self.begins = bool(config.get("add_bos_token"))

    def to(self, backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
        """Add the tokens to a tokenizer. Raises CheckpointError if one would get another id than its file says."""
        backend.add_tokens([self.listed[index] for index in sorted(self.listed)])
        for index, token in self.listed.items():
            if (actual := backend.token_to_id(token.content)) != index:
                raise CheckpointError(
                    f"{self.folder}: the added token {token.content!r} should have the id {index}, but the vocabulary "
                    f"gives it {actual}"
                )
        present = {token.content for token in backend.get_added_tokens_decoder().values()}
        named = [token for token in self._named if backend.token_to_id(token.content) is not None]
        backend.add_tokens([token for token in named if token.content not in present])
        return backend

    def as_json(self) -> list[object]:
        """Return what changes encodings in addition to the tokenizer's own files, as plain values; usually empty."""
        tokens = [(index, token) for index, token in sorted(self.listed.items())]
        rows = [
            [index, token.content, token.lstrip, token.rstrip, token.single_word, token.normalized, token.special]
            for index, token in [*tokens, *((-1, token) for token in self._named)]
        ]
        plain = [[index, END_OF_TEXT, False, False, False, False, True] for index in (-1, 0, 50256)]
        unknown = [[-1, UNKNOWN, False, False, False, False, True], [0, UNKNOWN, False, False, False, False, True]]
        unusual: list[object] = [row for row in rows if row not in plain + unknown]
        if self.begin not in (None, END_OF_TEXT) or (self.begin and self.begins):
            unusual.append({"begin": self.begin, "end": self.end, "begins": self.begins})
        return unusual + [True] * self.prefix_space


def added_tokens(folder: Path) -> list[object]:
    """Return what a folder's files add to its tokenizer, as plain values that change whenever an encoding may change.

    Empty for the usual special tokens. Raises CheckpointError for a broken file.
    """
    try:
        return Added(folder).as_json()
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise CheckpointError(f"the tokenizer in {folder} cannot be read: {error}") from error


def _object(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty if there is no file."""
    value = read_json(path, CheckpointError) if path.is_file() else {}
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def _named(settings: Mapping[str, Any]) -> list[tokenizers.AddedToken]:
    """Return the special tokens that the settings name, each once."""
    descriptions = [settings.get(name) for name in _SPECIAL]
    for name in _SPECIAL_LISTS:
        listed = settings.get(name) or []
        descriptions += listed.values() if isinstance(listed, dict) else listed
    tokens = [_token(description, special=True) for description in descriptions if description]
    return list({token.content: token for token in reversed(tokens)}.values())[::-1]


def _token(description: Any, *, special: bool) -> tokenizers.AddedToken:
    """Return a token described by its text alone or with its flags."""
    if isinstance(description, str):
        return tokenizers.AddedToken(description, special=True)
    flags = {
        name: bool(description[name])
        for name in ("lstrip", "rstrip", "single_word", "normalized")
        if name in description
    }
    return tokenizers.AddedToken(description["content"], special=special or bool(description.get("special")), **flags)


def check_rules(path: Path) -> None:
    """Raise CheckpointError for a tokenizer.json whose rules lengthen texts without bound, or may never end."""
    if path.stat().st_size:
        tokenizer_rules.check(read_json(path, CheckpointError), str(path))


def read(folder: Path) -> tuple[tokenizers.Tokenizer, Added] | None:
    """Read a folder's tokenizer.json, or its pair of files, and what its other files add to it; None without either.

    Raises CheckpointError, or whatever the library raises, for broken ones.
    """
    added = Added(folder)
    single = folder / "tokenizer.json"
    if single.is_file():
        check_rules(single)
        return added.to(tokenizers.Tokenizer.from_file(str(single))), added
    for vocab, merges in ((folder / first, folder / second) for first, second in _PAIRS):
        if vocab.is_file() and merges.is_file():
            return _from_pair(vocab, merges, added), added
    return None


def _from_pair(vocab: Path, merges: Path, added: Added) -> tokenizers.Tokenizer:
    """Build GPT-1's tokenizer if the vocabulary has its unknown token and no end of text, else GPT-2's."""
    names = read_json(vocab, CheckpointError)
    if END_OF_TEXT not in names and UNKNOWN in names:
        bpe = models.BPE.from_file(str(vocab), str(merges), end_of_word_suffix=END_OF_WORD, unk_token=UNKNOWN)
        return _lower_case(bpe, added)
    return byte_level(models.BPE.from_file(str(vocab), str(merges)), added)


def _lower_case(model: models.BPE, added: Added) -> tokenizers.Tokenizer:
    """Complete a BPE model as transformers does for GPT-1: BERT's normalisation and splitting, word ends marked."""
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder(suffix=END_OF_WORD)
    added.to(backend)
    backend.add_special_tokens([UNKNOWN])
    return backend


def byte_level(model: models.BPE, added: Added | None = None) -> tokenizers.Tokenizer:
    """Complete a BPE model as GPT-2 does: split by its regex, bytes as letters, end of text as a special token."""
    backend = tokenizers.Tokenizer(model)
    prefix_space = added is not None and added.prefix_space
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    if added:
        added.to(backend)
    end = added.end if added and added.end and backend.token_to_id(added.end) is not None else END_OF_TEXT
    backend.add_special_tokens([end])
    begin = added.begin if added and added.begins else None
    if begin and (index := backend.token_to_id(begin)) is not None:
        backend.post_processor = processors.TemplateProcessing(single=[begin, "$A"], special_tokens=[(begin, index)])
    return backend
