"""Fixtures of the corpus tests: pages of text, and a build with few words."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from evalkit.corpus.build import build
from evalkit.corpus.prepare import plan
from evalkit.corpus.recipe import Recipe
from evalkit.data.sources import DataPaths

WORDS = [a + b for a in "ba ce di fo gu ka le mi no pu".split() for b in "ra se ti vo zu".split()]


def write_page(seed, *, words=60):
    """Return a page that shares no run of five words with any other."""
    rng = random.Random(seed)
    lines = (" ".join(rng.choices(WORDS, k=10)) for _ in range(words // 10))
    return f"Page {seed}.\n" + "\n".join(lines)


@pytest.fixture
def page():
    return write_page


@pytest.fixture
def make():
    """Build a corpus of sources in a folder, by default with a small vocabulary and without a look for tasks."""

    def make(sources, folder, *, jobs=1, tasks=(), data=None, tokenizer=None, **recipe):
        whole = plan(
            [str(source) for source in sources],
            Path(folder),
            recipe=Recipe(**{"vocab_size": 300, **recipe}),
            tasks=tasks,
            data=data or DataPaths(),
            tokenizer=tokenizer,
            world_tokens=20_000,
            world_seed=0,
        )
        return build(whole, jobs=jobs)

    return make
