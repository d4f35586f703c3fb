"""evalkit contamination --model: what a model itself says of a benchmark, without its corpus."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.commands.helping import group
from evalkit.errors import UsageError, check_whole

if TYPE_CHECKING:
    from evalkit.contamination.documents import Item
    from evalkit.contamination.evidence import Evidence
    from evalkit.engine.batched import BatchedEngine

# Options of a search of a corpus, which a model alone cannot answer.
_OF_A_CORPUS = ("index", "runs", "no_own", "jobs")
# The options that decide the figures, with their defaults.
RULES = {"shards": 50, "permutations": 30, "min_k": "20%", "seed": 1, "tokenizer": None, "dtype": None}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--model", help="instead of a corpus: test whether this model knows the documents' order")
    parser.add_argument(
        "--unseen", nargs="+", metavar="TEXTS",
        help="texts of the same kind that the model cannot have read, in files as of a corpus: the documents are "
        "compared with them by min-k%%; at most 1,000 of each are read",
    )  # fmt: skip
    rules = group(parser, "statistics")
    rules.add_argument(
        "--reference",
        metavar="MODEL",
        help="a model that cannot have read the documents, to see whether it prefers their order too",
    )
    rules.add_argument("--shards", type=int, help="shards of a task's documents that are read (default: 50)")
    rules.add_argument("--permutations", type=int, help="shuffles of each shard (default: 30)")
    rules.add_argument(
        "--min-k",
        metavar="SHARE",
        help="share of a text's tokens that min-k%% looks at, the least likely (default: 20%%)",
    )
    rules.add_argument("--seed", type=int, help="of the shuffles (default: 1)")
    options.add_tokenizer(parser)
    options.add_engine(parser)
    parser.set_defaults(**RULES)


def run(arguments: argparse.Namespace, *, command: str) -> None:
    """Test the tasks' documents, print the tables, write the files."""
    from evalkit.contamination import documents, evidence_page
    from evalkit.corpus.contamination import choose
    from evalkit.extras import require

    _check(arguments)
    if arguments.out:
        require("matplotlib", "figures")
    unseen = _unseen(arguments)
    data = options.data(arguments)
    tasks = choose(options.names(arguments.tasks) if arguments.tasks else None, data)
    if not tasks:
        raise UsageError("no benchmark's data is available: give --tasks, --data NAME=PATH or EVALKIT_DATA=FOLDER")
    items = documents.items(tasks, data)
    engine = options.engine(arguments.model, arguments)
    reference = _reference(arguments)
    findings = evidence_page.Findings(
        model=engine.signature()["model"], reference=reference.signature()["model"] if reference else "",
        unseen=_names(arguments.unseen or ()),
        evidence=_evidence(arguments, items, engine, reference, unseen=unseen),
        facts={"min_k": options.share(arguments.min_k, "--min-k"), "seed": arguments.seed},
    )  # fmt: skip
    evidence_page.show(findings, options.console())
    if arguments.out:
        files = evidence_page.write(findings, arguments.out, command=command)
        print(f"wrote {', '.join(map(str, files))}")


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options that do not belong to --model, values out of range, and unknown models."""
    from evalkit.model import resolve

    if arguments.corpus:
        raise UsageError("give a corpus or --model, not both: a corpus is searched, a model is tested")
    for name in _OF_A_CORPUS:
        if getattr(arguments, name):
            raise UsageError(f"--{name.replace('_', '-')} belongs to the search of a corpus; omit it with --model")
    for name in ("shards", "permutations"):
        check_whole(f"--{name}", getattr(arguments, name))
    if not options.share(arguments.min_k, "--min-k"):
        raise UsageError(f"--min-k {arguments.min_k}: min-k% of no token is not defined; expected for example 20%")
    for name in filter(None, (arguments.model, arguments.reference)):  # before the tasks are read
        resolve.path_of(name)


def _reference(arguments: argparse.Namespace) -> BatchedEngine | None:
    """Load the model that has not read the documents, with its own tokenizer."""
    if arguments.reference is None:
        return None
    return options.engine(arguments.reference, argparse.Namespace(**{**vars(arguments), "tokenizer": None}))


def _evidence(
    arguments: argparse.Namespace, items: Mapping[str, Sequence[Item]], engine: BatchedEngine,
    reference: BatchedEngine | None, *, unseen: Sequence[str],
) -> list[Evidence]:  # fmt: skip
    """Test each task."""
    from evalkit.contamination import evidence

    share = options.share(arguments.min_k, "--min-k")
    settings = evidence.Orders(shards=arguments.shards, permutations=arguments.permutations, seed=arguments.seed)
    familiar = evidence.familiarities(engine, unseen, share=share) if unseen else {}
    results = []
    for task, documents in items.items():
        result = evidence.order_evidence(task, documents, engine, settings=settings, reference=reference)
        if unseen:
            result = evidence.compared(result, documents, engine, unseen, familiar, share=share)
        results.append(result)
    return results


def _unseen(arguments: argparse.Namespace) -> list[str]:
    """Return the texts of --unseen; none without it."""
    from evalkit.contamination import corpora, evidence

    if not arguments.unseen:
        return []
    training = corpora.open_training(arguments.unseen, column=arguments.column, skip_bad=arguments.skip_bad)
    return evidence.unseen_texts(training)


def _names(words: Sequence[str]) -> str:
    """Return what a table calls the unseen texts: the first file's name, and how many more there are."""
    return " ".join([Path(word).name for word in words[:1]] + [f"and {len(words) - 1} more"] * (len(words) > 1))
