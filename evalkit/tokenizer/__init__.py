"""One interface to Hugging Face tokenizers: the BPE of GPT-2, on bytes, of GPT-1, on lower-cased words, and others.

GPT-2's (Radford et al. 2019, section 2.2) encodes any text and decodes it unchanged; GPT-3's is the same. GPT-1's
(Radford et al. 2018, section 4.1) does not: it lower-cases and drops accents and the kind and amount of white space.
The paper cleaned text with ftfy and split it with spaCy; here, as in transformers without these, BERT's rules split it.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from evalkit.errors import CheckpointError, UnknownTextError, UsageError
from evalkit.files import digest, write_atomic
from evalkit.tokenizer import cuts, files
from evalkit.tokenizer.files import END_OF_TEXT, END_OF_WORD, UNKNOWN, Added, byte_level

# How many lines, of at most how many characters, are cached with their tokens.
_LINES, _LINE = 1 << 15, 500
# Characters below which starting the backend's threads takes longer than encoding.
_FEW = 2000


class Tokenizer:
    """Text to token ids and back; `end_of_text` is the id that separates documents and stands for an empty context.

    `begin` is the id that the tokenizer puts before every text, as in Llama and OPT, which were trained that way; None
    if there is none. The methods never add it. `bos` is the token that it names as the beginning of a sequence, whether
    it puts it there or not.

    GPT-1 has no end of text. Its only special one, <unk>, is used instead: unlike a newline it never ends a generation
    too early. It was hardly trained, so the first token of a document has a poor likelihood after it.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        end_of_text: str | None = None,
        begin: str | None = None,
        name: str = "the tokenizer",
    ):
        """Wrap a tokenizer. begin: the token that it may put before every text. name: in errors."""
        # GPT-1's vocabulary is recognised by its suffix at the ends of words.
        gpt1 = getattr(backend.model, "end_of_word_suffix", None) == END_OF_WORD
        self._separator = end_of_text or (UNKNOWN if gpt1 else END_OF_TEXT)
        end_id = backend.token_to_id(self._separator)
        if end_id is None:
            raise CheckpointError(f"{name} has no {self._separator} token, which separates documents")
        self._backend = backend
        self._backend.no_padding()
        self._backend.no_truncation()
        self.end_of_text: int = end_id
        self._name = name
        self.bos = None if begin is None else backend.token_to_id(begin)
        self.begin = self._beginning(begin)
        self._lines: dict[str, array[int]] = {}

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read a folder's tokenizer.json, or GPT-1's or GPT-2's pair of files (vocab.json, merges.txt; also OpenAI's).

        Raises CheckpointError naming what is missing or broken.
        """
        try:
            if (read := files.read(folder)) is not None:
                return cls._wrapped(*read)
        except (CheckpointError, KeyboardInterrupt):
            raise
        except BaseException as error:  # the library raises bare Exception, and panics, which are not Exceptions
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"the tokenizer in {folder} cannot be read: {reason}") from error
        raise CheckpointError(
            f"no tokenizer in {folder}: expected tokenizer.json, or vocab.json with "
            "merges.txt; or give one with --tokenizer PATH"
        )

    @classmethod
    def _wrapped(cls, backend: tokenizers.Tokenizer, added: Added) -> Tokenizer:
        """Wrap a folder's tokenizer with the special tokens that its settings name."""
        ends = (end for end in (added.end, added.begin) if end and backend.token_to_id(end) is not None)
        name = f"the tokenizer in {added.folder}"
        return cls(backend, end_of_text=next(ends, None), begin=added.begin, name=name)

    def _beginning(self, token: str | None) -> int | None:
        """Return the id of a token if the tokenizer puts it before every text, else None."""
        index = None if token is None else self._backend.token_to_id(token)
        if index is None:
            return None
        with _no_panic(self._name):
            # Against the text alone, because that may be the same token too, if it also stands for what is unknown.
            text = self._backend.encode("a", add_special_tokens=False).ids
            return index if self._backend.encode("a").ids[: len(text) + 1] == [index, *text] else None

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
        """Train a byte-level BPE with GPT-2's rule that merges do not cross character categories.

        Raises UsageError when the vocabulary cannot hold the 256 bytes and end of text.
        """
        check_vocabulary(vocab_size)
        backend = byte_level(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        return cls(backend)

    @property
    def size(self) -> int:
        """Number of token ids, end of text included."""
        return int(self._backend.get_vocab_size())

    @cached_property
    def highest(self) -> int:
        """The highest token id; beyond `size` where the ids of a vocabulary have gaps."""
        return max(self._backend.get_vocab().values(), default=-1)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text; nothing is added.

        Raises UnknownTextError for a text that a tokenizer of words without one for unknown words does not know, and
        for half of a surrogate pair, which no tokenizer can read.
        """
        try:
            with _no_panic(self._name):
                return list(self._backend.encode(text, add_special_tokens=False).ids)
        except UnknownTextError:
            raise self._unknown(text) from None

    def _unknown(self, text: str) -> UnknownTextError:
        known = self._backend.get_vocab()
        halves = (character for character in text if "\ud800" <= character <= "\udfff")
        first = next(halves, None) or next((character for character in text if character not in known), None)
        return UnknownTextError(f"{self._name} has no token for {'a word' if first is None else repr(first)}")

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts, in parallel where the machine allows.

        Prompts repeat lines (their shots), often all but the last line (the choices of one context). If texts can be
        cut before a newline without changing the encoding, each line is encoded once and cached for a while.
        """
        if not self._cuttable:
            return self._encode_all(texts)
        split_texts = [cuts.last_line(text) for text in texts]
        heads = {head: cuts.lines(head) for head in dict.fromkeys(head for head, _ in split_texts)}
        unique_lines = dict.fromkeys(chain(chain.from_iterable(heads.values()), (last for _, last in split_texts)))
        new = [line for line in unique_lines if line not in self._lines]
        ids = dict(zip(new, self._encode_all(new), strict=True))
        head_ids = {head: self._joined(lines, ids) for head, lines in heads.items()}
        encodings = [[*head_ids[head], *self._of(last, ids)] for head, last in split_texts]
        if len(self._lines) + len(new) > _LINES:
            self._lines.clear()
        self._lines.update((line, array("I", ids[line])) for line in new[:_LINES] if len(line) <= _LINE)
        return encodings

    def _of(self, line: str, new: Mapping[str, list[int]]) -> Sequence[int]:
        return new[line] if line in new else self._lines[line]

    def _joined(self, lines: Iterable[str], new: Mapping[str, list[int]]) -> list[int]:
        joined: list[int] = []
        for line in lines:
            joined += self._of(line, new)
        return joined

    def _encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        if sum(map(len, texts)) < _FEW:
            return [self.encode(text) for text in texts]
        try:
            with _no_panic(self._name):
                return [e.ids for e in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]
        except UnknownTextError:
            raise self._unknown("".join(texts)) from None

    def stretches(self, text: str, *, characters: int) -> Iterator[str]:
        """Cut a long text into stretches of about this many characters whose joined encodings are that of the text.

        Where no cut is safe, the rest is a single stretch.
        """
        start = 0
        while self._cuttable and (end := cuts.INNER_END.search(text, start + characters)):
            yield text[start : end.end()]
            start = end.end()
        yield text[start:]

    @cached_property
    def _cuttable(self) -> bool:
        """Whether a word and the white space after it are always encoded separately, as in GPT-2 and GPT-1."""
        rule = self._backend.pre_tokenizer
        if isinstance(rule, pre_tokenizers.ByteLevel):
            separate = rule.use_regex and not rule.add_prefix_space and self._backend.normalizer is None
        else:
            separate = isinstance(rule, pre_tokenizers.BertPreTokenizer)
        added = self._backend.get_added_tokens_decoder().values()
        without_space = (not any(map(str.isspace, token.content)) for token in added)
        return separate and all(without_space) and not any(token.lstrip or token.rstrip for token in added)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return each token's (start, end) in characters of the text."""
        with _no_panic(self._name):
            return list(self._backend.encode(text, add_special_tokens=False).offsets)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; invalid UTF-8 becomes the replacement character."""
        with _no_panic(self._name):
            return str(self._backend.decode(list(ids), skip_special_tokens=True))

    def save(self, folder: Path, *, context: int) -> None:
        """Write tokenizer.json, and the tokenizer_config.json with which transformers loads it."""
        write_atomic(folder / "tokenizer.json", self._backend.to_str(pretty=False))
        if self._separator == UNKNOWN:
            config: dict[str, object] = {"tokenizer_class": "OpenAIGPTTokenizer", "unk_token": UNKNOWN}
        elif self._is_gpt2:
            config = {
                "tokenizer_class": "GPT2TokenizerFast",
                "bos_token": END_OF_TEXT,
                "eos_token": END_OF_TEXT,
                "unk_token": END_OF_TEXT,
            }
        else:
            first = self._separator if self.bos is None else self._backend.id_to_token(self.bos)
            config = {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": first,
                "eos_token": self._separator,
                **self._ordinary_separator,
            }
        config["model_max_length"] = context
        write_atomic(folder / "tokenizer_config.json", json.dumps(config, indent=2) + "\n")

    @property
    def _ordinary_separator(self) -> dict[str, object]:
        """The setting that keeps a separator an ordinary token, if it is one: otherwise naming it makes it special."""
        if self.end_of_text in self._backend.get_added_tokens_decoder():
            return {}
        flags = dict.fromkeys(("special", "normalized", "lstrip", "rstrip", "single_word"), False)
        return {"added_tokens_decoder": {str(self.end_of_text): {"content": self._separator, **flags}}}

    @property
    def _is_gpt2(self) -> bool:
        """Whether transformers' class for GPT-2, which makes its own rules, encodes in the same way."""
        rule = self._backend.pre_tokenizer
        plain = isinstance(rule, pre_tokenizers.ByteLevel) and rule.use_regex and not rule.add_prefix_space
        return plain and self._backend.normalizer is None and self._separator == END_OF_TEXT and self.begin is None

    def content_hash(self) -> str:
        """Return 16 hexadecimal digits that change whenever any encoding could."""
        return digest(self._backend.to_str(pretty=False))


class _no_panic:  # noqa: N801  (a context manager, thirty times faster than contextlib's)
    """Turns the library's errors, and its panics, which are not Exceptions, into a CheckpointError."""

    def __init__(self, name: str = "the tokenizer"):
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and ("Missing [UNK] token" in str(error) or isinstance(error, TypeError)):
            raise UnknownTextError(self._name) from error
        if error is not None and (type(error) is Exception or type(error).__name__ == "PanicException"):
            raise CheckpointError(f"{self._name} fails: {' '.join(str(error).split())[:300]}") from error


def check_vocabulary(size: int) -> None:
    """Raise UsageError for a vocabulary size that a byte-level BPE cannot have."""
    if size < 257:
        raise UsageError(f"a vocabulary of {size} is too small: 256 bytes and end of text need at least 257")
