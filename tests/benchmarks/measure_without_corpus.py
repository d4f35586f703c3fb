"""What `evalkit contamination --model` says where the truth is known; run by hand, no test asserts a figure.

    python -m tests.benchmarks.measure_without_corpus orders --models pico,nano,random --seeds 10
    python -m tests.benchmarks.measure_without_corpus planted --times 0,1,4,16,64
    python -m tests.benchmarks.measure_without_corpus members --models pico,nano,micro,mini,midi

orders: how often the order test is below a level for models that cannot have read the items: every task of the world,
with the items of several worlds; `--no-levels` shuffles documents of different levels as well.
planted: pico after some more training on pages of the world among which the items of one task stand in order, one to
many times: the order test, and min-k% against the same task's items of another world.
members: pages that the ladder has read against pages of the same world that it has not, of another world, and items.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit import world
from evalkit.cli import main
from evalkit.contamination import documents, membership, orders
from evalkit.contamination.documents import Item
from evalkit.contamination.evidence import familiarities
from evalkit.data.sources import DataPaths, Split
from evalkit.engine.gpt import GPTEngine
from evalkit.engine.open import load_engine
from evalkit.harness import catalog
from evalkit.model.gpt import GPT

Familiar = dict[str, NDArray[np.float64]]

# Pages of the world's corpus that the bundled ladder was trained on; those after them are of the same people.
_READ = 75_000
# A task with the items of another one, and one whose items stand in the order of the rules that they follow.
_SAME, _SORTED = "world_pronouns", "world_patterns"
# The task that is planted: its items are short, and do not depend on the people of a world.
_PLANTED = "world_lastword"


@dataclass(frozen=True)
class OtherWorld:
    """The held-out items of a world with another seed."""

    name: str
    seed: int

    def rows(self, split: Split, data: DataPaths) -> Iterator[dict[str, Any]]:
        """Yield the items."""
        yield from world.items(self.name, split, seed=self.seed)

    def fingerprint(self, split: Split, data: DataPaths) -> str:
        """Not needed."""
        raise NotImplementedError

    def at_hand(self, data: DataPaths) -> str:
        """Return the generator's version."""
        return world.VERSION


def items(task: str, *, seed: int) -> list[Item]:
    """Return a task's items of a world."""
    [found] = catalog.select([task])
    return documents.items([replace(found, source=OtherWorld(found.source.name, seed))], DataPaths())[task]


def engine_of(name: str, *, seed: int = 0) -> GPTEngine:
    """Load a model; `random` is nano's shape with random weights."""
    engine = load_engine("nano" if name == "random" else name)
    assert isinstance(engine, GPTEngine)
    if name != "random":
        return engine
    model = GPT(engine.model.config)
    model.initialize(torch.Generator().manual_seed(seed))
    return GPTEngine(model.requires_grad_(False), engine.tokenizer, name=name, content_hash=str(seed))


def orders_of(arguments: argparse.Namespace) -> None:
    """Print how many p values of models that have not read the items are below each level."""
    tasks = [task.name for task in catalog.select([arguments.tasks]) if task.name != _SAME]
    rows: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name in arguments.models.split(","):
        of_model = rows[name] = {task: [] for task in tasks}
        for seed in range(1, arguments.seeds + 1):
            engine = engine_of(name, seed=seed)
            for task in tasks:
                texts = items(task, seed=seed)
                if arguments.no_levels:
                    texts = [replace(item, level="") for item in texts]
                result = orders.order_test(texts, engine, shards=arguments.shards, permutations=19, seed=seed)
                if result:
                    of_model[task].append((result.p, result.student_p))
        for task, pairs in of_model.items():
            print(f"{name} {task}: {_below(pairs)}", flush=True)
    for task in (_SORTED, ""):
        chosen = [pair for of_model in rows.values() for name, pairs in of_model.items()
                  if (name == task if task else name != _SORTED) for pair in pairs]  # fmt: skip
        print(f"{task or f'all but {_SORTED}'}: {_below(chosen)}")


def _below(pairs: Sequence[tuple[float, float]]) -> str:
    table = np.array(pairs)
    return f"{len(table)} tests; " + "; ".join(
        f"{label} at most {level}: {int((table[:, column] <= level).sum())}"
        for column, label in enumerate(("p", "t"))
        for level in (0.01, 0.05, 0.2)
    )


def planted(arguments: argparse.Namespace) -> None:
    """Print what both kinds of test say of pico after training on a task's items, one to many times."""
    tests, fresh = (items(_PLANTED, seed=seed) for seed in (5, 6))
    pages = list(islice(world.corpus(documents=_READ + 4_000), _READ, None))
    for times in map(int, arguments.times.split(",")):
        with tempfile.TemporaryDirectory() as name:
            corpus = Path(name) / "planted.jsonl"
            # One document, because a corpus keeps equal documents once.
            texts = [*pages, *["\n\n".join([item.text for item in tests] * times)] * (times > 0)]
            corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
            words = ["--from", "pico", "--corpus", str(corpus), "--out", f"{name}/pico", "--tokens", arguments.tokens]
            assert main(["train", *words]) == 0
            engine = load_engine(f"{name}/pico")
        result = orders.order_test(tests, engine, seed=times)
        assert result
        print(f"{times} times: order p {result.p:.4f}, t {result.student_p:.4f}, {result.gains.mean():+.2f} nats")
        print(f"  {_aucs(engine, *([item.text for item in side] for side in (tests, fresh)))}", flush=True)


def _aucs(engine: GPTEngine, first: Sequence[str], second: Sequence[str], ours: Familiar | None = None) -> str:
    """Compare texts. ours: how familiar the first are, if that is known."""
    ours, theirs = ours or familiarities(engine, first), familiarities(engine, second)
    measures = {name: membership.compare(ours[name], theirs[name]) for name in ours}
    words = [f"{name} {c.auc.value:.3f} [{c.auc.low:.3f}, {c.auc.high:.3f}], {c.caught:.0%} caught"
             for name, c in measures.items()]  # fmt: skip
    blind = membership.words_auc(first, second)
    return "; ".join([*words, f"words alone {blind.value:.3f} [{blind.low:.3f}, {blind.high:.3f}]"])


def members(arguments: argparse.Namespace) -> None:
    """Print the AUC of pages that the ladder has read against texts that it has not."""
    count = arguments.pages
    pages = list(world.corpus(documents=_READ + count))
    read, unread = pages[:count], pages[_READ:]
    others = {
        "pages of the same world": unread, "pages of another world": list(world.corpus(seed=1, documents=count)),
        **{task: [item.text for item in items(task, seed=0)] for task in ("world_lm", "world_reading", "world_qa")},
    }  # fmt: skip
    for name in arguments.models.split(","):
        engine = engine_of(name)
        ours = familiarities(engine, read)
        for label, texts in others.items():
            print(f"{name}, pages read against {label}: {_aucs(engine, read, texts, ours)}", flush=True)


def program() -> None:
    """Measure one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands: dict[str, Callable[[argparse.Namespace], None]] = {
        "orders": orders_of, "planted": planted, "members": members,
    }  # fmt: skip
    parser.add_argument("what", choices=commands)
    parser.add_argument("--models", default="pico,nano,random")
    parser.add_argument("--tasks", default="world")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--no-levels", action="store_true")
    parser.add_argument("--times", default="0,1,4,16,64")
    parser.add_argument("--tokens", default="2M")
    parser.add_argument("--pages", type=int, default=1_000)
    arguments = parser.parse_args()
    commands[arguments.what](arguments)


if __name__ == "__main__":
    program()
