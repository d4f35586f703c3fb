"""The corpus of a training: an existing one, or one built from raw sources and kept beside the checkpoints."""

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

# For a training on raw sources, the world and small files; `corpus build` has a larger default.
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
    """Return the plan of a corpus. words: the sources. tasks: whose text is cut out; None: those with files at hand.

    The generated world is not filtered: its pages may resemble each other, and never contain its tasks' questions.
    """
    if list(words) == ["world"]:
        recipe, tasks = recipe.unfiltered(), tasks or []
    plan_sources = sources.find(
        words, column=recipe.column, skip_bad=recipe.skip_bad, tokens=world_tokens, seed=world_seed, out=folder
    )
    return Plan(
        sources=plan_sources,
        recipe=recipe,
        evaluation=evaluation_text(choose(tasks, data), data),
        tokenizer=tokenizer,
        folder=folder,
        name=" ".join(Path(word).name for word in words),
    )


def built_corpus(words: Sequence[str]) -> Path | None:
    """Return the folder if the words name a built corpus; None if they name sources."""
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
    column: str | None = None,
    skip_bad: bool = False,
) -> tuple[Tokenizer, Corpus]:
    """Return tokenizer and corpus for a training.

    words: a corpus folder, which is used unchanged, or sources, from which one is built in `folder` by the default
    recipe but for column and skip_bad. tokens, seed: of the generated world. reuse: use the corpus that an earlier
    start left in `folder`.

    Raises UsageError if a corpus folder has another tokenizer or vocabulary size than requested, or is to be read in
    another way than it was built; or if `folder` holds another corpus.
    """
    if built := built_corpus(words):
        if column or skip_bad:
            raise UsageError(f"{built} is a built corpus; --column and --skip-bad belong to the sources of one")
        corpus_tokenizer, corpus = open_corpus(built)
        _check_vocabulary(words[0], corpus_tokenizer, vocab_size, tokenizer)
        return corpus_tokenizer, corpus
    if reuse and (folder / shards.INDEX).exists():
        return open_corpus(folder)
    recipe = Recipe(vocab_size=vocab_size or SMALL_VOCABULARY, column=column or Recipe.column, skip_bad=skip_bad)
    corpus_plan = plan(
        words, folder, recipe=recipe, tasks=None, data=DataPaths.from_user([], os.environ), tokenizer=tokenizer,
        world_tokens=tokens, world_seed=seed,
    )  # fmt: skip
    if not corpus_plan.is_built():
        build(corpus_plan)
    return open_corpus(folder)


def open_corpus(folder: Path) -> tuple[Tokenizer, Corpus]:
    """Return a corpus folder's tokenizer and tokens. Raises StoreError if it is unfinished, cut or inconsistent."""
    corpus = shards.load(folder)
    return shards.load_tokenizer(folder), corpus


def _check_vocabulary(
    folder: str, corpus_tokenizer: Tokenizer, vocab_size: int | None, tokenizer: Tokenizer | None
) -> None:
    if tokenizer is not None and tokenizer.content_hash() != corpus_tokenizer.content_hash():
        raise UsageError(f"the corpus {folder} was made with another tokenizer than the given one; omit it")
    if vocab_size is not None and vocab_size != corpus_tokenizer.size:
        raise UsageError(
            f"the corpus {folder} has a vocabulary of {corpus_tokenizer.size:,}, not {vocab_size:,}; omit --vocab"
        )
