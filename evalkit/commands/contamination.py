"""evalkit contamination: how much of a benchmark was in the training text, or what a model itself knows of it."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import evidence, options
from evalkit.commands.helping import group
from evalkit.errors import UsageError, check_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.contamination.corpora import Training
    from evalkit.contamination.index import Index
    from evalkit.contamination.search import Sightings

SUMMARY = "Measure how much of benchmarks is in a training text, as GPT-2 and GPT-3 did, or what a model knows of them."
EXAMPLES = """examples:
  evalkit contamination books/ --tasks lambada,wikitext103          raw text: one exact pass over it
  evalkit contamination books/ --index books.index                  Bloom filters of its 8-grams, made once ...
  evalkit contamination books.index --tasks lambada                 ... and queried without the corpus
  evalkit contamination corpora/books --tasks gpt3-paper --out reports/contamination
  evalkit contamination corpora/books --tasks lambada,piqa --runs runs/mine     scores on clean and dirty documents
  evalkit contamination --model nano --tasks world_qa               no corpus: does the model know their order?
  evalkit contamination --model mine --tasks piqa --unseen new.jsonl --reference nano     and min-k%
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "corpus", nargs="*", metavar="CORPUS",
        help="a corpus of `evalkit corpus build`, or text, JSONL, JSON, parquet, HTML, WARC and WET files, folders of "
        "them, hf:ID[:CONFIG[:SPLIT]], 'world'; or an index of one",
    )  # fmt: skip
    parser.add_argument("--tasks", metavar="SUITE|TASK,...", help="benchmarks (default: all whose data is available)")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=PATH", help="where a benchmark's data is")
    parser.add_argument(
        "--index", type=Path, metavar="FILE", help="make an index of the corpus, or use it if it exists"
    )
    parser.add_argument(
        "--runs", nargs="+", type=Path, default=[], metavar="RUN",
        help="stored runs: their scores on clean and on dirty documents",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="folder for the page, the table and the verdicts; a search continues")
    corpus = group(parser, "corpus")
    corpus.add_argument("--column", default="text", help="column of the text in JSONL, parquet and datasets")
    corpus.add_argument("--skip-bad", action="store_true", help="skip rows without text instead of ending at the first")
    group(parser, "selection").add_argument(
        "--no-own", action="store_true", help="do not compare tests with their own training splits"
    )
    group(parser, "computing").add_argument(
        "--jobs", type=int, help="processes (default: one per core); affects only the speed"
    )
    evidence.configure(parser)


def run(arguments: argparse.Namespace) -> None:
    """Search the corpus or its index, or ask the model; print the tables, write the files."""
    if arguments.model:
        evidence.run(arguments, command=_command(arguments))
    else:
        _search_corpus(arguments)


def _search_corpus(arguments: argparse.Namespace) -> None:
    from evalkit.contamination import documents, page, scores, verdicts
    from evalkit.contamination.index import Index
    from evalkit.corpus.contamination import choose
    from evalkit.runs.store import open_run

    if not arguments.corpus:
        raise UsageError("give a corpus or an index to search, or --model to test a model without its corpus")
    if arguments.unseen or arguments.reference:
        raise UsageError("--unseen and --reference belong to --model")
    check_whole("--jobs", arguments.jobs)
    for folder in arguments.runs:
        open_run(folder)  # a wrong one is refused before the search
    data = options.data(arguments)
    tasks = choose(options.names(arguments.tasks) if arguments.tasks else None, data)
    opened = _opened(arguments)
    if not tasks:
        if arguments.index:
            return
        raise UsageError("no benchmark's data is available: give --tasks, --data NAME=PATH or EVALKIT_DATA=FOLDER")
    texts = documents.read(tasks, data, own=not arguments.no_own)
    notes: list[str] = []
    if isinstance(opened, Index):
        texts, notes = documents.findable(texts)
        corpus, sightings = opened.about.corpus, opened.sightings(documents.sought(texts))
    else:
        corpus, sightings = opened.name, _search(arguments, opened, documents.sought(texts))
    overlaps = [verdicts.judge(task, sightings) for task in texts]
    findings = page.Findings(
        corpus=corpus, documents=sightings.documents, words=sightings.words, bound=sightings.bound,
        overlaps=overlaps, notes=notes,
        splits=[split for folder in arguments.runs for split in scores.splits(folder, overlaps)],
    )  # fmt: skip
    page.show(findings, options.console())
    if arguments.out:
        files = page.write(findings, arguments.out, command=_command(arguments))
        print(f"wrote {', '.join(map(str, files))}")


def _opened(arguments: argparse.Namespace) -> Index | Training:
    """Return the corpus; or its index if it is one, or --index names one, which is made if there is none yet."""
    from evalkit.contamination import index

    path = Path(arguments.corpus[0])
    if len(arguments.corpus) == 1 and index.is_index(path):
        if arguments.index:
            raise UsageError(f"{path} is an index already; omit --index")
        return index.open_index(path)
    training = _training(arguments)
    if arguments.index is None:
        return training
    if not arguments.index.exists():
        made = index.build(training, arguments.index, jobs=_jobs(arguments))
        print(f"wrote {made.path}: {made.about.runs:,} 8-grams in {made.path.stat().st_size:,} bytes")
        return made
    existing = index.open_index(arguments.index)
    if existing.about.identity != training.identity:
        raise UsageError(
            f"{arguments.index} is the index of another corpus, {existing.about.corpus}, or of an earlier version of "
            "this one; delete it, or give another --index"
        )
    return existing


def _search(arguments: argparse.Namespace, training: Training, values: Mapping[int, NDArray[np.uint64]]) -> Sightings:
    """Search the corpus itself; what is done so far stays in --out until it is finished."""
    from evalkit.contamination import search

    with ExitStack() as stack:
        if arguments.out:
            work = arguments.out / "unfinished"
        else:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evalkit-")))
        sightings = search.search(training, values, work, jobs=_jobs(arguments))
        if arguments.out:
            shutil.rmtree(work)
    return sightings


def _training(arguments: argparse.Namespace) -> Training:
    from evalkit.contamination import corpora

    return corpora.open_training(
        arguments.corpus, column=arguments.column, skip_bad=arguments.skip_bad, out=arguments.out
    )


def _jobs(arguments: argparse.Namespace) -> int:
    return arguments.jobs or os.cpu_count() or 1


def _command(arguments: argparse.Namespace) -> str:
    """Return the command line that was parsed, but for what affects no figure."""
    parts = ["evalkit", "contamination", *arguments.corpus]
    for name in ("model", "reference", "index", "tasks", "out"):
        if getattr(arguments, name):
            parts += [f"--{name}", str(getattr(arguments, name))]
    parts += ["--runs", *map(str, arguments.runs)] if arguments.runs else []
    parts += ["--unseen", *arguments.unseen] if arguments.unseen else []
    for name, default in evidence.RULES.items():
        value = getattr(arguments, name)
        parts += [f"--{name.replace('_', '-')}", str(value)] if value != default else []
    for pair in arguments.data:
        parts += ["--data", pair]
    parts += ["--column", arguments.column] if arguments.column != "text" else []
    parts += ["--skip-bad"] * arguments.skip_bad + ["--no-own"] * arguments.no_own
    return shlex.join(parts)
