"""The corpus of a training: a built one as it is, or one made of raw sources and kept beside the checkpoints."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from evalkit.corpus import shards, sources
from evalkit.corpus.build import Plan, build
from evalkit.corpus.contamination import choose, evaluation_text
from evalkit.corpus.recipe import Recipe
from evalkit.corpus.shards import Corpus
from evalkit.data.sources import DataPaths
from evalkit.errors import UsageError
from evalkit.tokenizer import Tokenizer

# Of a training on raw sources: the world and small files; `corpus build` has a larger default.
SMALL_VOCABULARY = 3000


def plan(
    words: Sequence[str],
    folder: Path,
    *,
    recipe: Recipe,
    tasks: Sequence[str] | None,
    data: DataPaths,
    tokenizer: Tokenizer | None,
    world_tokens: int,
    world_seed: int,
) -> Plan:
    """Return the plan of a corpus. words: the sources. tasks: whose text is cut out; None: those at hand.

    The generated world is taken as it is: its pages may resemble each other, and never hold what its tasks ask.
    """
    if list(words) == ["world"]:
        recipe, tasks = recipe.as_it_is(), tasks or []
    found = sources.find(
        words, column=recipe.column, skip_bad=recipe.skip_bad, tokens=world_tokens, seed=world_seed, out=folder
    )
    return Plan(
        sources=found,
        recipe=recipe,
        evaluation=evaluation_text(choose(tasks, data), data),
        tokenizer=tokenizer,
        folder=folder,
        name=" ".join(Path(word).name for word in words),
    )


def given(words: Sequence[str]) -> Path | None:
    """Return the built corpus that a training was given; None where it was given sources."""
    folder = Path(words[0])
    return folder if len(words) == 1 and shards.is_corpus(folder) else None


def prepare(
    words: Sequence[str],
    folder: Path,
    *,
    tokens: int,
    vocab_size: int | None,
    tokenizer: Tokenizer | None,
    seed: int,
    reuse: bool,
) -> tuple[Tokenizer, Corpus]:
    """Return tokenizer and corpus for a training.

    words: a corpus folder, which is used as it is, or sources, of which one is built in `folder` by the default recipe.
    tokens, seed: of the generated world. reuse: take what an earlier start left in `folder`.
    Raises UsageError where a corpus folder has another tokenizer or size of vocabulary than asked for, and where
    `folder` holds another corpus.
    """
    if built := given(words):
        own, corpus = open_corpus(built)
        _check_vocabulary(words[0], own, vocab_size, tokenizer)
        return own, corpus
    if reuse and (folder / shards.INDEX).exists():
        return open_corpus(folder)
    recipe = Recipe(vocab_size=vocab_size or SMALL_VOCABULARY)
    whole = plan(
        words, folder, recipe=recipe, tasks=None, data=DataPaths.from_user([], os.environ), tokenizer=tokenizer,
        world_tokens=tokens, world_seed=seed,
    )  # fmt: skip
    if not whole.is_built():
        build(whole)
    return open_corpus(folder)


def open_corpus(folder: Path) -> tuple[Tokenizer, Corpus]:
    """Return tokenizer and tokens of a corpus folder. Raises StoreError for one that is unfinished, cut or mixed up."""
    corpus = shards.load(folder)
    return shards.load_tokenizer(folder), corpus


def _check_vocabulary(folder: str, own: Tokenizer, vocab_size: int | None, tokenizer: Tokenizer | None) -> None:
    if tokenizer is not None and tokenizer.content_hash() != own.content_hash():
        raise UsageError(f"the corpus {folder} was made with another tokenizer than the one given; leave it out")
    if vocab_size is not None and vocab_size != own.size:
        raise UsageError(f"the corpus {folder} has a vocabulary of {own.size:,}, not {vocab_size:,}; leave --vocab out")
