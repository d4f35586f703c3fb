"""The build of a corpus: read, decide, train the tokenizer, encode, write shards.

Every step except the decisions processes the corpus part by part, in several processes, and writes a file per part, so
an interrupted build continues with the next part. Parts are cut by size alone, so the tokens are the same for any
number of processes.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from evalkit.corpus import decisions, encoding, page, shards, sources
from evalkit.corpus.contamination import EvaluationText
from evalkit.corpus.decisions import Decisions
from evalkit.corpus.formats import Raw
from evalkit.corpus.pool import run_in_order
from evalkit.corpus.reading import Reader
from evalkit.corpus.recipe import Recipe
from evalkit.corpus.sources import Source
from evalkit.corpus.statistics import Statistics, gather, removed
from evalkit.errors import DataError, StoreError, UsageError
from evalkit.extras import require
from evalkit.files import canonical_json, digest, make_folder, read_json, write_atomic
from evalkit.progress import progress
from evalkit.tokenizer import Tokenizer

log = logging.getLogger(__name__)

_SMALL = 2_000_000  # bytes of sources
_PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a build makes, and where. tokenizer: one that is given, or None to train one."""

    sources: Sequence[Source]
    recipe: Recipe
    evaluation: EvaluationText
    tokenizer: Tokenizer | None
    folder: Path
    name: str

    def hash(self) -> str:
        """Return 16 hexadecimal digits of everything that decides the tokens."""
        return digest(
            canonical_json(
                [
                    self.recipe.hash(),
                    [source.identity for source in self.sources if source.identity],
                    self.tokenizer.content_hash() if self.tokenizer else None,
                    [self.evaluation.names, int(self.evaluation.grams.sum(dtype=np.uint64))],
                ]
            )
        )

    def is_built(self) -> bool:
        """Whether the folder holds exactly this corpus."""
        index = self.folder / shards.INDEX
        return index.exists() and bool(read_json(index, StoreError).get("plan") == self.hash())

    def strict(self) -> Plan:
        """Return the plan that ends at the first bad row."""
        return replace(self, recipe=replace(self.recipe, skip_bad=False))

    @property
    def work(self) -> Path:
        """The folder of parts, which exists while the corpus is unfinished."""
        return self.folder / shards.UNFINISHED


def build(plan: Plan, *, jobs: int | None = None) -> Statistics:
    """Make the corpus, or continue an unfinished one, in `jobs` processes (None: one per core).

    Raises UsageError if the folder holds another corpus or build, or without the extra [corpus]; DataError for bad
    sources or no text at all.
    """
    for package in ("pyarrow", "rensa"):
        require(package, "corpora", extra="corpus")
    jobs = jobs or os.cpu_count() or 1
    if 0 < sum(source.size for source in plan.sources) < _SMALL:
        jobs = 1  # other processes would take longer to start
    try:
        _begin(plan)
        statistics = _make(plan, jobs)
        shutil.rmtree(plan.work)
    except OSError as error:  # errors of sources are DataErrors by now
        raise StoreError(f"cannot write the corpus in {plan.folder}: {error.strerror or error}") from error
    return statistics


def _make(plan: Plan, jobs: int) -> Statistics:
    paths = _read(plan, jobs)
    choices = decisions.decide(paths, plan.recipe)
    if not choices.characters:
        read, left_out = removed(paths, choices)
        reasons = ", ".join(f"{reason}: {count.documents:,}" for reason, count in left_out.items())
        raise DataError(
            f"the corpus {plan.name!r} holds no text: none of {read:,} documents is left ({reasons or 'none'})"
        )
    tokenizer = _tokenizer(plan, paths, choices)
    encoded = _encode(plan, paths, choices, jobs)
    statistics = gather(plan.evaluation, paths, choices, encoded)
    _write_shards(plan, paths, tokenizer, statistics)
    if statistics.split:
        log.warning("%s: %s", plan.name, page.held_out(statistics))
    return statistics


def _begin(plan: Plan) -> None:
    """Make the folder of parts with what the processes need, or check that it belongs to the same plan."""
    if (plan.folder / shards.INDEX).exists():
        raise UsageError(f"{plan.folder} already holds a corpus; give another --out, or delete it")
    started = plan.work / _PLAN
    if started.exists():
        begun = read_json(started, StoreError)
        if begun == plan.strict().hash():
            # It may have ended at a bad row, which is to be skipped now: no part that is finished holds one.
            _write_plan(plan)
        elif begun != plan.hash():
            raise UsageError(
                f"{plan.folder} holds an unfinished corpus of other sources or settings; give the same command "
                f"again to continue it, delete the folder, or give another --out"
            )
        return
    make_folder(plan.work)
    np.save(plan.work / "grams.npy", plan.evaluation.grams)
    np.save(plan.work / "tasks.npy", plan.evaluation.tasks)
    _write_plan(plan)


def _write_plan(plan: Plan) -> None:
    write_atomic(plan.work / "recipe.json", json.dumps(asdict(plan.recipe)))
    write_atomic(plan.work / _PLAN, json.dumps(plan.hash()))


def _read(plan: Plan, jobs: int) -> list[Path]:
    """Turn the sources into parts; return their files in order."""
    count_file = plan.work / "parts.json"
    if not count_file.exists():
        count, total = 0, sum(source.size for source in plan.sources)
        with progress(f"read {plan.name}", total=total, unit="bytes") as bar:

            def unread_parts() -> Iterator[tuple[Path, str, int, list[Raw]]]:
                nonlocal count
                for count, (raws, size) in enumerate(sources.chunks(plan.sources), start=1):
                    path = _part(plan.work, count - 1)
                    if path.exists():
                        bar.advance(size)
                    else:
                        yield path, plan.hash(), size, raws

            for size in run_in_order(_read_part, unread_parts(), jobs=jobs):
                bar.advance(size)
        write_atomic(count_file, json.dumps(count))
    return [_part(plan.work, number) for number in range(read_json(count_file, StoreError))]


def _part(work: Path, number: int) -> Path:
    return work / f"part-{number:06d}.parquet"


@lru_cache(maxsize=1)
def _reader(work: Path, plan: str) -> Reader:
    """Return this process's reader for a plan, by its hash."""
    raw = read_json(work / "recipe.json", StoreError)
    grams, tasks = (np.load(work / f"{name}.npy", mmap_mode="r") for name in ("grams", "tasks"))
    evaluation = EvaluationText(names=(), grams=grams, tasks=tasks, examples=())
    return Reader(Recipe(**{**raw, "languages": tuple(raw["languages"])}), evaluation)


def _read_part(path: Path, plan: str, size: int, raws: Sequence[Raw]) -> int:
    _reader(path.parent, plan).write_part(path, raws)
    return size


def _tokenizer(plan: Plan, paths: Sequence[Path], choices: Decisions) -> Tokenizer:
    """Return the given tokenizer, or one trained on a sample; it is stored with the parts, for the processes."""
    if (plan.work / "tokenizer.json").exists():
        return Tokenizer.load(plan.work)
    tokenizer = plan.tokenizer
    if tokenizer is None:
        share = min(1.0, plan.recipe.sample / choices.characters)
        with progress(f"train the tokenizer of {plan.name}", total=0, unit="texts") as bar:

            def texts() -> Iterator[str]:
                for number, path in enumerate(paths):
                    selection = choices.selection(number, plan.recipe)
                    for text in encoding.sample(path, selection, share=share, seed=number):
                        yield text
                        bar.advance(1)

            tokenizer = Tokenizer.train(texts(), vocab_size=plan.recipe.vocab_size)
    tokenizer.save(plan.work, context=0)
    return tokenizer


def _encode(plan: Plan, paths: Sequence[Path], choices: Decisions, jobs: int) -> list[encoding.Encoded]:
    """Turn the parts into tokens; return the counts of each."""
    count_files = [path.with_suffix(".encoded") for path in paths]
    missing = [number for number, path in enumerate(count_files) if not path.exists()]
    lengths = choices.part_characters
    with progress(f"encode {plan.name}", total=sum(lengths[n] for n in missing), unit="characters") as bar:
        tasks = ((paths[number], plan.hash(), choices.selection(number, plan.recipe)) for number in missing)
        for number, _ in zip(missing, run_in_order(_encode_part, tasks, jobs=jobs), strict=True):
            bar.advance(lengths[number])
    return [encoding.Encoded(**read_json(path, StoreError)) for path in count_files]


@lru_cache(maxsize=1)
def _part_tokenizer(work: Path, plan: str) -> Tokenizer:
    """Return this process's tokenizer for a plan, by its hash."""
    return Tokenizer.load(work)


def _encode_part(path: Path, plan: str, selection: encoding.Selection) -> None:
    encoding.encode(path, selection, _part_tokenizer(path.parent, plan))


def _write_shards(plan: Plan, paths: Sequence[Path], tokenizer: Tokenizer, statistics: Statistics) -> None:
    """Join the parts' tokens into shards; the index is written last, so a corpus with an index is complete."""
    total = statistics.total
    width, limit = shards.width_of(tokenizer), plan.recipe.shard_tokens
    with shards.ShardWriter(plan.folder, width=width, limit=limit) as writer:
        for part in shards.PARTS:
            for path in paths:
                writer.write(part, path.with_suffix(f".{part}").read_bytes())
        info = writer.close(
            tokenizer, name=plan.name, documents=total.documents, characters=total.characters,
            skipped=statistics.skipped,
        )  # fmt: skip
        write_atomic(plan.folder / "stats.json", json.dumps(statistics.as_json(), indent=2) + "\n")
        write_atomic(plan.folder / "stats.md", page.markdown(info, statistics))
        writer.write_index(tokenizer, info, plan=plan.hash())
