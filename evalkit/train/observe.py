"""Observers of a model during its training: they run tasks and write samples. Neither changes the training.

Both see the checkpoint as it would be read from disk, so the scores are those of `evalkit run` on the same weights, and
the model being trained, its mode and the random state are left unchanged.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from evalkit.engine.gpt import GPTEngine
from evalkit.errors import UsageError
from evalkit.files import make_folder, write_atomic
from evalkit.harness.loaded import Loaded
from evalkit.harness.prompt_cache import PromptCache
from evalkit.harness.run import describe, evaluate
from evalkit.harness.settings import RunSettings
from evalkit.model import weights
from evalkit.model.gpt import GPT
from evalkit.progress import silent
from evalkit.runs.store import RunStore
from evalkit.tokenizer import Tokenizer
from evalkit.train.checkpoints import SCRATCH
from evalkit.types import Decoding, Request

Facts = Mapping[str, Any]  # step, tokens, flops, corpus, seed and held-out loss of the weights


class Observer(Protocol):
    """Looks at the model each time another `every` tokens have been read, and at the end."""

    @property
    def every(self) -> int:
        """Tokens between two looks."""
        ...

    def observe(self, engine: GPTEngine, out: Path, facts: Facts) -> None:
        """Look at the model at a step."""
        ...


def due(observer: Observer, *, before: int, now: int, last: bool) -> bool:
    """Whether the last step passed the observer's next multiple of tokens, or ended the training."""
    return last or now // observer.every > before // observer.every


def show(observers: Sequence[Observer], model: GPT, tokenizer: Tokenizer, out: Path, *, facts: Facts) -> None:
    """Show the model to the observers."""
    with tempfile.TemporaryDirectory(dir=out, prefix=SCRATCH) as name:
        folder = Path(name)
        weights.save(model, tokenizer, folder, record=None)
        content = weights.content_hash(folder)
        stored, stored_tokenizer = weights.load(folder, device=str(model.tokens.weight.device))
    engine = GPTEngine(stored, stored_tokenizer, name=out.resolve().name, content_hash=content)
    for observer in observers:
        observer.observe(engine, out, facts)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Runs tasks into OUT/eval/step-N, an ordinary run folder; the folder of a step taken again is replaced.

    prompts: where they are kept from one look to the next.

    Raises UsageError for `every` below 1.
    """

    every: int
    tasks: Sequence[Loaded]
    settings: RunSettings
    prompts: PromptCache = field(default_factory=PromptCache)

    def __post_init__(self) -> None:
        _check_every(self.every)

    def observe(self, engine: GPTEngine, out: Path, facts: Facts) -> None:
        """Run the tasks."""
        folder = out / "eval" / f"step-{facts['step']}"
        if folder.exists():
            shutil.rmtree(folder)
        with (
            silent(),
            RunStore(folder, describe(engine, self.tasks, self.settings), training=facts) as store,
        ):
            evaluate(engine, self.tasks, self.settings, store, prompts=self.prompts)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Writes texts that the model generates without a prompt into OUT/samples/step-N.txt, top-40 as GPT-2's samples."""

    every: int
    count: int = 3
    tokens: int = 100

    def __post_init__(self) -> None:
        _check_every(self.every)

    def observe(self, engine: GPTEngine, out: Path, facts: Facts) -> None:
        """Write the texts."""
        length = min(self.tokens, engine.context_length - 1)
        requests = [
            Request(
                kind="generate_until",
                task="samples",
                doc_id=str(number),
                context_ids=(engine.tokenizer.end_of_text,),
                decoding=Decoding(until=(), max_tokens=length, top_k=40, seed=number),
            )
            for number in range(self.count)
        ]
        texts = dict(engine.generate_until(requests))
        parts = [f"--- sample {number + 1}\n{texts[number].text}\n" for number in range(self.count)]
        read = "" if facts["tokens"] is None else f", {facts['tokens']:,} tokens"
        head = f"step {facts['step']:,}{read}\n"
        write_atomic(make_folder(out / "samples") / f"step-{facts['step']}.txt", head + "".join(parts))


def _check_every(every: int) -> None:
    if every < 1:
        raise UsageError(f"tokens between two looks at the model must be at least 1, not {every}")
