"""A small corpus and its tokenizer, made once."""

from __future__ import annotations

import pytest
from processes import corpus_in

from evalkit import corpus as corpora
from evalkit.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def words_folder(tmp_path_factory):
    return corpus_in(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="session")
def words(words_folder):
    """Corpus and tokenizer."""
    return corpora.load(words_folder), Tokenizer.load(words_folder)
