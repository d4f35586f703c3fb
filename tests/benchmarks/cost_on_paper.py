"""What a suite costs on accelerators, on paper: tokens counted from the benchmarks' files, FLOPs and bytes per token.

    EVALKIT_DATA=FOLDER python tests/benchmarks/cost_on_paper.py --model gpt3-6.7B --tasks gpt3-paper --shots 0,1,paper

Counted: a sample of each task's documents, with its prompts and controls at each number of shots, encoded with GPT-2's
tokenizer. A context that several requests of a document share is read once. Generated: as many tokens as the right
answer has, and the token that ends it. Documents: of the published split (DOCUMENTS), where the file at hand is a part
of it. A task whose file is missing counts as the mean of its family's documents, and is marked with a star.

Per token read: 2 FLOPs for each parameter of the blocks and 4 per layer, width and position before it (attention); per
token scored or generated 2 for each parameter of the output matrix. A generated token also waits for the weights and
the keys and values of all sequences that fit into memory, to be read once. Both at a share of what the data sheet says
(defaults: H100 SXM, 989 TFLOP/s dense bf16, 3.35 TB/s, 80 GB; 40% of either). The share is assumed, not measured.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from evalkit.commands import options
from evalkit.data.sources import DataPaths
from evalkit.errors import program
from evalkit.harness import catalog
from evalkit.harness.item import Item
from evalkit.harness.run import cells
from evalkit.harness.settings import RunSettings
from evalkit.harness.taskset import read_tasks
from evalkit.model.config import SIZES, GPTConfig
from evalkit.tokenizer import Tokenizer

# Documents of the published splits that the tasks name, where a file at hand may be shorter or missing.
DOCUMENTS = {
    "anli_r1": 1_000, "anli_r2": 1_000, "anli_r3": 1_200, "arc_challenge": 1_172, "arc_easy": 2_376, "drop": 9_535,
    "multirc": 4_848, "quac": 7_354, "race_high": 3_498, "race_middle": 1_436, "record": 10_000, "squad2": 11_873,
    "storycloze": 1_871, "triviaqa": 11_313, "wic": 638, "wmt16_de_en": 2_999, "wmt16_en_de": 2_999,
    "wmt16_en_ro": 1_999, "wmt16_ro_en": 1_999,
}  # fmt: skip
BYTES = 2  # of a number in bf16


@dataclass
class Count:
    """What a number of documents needs in all their cells. quadratic: the sum of positions that each token sees."""

    documents: float = 0.0
    requests: float = 0.0
    read: float = 0.0
    quadratic: float = 0.0
    scored: float = 0.0
    generated: float = 0.0
    generated_after: float = 0.0  # the positions before each generated token, summed

    def add(self, other: Count, times: float = 1.0) -> None:
        """Add another count so many times."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + times * value)


@dataclass(frozen=True)
class Accelerator:
    """FLOP/s, bytes/s and bytes of memory, and the share of the first two that is reached."""

    flops: float = 989e12
    bandwidth: float = 3.35e12
    memory: float = 80e9
    share: float = 0.4

    def seconds(self, count: Count, config: GPTConfig) -> float:
        """Return the seconds that one accelerator needs."""
        attention = 4 * config.n_layer * config.n_head * config.d_head
        output = 2 * config.vocab_size * config.d_model
        flops = 2 * config.block_parameters * (count.read + count.generated)
        flops += attention * (count.quadratic + count.generated_after)
        flops += output * (count.scored + count.generated)
        return flops / (self.flops * self.share) + self._waiting(count, config)

    def _waiting(self, count: Count, config: GPTConfig) -> float:
        """Return the seconds that generated tokens wait for memory, with as many sequences at once as fit."""
        if not count.generated:
            return 0.0
        weights = BYTES * config.parameters
        cached = 2 * BYTES * config.n_layer * config.n_kv_head * config.d_head  # of one position
        length = count.generated_after / count.generated
        sequences = max(1.0, min((0.9 * self.memory - weights) / (cached * length), count.documents))
        each = weights / sequences + cached * length
        return count.generated * each / (self.bandwidth * self.share)


@dataclass
class Task:
    """A task's count, or that of its family if its file is missing."""

    name: str
    family: str
    count: Count = field(default_factory=Count)
    missing: bool = False


def of_item(item: Item, tokenizer: Tokenizer) -> Count:
    """Count one document in one cell."""
    count = Count(requests=len(item.requests))
    for context in {request.context_ids for request in item.requests}:
        count.read += len(context)
        count.quadratic += len(context) ** 2 / 2
    for request in item.requests:
        scored, before = len(request.continuation_ids), len(request.context_ids)
        if request.kind == "generate_until":
            answer = tokenizer.encode(item.example.output)
            new = min(len(answer) + 1, request.decoding.max_tokens)
            count.generated += new
            count.generated_after += new * (before + new / 2)
        else:
            count.read += scored
            count.scored += scored
            count.quadratic += scored * (before + scored / 2)
    return count


def counted(names: str, *, shots: str, sample: int, context: int) -> list[Task]:
    """Count the tasks of a suite."""
    data = DataPaths.from_user([], os.environ)
    tokenizer = Tokenizer.load((data.root or Path()) / "gpt2-bpe")
    numbers, paper = options.shots(shots)
    tasks = read_tasks(names.split(","), RunSettings(shots=numbers, paper_shots=paper), data, strict=False)
    engine = SimpleNamespace(tokenizer=tokenizer, context_length=context)
    found = {}
    for loaded in tasks.loaded:
        task = found[loaded.task.name] = Task(loaded.task.name, loaded.task.family)
        documents = max(len(loaded.documents), DOCUMENTS.get(loaded.task.name, 0))
        pairs = [pair for pair in loaded.documents[:sample] if not pair[1].error]
        for cell in cells(loaded, tasks.settings):
            for item in Item.build(engine, loaded, cell, pairs):
                task.count.add(of_item(item, tokenizer), documents / len(pairs))
        task.count.documents = documents
    return [found.get(task.name) or absent(task, found.values()) for task, _ in catalog.choose(names.split(","))]


def absent(task: catalog.Task, others: Sequence[Task]) -> Task:
    """Estimate a task from its family's mean per document."""
    family = [other for other in others if other.family == task.family]
    documents = sum(other.count.documents for other in family)
    estimate = Task(task.name, task.family, missing=True)
    for other in family:
        estimate.count.add(other.count, DOCUMENTS[task.name] / documents)
    return estimate


def show(
    tasks: Sequence[Task], config: GPTConfig, accelerator: Accelerator, *, gpus: Sequence[int], disk: float
) -> None:
    """Print a line per family and the totals."""
    families: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        families[task.family].append(task)
    print("| family | tasks | documents | requests | tokens read | generated | GPU hours |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    total, hours = Count(), 0.0
    for family, members in [*families.items(), ("all", list(tasks))]:
        sums, spent = Count(), 0.0
        for task in members:
            sums.add(task.count)
            spent += accelerator.seconds(task.count, config) / 3600
        print(
            f"| {family} | {len(members)}{'*' * any(task.missing for task in members)} | {sums.documents:,.0f} | "
            f"{sums.requests / 1e6:,.2f} M | {sums.read / 1e6:,.0f} M | {sums.generated / 1e6:,.2f} M | {spent:,.1f} |"
        )
        total, hours = sums, spent
    load = BYTES * config.parameters / disk
    print(
        f"\n{config.parameters / 1e9:.1f} billion parameters; {accelerator.flops / 1e12:,.0f} TFLOP/s and "
        f"{accelerator.bandwidth / 1e12:g} TB/s at {accelerator.share:.0%}; the weights load in {load:.0f} s."
    )
    for number in gpus:
        seconds = hours * 3600 / number + load
        print(f"{number} GPUs: {seconds / 60:,.0f} minutes, {total.requests / seconds:,.0f} requests per second.")


@program
def main() -> None:
    """Count, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gpt3-6.7B", choices=sorted(SIZES))
    parser.add_argument("--tasks", default="gpt3-paper")
    parser.add_argument("--shots", default="0,1,paper")
    parser.add_argument("--sample", type=int, default=32, help="documents of each task that are counted (32)")
    parser.add_argument("--gpus", default="8,64")
    parser.add_argument("--tflops", type=float, default=989.0, help="dense bf16 TFLOP/s of a GPU (989)")
    parser.add_argument("--bandwidth", type=float, default=3.35, help="TB/s of its memory (3.35)")
    parser.add_argument("--memory", type=float, default=80.0, help="GB (80)")
    parser.add_argument("--share", type=float, default=0.4, help="of both that is reached (0.4)")
    parser.add_argument("--disk", type=float, default=1.0, help="GB/s at which every worker reads the weights (1)")
    words = parser.parse_args()
    config = SIZES[words.model]
    accelerator = Accelerator(words.tflops * 1e12, words.bandwidth * 1e12, words.memory * 1e9, words.share)
    tasks = counted(words.tasks, shots=words.shots, sample=words.sample, context=config.context)
    show(tasks, config, accelerator, gpus=options.integers(words.gpus, "--gpus"), disk=words.disk * 1e9)


if __name__ == "__main__":
    raise SystemExit(main())
