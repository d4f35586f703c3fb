"""The text of tokens that come one by one is the text of all of them, and a stop string is found when it is whole."""

from __future__ import annotations

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models

from evalkit.engine.sampling import GrowingText, Sampler, find_stop
from evalkit.tokenizer import Tokenizer
from evalkit.tokenizer.files import END_OF_TEXT, UNKNOWN
from evalkit.types import Decoding

BYTES = Tokenizer.train(["naïve — 漢字 🙂 ends and so on"], vocab_size=275)


def words():
    """GPT-1's way: a mark at the ends of words, which becomes a blank unless the text ends there."""
    vocabulary = {UNKNOWN: 0} | {token: i + 1 for i, token in enumerate(["a", "b</w>", "c</w>", "d", "\n</w>"])}
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, [], unk_token=UNKNOWN, end_of_word_suffix="</w>"))
    backend.decoder = decoders.BPEDecoder(suffix="</w>")
    return Tokenizer(backend)


def blanks():
    """Llama's way: blanks belong to the words behind them, but for the text's first; other bytes have tokens."""
    names = [END_OF_TEXT, "▁", "▁the", "▁a", "b", "c", *(f"<0x{byte:02X}>" for byte in (0x0A, 0xE2, 0x80, 0x94, 0xFF))]
    backend = tokenizers.Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [], byte_fallback=True))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(parts)
    backend.add_special_tokens([END_OF_TEXT])
    return Tokenizer(backend)


TOKENIZERS = {"bytes": BYTES, "words": words(), "blanks": blanks()}


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(data=st.data())
def test_it_is_always_what_decoding_all_tokens_gives(kind, data):
    tokenizer = TOKENIZERS[kind]
    ids = data.draw(st.lists(st.integers(0, tokenizer.size - 1), max_size=24))
    text = GrowingText(tokenizer)
    for n, token in enumerate(ids, start=1):
        text.add(token)
        whole = tokenizer.decode(ids[:n])
        # Llama's decoder makes all bytes of a run unreadable where one is; here those that were readable stay.
        if kind != "blanks" or "\ufffd" not in whole:
            assert text.text == whole
            assert whole.startswith(text.settled)


def test_only_the_last_tokens_are_decoded_and_the_same_ones_once():
    decoded = []
    tokenizer = _Recording(decoded)
    text, again = GrowingText(tokenizer), GrowingText(tokenizer)
    for token in range(100):
        text.add(token)
    assert text.text == "x" * 100 and max(map(len, decoded)) == 2
    for token in range(100):
        again.add(token)
    assert again.text == text.text and len(decoded) == len(set(decoded))


class _Recording:
    """A tokenizer of which only `decode` is used."""

    def __init__(self, decoded):
        self._decoded = decoded

    def decode(self, ids):
        self._decoded.append(tuple(ids))
        return "x" * len(ids)


@given(
    text=st.text("ab\n漢", max_size=20),
    until=st.lists(st.text("ab\n漢", min_size=1, max_size=4), max_size=3),
    most=st.integers(1, 40),
)
def test_a_stop_string_is_found_with_its_last_token(text, until, most):
    ids = BYTES.encode(text)
    sampler = Sampler(Decoding(until=tuple(until), max_tokens=most), BYTES, ends=[BYTES.end_of_text])
    for n, token in enumerate(ids, start=1):
        sampler.add(token, logprob=-1.0)
        whole = BYTES.decode(ids[:n])
        assert sampler.done == (n == most or find_stop(whole, until) >= 0)
        assert whole.startswith(sampler.settled())
        if sampler.done:
            break
    done = sampler.response()
    whole = BYTES.decode(ids[: done.tokens])
    stop = find_stop(whole, until)
    assert done.text == (whole if stop < 0 else whole[:stop])
    assert done.loglikelihood == -done.tokens
