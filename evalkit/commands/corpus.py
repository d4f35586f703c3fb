"""evalkit corpus: build token shards from raw text, and look at them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands import options
from evalkit.commands.helping import group
from evalkit.errors import UsageError, check_whole

if TYPE_CHECKING:
    from evalkit.corpus.recipe import Recipe

SUMMARY = "Build a corpus of token shards from raw text, or show its statistics."
EXAMPLES = """examples:
  evalkit corpus build books/ more.jsonl.gz --out corpora/books
  evalkit corpus build saved-pages/ crawl.warc.gz --language en --min-characters 200 --out corpora/web
  evalkit corpus build hf:stas/openwebtext-10k --tokenizer gpt2 --decontaminate lambada,superglue --out corpora/owt
  evalkit corpus stats corpora/books --verify
  evalkit train --size mini --corpus corpora/books --tokens 20M --out checkpoints/books
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the two actions and their options."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    summary = "Make a corpus, or continue an interrupted build."
    _configure_build(actions.add_parser("build", help=summary, description=summary))
    summary = "Show what a corpus contains, and what was left out."
    stats = actions.add_parser("stats", help=summary, description=summary)
    stats.add_argument("folder", type=Path, help="a corpus")
    stats.add_argument("--verify", action="store_true", help="read all shards and compare them with their hashes")
    stats.set_defaults(action=_stats)


def _configure_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE",
        help="text, JSONL, JSON, parquet, HTML, WARC and WET files, folders of them, hf:ID[:CONFIG[:SPLIT]] or "
        "hf:FOLDER, 'world'",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the corpus")
    corpus, selection = group(parser, "corpus"), group(parser, "selection")
    output = group(parser, "output")
    corpus.add_argument(
        "--column", default="text", help="column of the text in JSONL, parquet and datasets (default: text)"
    )
    corpus.add_argument(
        "--skip-bad", action="store_true", help="skip and count rows without text instead of ending at the first"
    )
    parser.add_argument("--vocab", type=int, help="size of the BPE that is trained on a sample (default: 8192)")
    parser.add_argument("--tokenizer", help="use this tokenizer instead: a folder, or a model's name (gpt2)")
    parser.add_argument("--language", help="keep only these: ISO 639-1 codes separated by commas (default: all)")
    selection.add_argument("--min-characters", type=int, default=1, help="minimum length of a document (default: 1)")
    selection.add_argument("--max-characters", type=int, help="maximum length of a document (default: no limit)")
    selection.add_argument(
        "--near-duplicates", type=float, default=0.8, metavar="SIMILARITY",
        help="leave out documents this similar to an earlier one, by runs of five words (default: 0.8; 0: none)",
    )  # fmt: skip
    parser.add_argument(
        "--decontaminate", metavar="SUITE|TASK,...",
        help="cut out these tasks' texts (default: of all benchmarks whose data is available); none: do not search",
    )  # fmt: skip
    selection.add_argument(
        "--data", action="append", default=[], metavar="NAME=PATH", help="where a benchmark's data is"
    )
    output.add_argument("--validation", type=float, default=0.01, help="share of documents held out (default: 0.01)")
    output.add_argument("--shard-tokens", default="100M", help="tokens of a shard (default: 100M)")
    parser.add_argument("--tokens", default="9M", help="approximate length of 'world' (default: 9M)")
    corpus.add_argument("--world-seed", type=int, default=0, help="seed of 'world'")
    parser.add_argument("--jobs", type=int, help="processes (default: one per core); affects only the speed")
    parser.set_defaults(action=_build)


def run(arguments: argparse.Namespace) -> None:
    """Build a corpus, or show one."""
    arguments.action(arguments)


def _build(arguments: argparse.Namespace) -> None:
    import time

    from evalkit.corpus import build, prepare

    start_time = time.monotonic()
    check_whole("--jobs", arguments.jobs)
    if arguments.tokenizer and arguments.vocab:
        raise UsageError("--vocab is the size of a tokenizer to be trained; omit it with --tokenizer")
    decontaminated = arguments.decontaminate
    plan = prepare.plan(
        arguments.sources, arguments.out, recipe=_recipe(arguments), data=options.data(arguments),
        tasks=None if decontaminated is None else [] if decontaminated == "none" else decontaminated.split(","),
        tokenizer=options.tokenizer(arguments.tokenizer),
        world_tokens=options.count(arguments.tokens, "--tokens"), world_seed=arguments.world_seed,
    )  # fmt: skip
    build.build(plan, jobs=arguments.jobs)
    _show(arguments.out)
    print(f"\n{arguments.out}: made in {time.monotonic() - start_time:,.0f} s")


def _recipe(arguments: argparse.Namespace) -> Recipe:
    from evalkit.corpus.filters import check_languages
    from evalkit.corpus.recipe import Recipe

    languages = tuple(arguments.language.split(",")) if arguments.language else ()
    check_languages(languages)
    return Recipe(
        vocab_size=arguments.vocab or Recipe.vocab_size,
        column=arguments.column,
        skip_bad=arguments.skip_bad,
        languages=languages,
        min_characters=arguments.min_characters,
        max_characters=arguments.max_characters,
        near_duplicates=arguments.near_duplicates,
        validation=arguments.validation,
        shard_tokens=options.count(arguments.shard_tokens, "--shard-tokens"),
    )


def _stats(arguments: argparse.Namespace) -> None:
    from evalkit import corpus

    corpus.load(arguments.folder)
    corpus.load_tokenizer(arguments.folder)
    if arguments.verify:
        corpus.verify(arguments.folder)
    _show(arguments.folder)


def _show(folder: Path) -> None:
    """Print the statistics page, on a terminal as formatted by rich."""
    from evalkit.corpus.page import page_of

    options.show_page(page_of(folder))
