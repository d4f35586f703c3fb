"""One face over Hugging Face tokenizers: byte-level BPE as in GPT-2 (Radford et al. 2019, section 2.2)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from evalkit.errors import CheckpointError, UsageError
from evalkit.files import digest, write_atomic

END_OF_TEXT = "<|endoftext|>"


class Tokenizer:
    """Text to token ids and back; `end_of_text` is the id that separates documents."""

    def __init__(self, backend: tokenizers.Tokenizer):
        found = backend.token_to_id(END_OF_TEXT)
        if found is None:
            raise CheckpointError(f"the tokenizer has no {END_OF_TEXT} token, which separates documents")
        self._backend = backend
        self._backend.no_padding()
        self._backend.no_truncation()
        self.end_of_text: int = found

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read a folder's tokenizer.json, or GPT-2's pair of files (vocab.json, merges.txt; also OpenAI's names).

        Raises CheckpointError naming what is missing or broken.
        """
        single = folder / "tokenizer.json"
        pairs = [
            (folder / "vocab.json", folder / "merges.txt"),
            (folder / "encoder.json", folder / "vocab.bpe"),
        ]
        try:
            if single.is_file():
                return cls(tokenizers.Tokenizer.from_file(str(single)))
            for vocab, merges in pairs:
                if vocab.is_file() and merges.is_file():
                    return cls(_byte_level(models.BPE.from_file(str(vocab), str(merges))))
        except CheckpointError:
            raise
        except Exception as error:  # the library raises bare Exception for every broken file
            raise CheckpointError(f"the tokenizer in {folder} cannot be read: {error}") from error
        raise CheckpointError(f"no tokenizer in {folder}: expected tokenizer.json, or vocab.json with merges.txt")

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
        """Learn a byte-level BPE with GPT-2's rule that merges do not cross character categories.

        Raises UsageError when the vocabulary cannot even hold the 256 bytes and end of text.
        """
        if vocab_size < 257:
            raise UsageError(f"a vocabulary of {vocab_size} is too small: 256 bytes and end of text need at least 257")
        backend = _byte_level(models.BPE())
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

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text; nothing is added."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts, in parallel where the machine allows."""
        return [e.ids for e in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return each token's (start, end) in characters of the text."""
        return list(self._backend.encode(text, add_special_tokens=False).offsets)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; bytes that are no valid UTF-8 become the replacement character."""
        return str(self._backend.decode(list(ids), skip_special_tokens=True))

    def save(self, folder: Path, *, context: int) -> None:
        """Write tokenizer.json and the tokenizer_config.json that lets transformers load it."""
        write_atomic(folder / "tokenizer.json", self._backend.to_str(pretty=False))
        config = {
            "tokenizer_class": "GPT2TokenizerFast",
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "unk_token": END_OF_TEXT,
            "model_max_length": context,
        }
        write_atomic(folder / "tokenizer_config.json", json.dumps(config, indent=2) + "\n")

    def content_hash(self) -> str:
        """Return 16 hexadecimal digits that change whenever any encoding could."""
        return digest(self._backend.to_str(pretty=False))


def _byte_level(model: models.BPE) -> tokenizers.Tokenizer:
    """Dress a BPE model as GPT-2 does: split by its regex, bytes as letters, end of text as a special token."""
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([END_OF_TEXT])
    return backend
