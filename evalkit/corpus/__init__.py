"""Text to tokens: cleaned, without duplicates and evaluation text, tokenised into memory-mapped shards.

    sources -> Raw        files, datasets, the generated world            sources.py
    Raw -> part           cleaned, filtered, hashed; in parallel          reading.py, parts.py
    parts -> Decisions    duplicates and evaluation text, in all parts   decisions.py
    sample -> Tokenizer   unless a tokenizer is given                     encoding.py
    part -> tokens        in parallel                                     encoding.py
    tokens -> shards      with an index and statistics                    shards.py, statistics.py, page.py

build.py implements this diagram.
"""

from __future__ import annotations

from evalkit.corpus.shards import Corpus, CorpusInfo, Tokens, TokenStream, load, load_tokenizer, of_texts, verify

__all__ = ["Corpus", "CorpusInfo", "TokenStream", "Tokens", "load", "load_tokenizer", "of_texts", "verify"]
