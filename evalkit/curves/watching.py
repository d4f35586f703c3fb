"""Watch a training's folder: evaluate each checkpoint that appears in it, and stop where a gate fails."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from evalkit import api
from evalkit.comparison import baseline, comparison
from evalkit.curves import checkpoints
from evalkit.curves.checkpoints import Checkpoint
from evalkit.curves.learning_curve import LearningCurve
from evalkit.engine.open import Model
from evalkit.errors import CheckpointError, CompareError, UsageError
from evalkit.frames import Comparison
from evalkit.model.formats import transformers
from evalkit.results import Run

log = logging.getLogger(__name__)

# The files of the checkpoint that is being evaluated, inside the curve's folder.
_AT_WORK = ".checkpoint"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Fails at a step that is worse than a base. base: a run or a baseline file. after: the first step that counts.

    alpha: the error over the whole training, however many steps are compared: the k-th comparison has
    alpha / (k (k + 1)), and these sum to alpha. margins: as of evalkit.compare.

    Raises StoreError for a base that cannot be read.
    """

    base: Path
    after: int = 0
    alpha: float = 0.05
    margins: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        baseline.read(self.base)
        comparison.Settings(alpha=self.alpha)

    def compare(self, run: Run, *, number: int) -> Comparison:
        """Compare the base with a run, the `number`-th one, on the documents that both have scored.

        Resampling to a small alpha takes long, so a run is tested with the whole one first. Raises CompareError where
        they share no documents, or were asked in different ways.
        """
        compare = partial(
            api.compare, self.base, run, margin=dict(self.margins), allow=("tasks", "documents", "seeds")
        )  # fmt: skip
        found = compare(alpha=self.alpha)
        return compare(alpha=self.alpha / (number * (number + 1))) if found.failing else found


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A step that was evaluated.

    new: it was not in the curve before. worse: why the gate fails; empty if it does not.
    """

    step: int
    run: Run
    new: bool
    worse: tuple[str, ...] = ()


class Watch:
    """The checkpoints of a folder, evaluated into a curve as they become complete.

    open: opens a checkpoint, with a tokenizer in place of its own unless that is None. tokenizer: where one is that
    stands in for that of checkpoints: in transformers' layout where they have none, else for all. failures: what could
    not be evaluated, by step.
    """

    def __init__(
        self,
        folder: Path,
        curve: LearningCurve,
        *,
        open: Callable[[Path, Path | None], Model],
        gate: Gate | None = None,
        tokenizer: Path | None = None,
    ):
        if not folder.is_dir():
            raise UsageError(f"no folder {folder}")
        self.folder, self._curve, self._open, self._gate = folder, curve, open, gate
        self._tokenizer = tokenizer
        self._compared = 0
        self._marks: dict[int, str] = {}  # of the checkpoints that need not be looked at again
        self.failures: dict[int, str] = {}

    def earlier(self) -> Iterator[Seen]:
        """Yield the steps that an earlier start evaluated, judged by the gate again."""
        self._curve.refresh()
        for line in self._curve.lines:
            yield self._judged(line["step"], self._curve.run(line["step"]), new=False)

    def pass_once(self) -> Iterator[Seen]:
        """Evaluate the complete checkpoints that are new, or whose weights have changed, the earliest step first."""
        for checkpoint in checkpoints.complete(self.folder):
            lines = {line["step"]: line for line in self._curve.lines}
            before = lines.get(checkpoint.step, {})
            if self._marks.get(checkpoint.step, before.get("mark")) == checkpoint.mark:
                continue
            try:
                run = self._evaluate(checkpoint)
            except CheckpointError as error:
                self.failures[checkpoint.step] = str(error)
                log.error("step %s cannot be evaluated: %s", f"{checkpoint.step:,}", error)
                self._marks[checkpoint.step] = checkpoint.mark
                continue
            if run is None:
                continue
            self.failures.pop(checkpoint.step, None)
            self._marks[checkpoint.step] = checkpoint.mark
            if self._hash(checkpoint.step) != before.get("hash"):  # else the same weights in another place
                yield self._judged(checkpoint.step, run)

    def _hash(self, step: int) -> str:
        return next(str(line["hash"]) for line in self._curve.lines if line["step"] == step)

    def settling(self) -> bool:
        """Whether a checkpoint would be complete if it stays as it is for a while."""
        return len(checkpoints.complete(self.folder, settled=0.0)) > len(checkpoints.complete(self.folder))

    def _evaluate(self, checkpoint: Checkpoint) -> Run | None:
        """Evaluate a checkpoint; None where it has changed or gone meanwhile."""
        place = self._curve.out / _AT_WORK
        try:
            if not checkpoints.snapshot(checkpoint, place):
                log.info("step %s is being replaced or removed; left for later", f"{checkpoint.step:,}")
                return None
            given = self._tokenizer
            if given and transformers.recognises(place):  # transformers itself may run it, and looks only there
                checkpoints.add_tokenizer(place, given)
                given = None
            model = self._open(place if checkpoint.path.is_dir() else place / checkpoint.path.name, given)
            facts = {name: value for name, value in checkpoint.facts.items() if name != "step"}
            return self._curve.add(model, step=checkpoint.step, mark=checkpoint.mark, **facts)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _judged(self, step: int, run: Run, *, new: bool = True) -> Seen:
        if self._gate is None or step < self._gate.after:
            return Seen(step=step, run=run, new=new)
        self._compared += 1
        try:
            found = self._gate.compare(run, number=self._compared)
        except CompareError as error:
            raise CompareError(f"--fail-if-worse-than: {error}") from error
        worse = tuple(f"{f.name}: {f.base:.1f} -> {f.new:.1f} (p {f.adjusted:.2g})" for f in found.failing)
        return Seen(step=step, run=run, new=new, worse=worse)


def follow(watch: Watch, *, every: float, until: int | None, once: bool) -> Iterator[Seen]:
    """Yield the steps as they are evaluated; with `once` those that are there, else until a step or for ever.

    every: seconds between two looks. Raises UsageError where a single look finds no complete checkpoint.
    """
    last = -1
    waited = False
    while True:
        for seen in chain(watch.earlier() if last < 0 else (), watch.pass_once()):
            last = max(last, seen.step)
            yield seen
            if until is not None and last >= until:
                return
        if once and (waited or not watch.settling()):
            if last < 0 and not watch.failures:
                raise UsageError(f"{watch.folder} holds no complete checkpoint")
            return
        waited = True
        time.sleep(checkpoints.SETTLED if once else every)
