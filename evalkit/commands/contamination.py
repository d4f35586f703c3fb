"""evalkit contamination: how much of a benchmark was in the training text."""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
from contextlib import ExitStack
from pathlib import Path

from evalkit.commands import options
from evalkit.errors import UsageError

SUMMARY = "Measure how much of benchmarks is in a training text, as GPT-2 and GPT-3 did, document by document."
EXAMPLES = """examples:
  evalkit contamination books/ --tasks lambada,wikitext103          raw text: one exact pass over it
  evalkit contamination corpora/books --tasks gpt3-paper --out reports/contamination
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "corpus", nargs="+", metavar="CORPUS",
        help="a corpus of `evalkit corpus build`, or text, JSONL, JSON, parquet, HTML, WARC and WET files, folders of "
        "them, hf:ID[:CONFIG[:SPLIT]], 'world'",
    )  # fmt: skip
    parser.add_argument("--tasks", metavar="SUITE|TASK,...", help="benchmarks (default: all whose data is available)")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=PATH", help="where a benchmark's data is")
    parser.add_argument("--out", type=Path, help="folder for the page, the table and the verdicts; a search continues")
    parser.add_argument("--column", default="text", help="column of the text in JSONL, parquet and datasets")
    parser.add_argument("--skip-bad", action="store_true", help="skip rows without text instead of ending at the first")
    parser.add_argument("--no-own", action="store_true", help="do not compare tests with their own training splits")
    parser.add_argument("--jobs", type=int, help="processes (default: one per core); affects only the speed")


def run(arguments: argparse.Namespace) -> None:
    """Search the corpus, print the table, write the files."""
    import shutil

    from evalkit.contamination import corpora, documents, page, search, verdicts
    from evalkit.corpus.contamination import choose

    if arguments.jobs is not None and arguments.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, not {arguments.jobs}")
    data = options.data(arguments)
    tasks = choose(options.names(arguments.tasks) if arguments.tasks else None, data)
    if not tasks:
        raise UsageError("no benchmark's data is available: give --tasks, --data NAME=PATH or EVALKIT_DATA=FOLDER")
    training = corpora.open_training(
        arguments.corpus, column=arguments.column, skip_bad=arguments.skip_bad, out=arguments.out
    )
    texts = documents.read(tasks, data, own=not arguments.no_own)
    with ExitStack() as stack:
        work = (
            arguments.out / "unfinished" if arguments.out
            else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evalkit-")))
        )  # fmt: skip
        jobs = arguments.jobs or os.cpu_count() or 1
        sightings = search.search(training, documents.sought(texts), work, jobs=jobs)
        findings = page.Findings(
            corpus=training.name, documents=sightings.documents, words=sightings.words, bound=sightings.bound,
            overlaps=[verdicts.judge(task, sightings) for task in texts],
        )  # fmt: skip
        page.show(findings, options.console())
        if arguments.out:
            files = page.write(findings, arguments.out, command=_command(arguments))
            shutil.rmtree(work)
            print(f"wrote {', '.join(map(str, files))}")


def _command(arguments: argparse.Namespace) -> str:
    """Return the command line that was parsed, but for what affects no figure."""
    parts = ["evalkit", "contamination", *arguments.corpus]
    for name in ("tasks", "out"):
        if getattr(arguments, name):
            parts += [f"--{name}", str(getattr(arguments, name))]
    for pair in arguments.data:
        parts += ["--data", pair]
    parts += ["--column", arguments.column] if arguments.column != "text" else []
    parts += ["--skip-bad"] * arguments.skip_bad + ["--no-own"] * arguments.no_own
    return shlex.join(parts)
