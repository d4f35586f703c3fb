"""The training loop: forward, backward, step, log, checkpoint; a resumed run continues exactly where it stopped."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evalkit import costs
from evalkit.corpus import Corpus
from evalkit.errors import CheckpointError
from evalkit.files import make_folder
from evalkit.model import record, weights
from evalkit.model.gpt import GPT
from evalkit.progress import Progress, progress, silent
from evalkit.tokenizer import Tokenizer
from evalkit.train import checkpoints, observe
from evalkit.train.batches import Batches, check_vocabulary
from evalkit.train.checkpoints import STATE
from evalkit.train.config import TrainConfig
from evalkit.train.distributed import Ranks, synchronized
from evalkit.train.lanes import Lanes
from evalkit.train.log import Clock, Metrics, check_tensorboard
from evalkit.train.memory import keep_freed_memory
from evalkit.train.objective import Objective, product_dtype
from evalkit.train.observe import Observer
from evalkit.train.optim import Optimizers
from evalkit.train.peak import matmul_peak
from evalkit.train.shards import split_like, whole
from evalkit.train.spikes import DivergedError, SpikeWatch
from evalkit.train.start import Start
from evalkit.train.stopping import StoppedError, StopSignals
from evalkit.train.validation import HeldOut, Validation, budget, recorded

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What accompanies a training without changing the weights.

    ranks: the processes that share the work; None: this one alone. observers: called with the model during the
    training. tensorboard: whether TensorBoard's event files are written too.
    """

    ranks: Ranks | None = None
    observers: Sequence[Observer] = ()
    tensorboard: bool = False


def train(
    config: TrainConfig,
    corpus: Corpus,
    tokenizer: Tokenizer,
    out: Path,
    *,
    resume: int | bool = False,
    start: Start | None = None,
    surroundings: Surroundings | None = None,
) -> GPT:
    """Train a GPT and leave a checkpoint folder in `out` (weights, tokenizer, training.json, metrics.jsonl, state.pt).

    resume: True to continue from the newest checkpoint, a number to go back to the checkpoint of that step; with more
    tokens than it had, the training's budget is extended (schedule.py). start: the weights to begin with; None: random
    ones.

    Raises UsageError when `out` holds a training and `resume` is False, CheckpointError when it cannot be resumed or
    corpus, tokenizer, shape and start do not fit together, DivergedError when the loss diverges, StoppedError after
    SIGTERM or SIGINT.
    """
    config = replace(config, start=start.digest if start else None)
    checkpoints.check_free(out, resume=resume is not False)
    if surroundings and surroundings.tensorboard:
        check_tensorboard()
    check_vocabulary(corpus, tokenizer, size=config.model.vocab_size)
    if start:
        start.check(config.model, tokenizer)
    make_folder(out)
    state = checkpoints.state_to_resume(out, resume)
    trainer = Trainer(config, corpus, tokenizer, out, start=start, surroundings=surroundings)
    if state:
        trainer.restore(state)
    trainer.run()
    return trainer.model


class Trainer:
    """One training: its model, optimizers and position."""

    def __init__(
        self,
        config: TrainConfig,
        corpus: Corpus,
        tokenizer: Tokenizer,
        out: Path,
        *,
        start: Start | None = None,
        surroundings: Surroundings | None = None,
    ):
        self.surroundings = surroundings or Surroundings()
        self.ranks = self.surroundings.ranks or Ranks(device=config.device)
        self.config, self.corpus, self.tokenizer, self.out, self._start = config, corpus, tokenizer, out, start
        self._parts = config.parts(self.ranks.size)
        self.batches = Batches(corpus.train, context=config.length, sequences=config.sequences, seed=config.seed)
        torch.manual_seed(config.seed)
        self.model = GPT(config.model)
        if start:
            self.model.load_state_dict(start.model.state_dict())
        else:
            self.model.initialize(torch.Generator().manual_seed(config.seed))
        self.objective = Objective(self.model, config)
        self._wrapped = self.ranks.wrap(self.objective, shard=config.shard)
        self.optimizers = Optimizers(self.model, config.optim, schedule=config.schedule)
        self._lanes = self._make_lanes()
        keep_freed_memory()
        self.step = 0
        self.clock = Clock()
        self.loss: float | None = None  # mean over the steps since the previous line of the log
        self.held_out: HeldOut | None = None  # of the weights that were last validated
        self._validation = Validation(corpus.validation, context=config.length, end_of_text=tokenizer.end_of_text)
        self._watch = SpikeWatch(config.spike)
        self._running: list[Tensor] = []  # the losses since the previous line of the log
        self._norm = torch.zeros(())

    def run(self) -> None:
        """Train from the current step to the last, logging and checkpointing on the way."""
        config = self.config
        per_step = config.tokens_per_step
        self.model.train()
        self._peak = self._measured_peak()
        with contextlib.ExitStack() as stack:
            if self.ranks.first:
                metrics = Metrics(self.out, step=self.step, tensorboard=self.surroundings.tensorboard)
                self._metrics = stack.enter_context(metrics)
            else:
                stack.enter_context(silent())
            costs.use(self.ranks.device, count=self.ranks.size)
            start, total = self.step * per_step, config.steps * per_step
            bar = stack.enter_context(progress(f"train {self.out.name}", total=total, unit="tokens", start=start))
            stop = stack.enter_context(StopSignals())
            if self.ranks.first and len(self.corpus.validation) < 2:
                log.warning("the corpus %s has no held-out text: there will be no held-out loss", self.corpus.info.name)
            self.clock.start()
            while self.step < config.steps:
                self._one_step()
                self._after_step(bar, stop=self.ranks.largest(stop.number))

    def _make_lanes(self) -> Lanes:
        """Return the threads of a step; only one if gradients are averaged over processes, or with dropout."""
        alone = self.ranks.size == 1 and self.ranks.device == "cpu"
        if not alone or self.objective.compiled or self.config.recompute or self.config.model.dropout:
            return Lanes(self.model, count=1)
        rows = self.config.sequences // self._parts
        return Lanes(self.model, count=min(torch.get_num_threads(), rows), dtype=product_dtype(self.config))

    def _one_step(self) -> None:
        """Take one optimizer step: every process a share of the sequences, in parts."""
        ranks, parts = self.ranks, self._parts
        if self.config.model.dropout:
            # Dropout is a function of seed, step and process, so no random state needs to be stored.
            seed = np.random.SeedSequence([self.config.seed, self.step, ranks.rank])
            torch.manual_seed(int(seed.generate_state(1, np.uint64)[0]))
        inputs, targets = self.batches.batch(self.step)
        rows = self.config.sequences // (ranks.size * parts)
        total = torch.zeros((), device=ranks.device)
        for part in range(parts):
            first = (part * ranks.size + ranks.rank) * rows
            share = slice(first, first + rows)
            with synchronized(self._wrapped, last=part == parts - 1):
                share_BT = inputs[share].to(ranks.device), targets[share].to(ranks.device)
                total += self._lanes.backward(self._wrapped, *share_BT, scale=1 / parts)
        self._norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optim.clip)
        self.optimizers.step(self.step)
        self.step += 1
        self._running.append(total)

    def _after_step(self, bar: Progress, *, stop: int) -> None:
        """Do what is due: log, keep, save, call observers. stop: the number of a signal to stop, or 0."""
        config, step, per_step = self.config, self.step, self.config.tokens_per_step
        last = step == config.steps
        keep = config.checkpoint_keep is not None and step % config.checkpoint_keep == 0
        checkpoint = last or stop or step % config.checkpoint_every == 0
        observers = [
            observer
            for observer in self.surroundings.observers
            if observe.due(observer, before=(step - 1) * per_step, now=step * per_step, last=last)
        ]
        note = ""
        if checkpoint or keep or observers or step % config.log_every == 0:
            note = self._log(validate=bool(checkpoint or keep or observers), last=last)
        bar.advance(per_step, note=note)
        # Both before the state is saved, so that they are done again after a kill in between.
        if keep:
            self.keep()
        if observers:
            self._observe(observers)
        # Logged just before, so the loss is known to be finite; weights within a spike are not worth resuming from.
        if checkpoint and (self._watch.calm or last or stop):
            self.save()
        if stop and not last:
            name, position = signal.Signals(stop).name, f"step {step:,} of {config.steps:,}"
            raise StoppedError(f"stopped by {name} at {position}; everything is saved in {self.out}", stop)

    def _log(self, *, validate: bool, last: bool) -> str:
        """Write a line of the log and return its summary for the progress bar. Raises DivergedError."""
        config, tokens = self.config, self.step * self.config.tokens_per_step
        losses = self.ranks.mean(torch.stack(self._running)).tolist()
        self._running.clear()
        speed = len(losses) * config.tokens_per_step / max(self.clock.read(), 1e-9)
        if problem := self._watch.see(losses):
            saved = checkpoints.step_of_model(self.out)
            fallback = f"the last good checkpoint is {self.out} (step {saved})" if saved else "no checkpoint was saved"
            raise DivergedError(f"{problem} at step {self.step}; {fallback}; try a lower learning rate")
        self.loss = float(np.mean(losses))
        rate, share = self.optimizers.schedule.rate(self.step - 1), self._share_of_peak(speed)
        entry: dict[str, Any] = {
            "step": self.step,
            "tokens": tokens,
            "flops": tokens * config.flops_per_token,
            "loss": round(self.loss, 5),
            "rate": round(rate, 5),
            "muon_lr": config.optim.muon_lr * rate,
            "adam_lr": config.optim.adam_lr * rate,
            "gradient_norm": round(float(whole(self._norm)), 4),
            "seconds": round(self.clock.seconds, 2),
            "tokens_per_second": round(speed, 1),
            "matmul_share": None if share is None else round(share, 4),
        }
        if validate:
            model = self._whole_model()
            if self.ranks.first:
                with self.clock.stopped():
                    self.held_out = self._validation.loss(model, config, tokens=budget(config, last=last))
                entry |= recorded(self.held_out)
        if self.ranks.first:
            self._metrics.write(entry)
        held_out = f", held-out {self.held_out.loss:.3f}" if self.held_out else ""
        of_peak = "" if share is None else f", {share:.0%} of matmul peak"
        return f"loss {self.loss:.3f}{held_out}, {speed:,.0f} tokens/s{of_peak}"

    def _measured_peak(self) -> float:
        return self.ranks.size * matmul_peak(dtype=product_dtype(self.config), device=self.ranks.device)

    def _share_of_peak(self, speed: float) -> float | None:
        """Return the training's share of the peak rate of matrix products; None where no peak can be measured.

        A share above 1 means that the machine was busy when the peak was measured, which is then done again.
        """
        rate = speed * self.config.flops_per_token
        if rate > self._peak:
            with self.clock.stopped():
                self._peak = max(self._peak, self._measured_peak())
        return rate / self._peak if rate <= self._peak else None

    def _whole_model(self) -> GPT:
        """Return the model with unsplit weights, as a copy if they are split; all processes must call it."""
        if not self.config.shard:
            return self.model
        state = whole(self.model.state_dict(), keep=self.ranks.first)
        model = weights.empty(self.config.model)
        if self.ranks.first:
            model.load_state_dict(state, assign=True)
            model.to(self.ranks.device)
        return model

    def save(self) -> None:
        """Write the checkpoint: state.pt to resume from (authoritative), then the weights as a model folder."""
        first, config, model = self.ranks.first, self.config, self._whole_model()
        state = {
            "settings": config.decisive(self.corpus.info.fingerprint),
            "step": self.step,
            "seconds": self.clock.seconds,
            "cpu_seconds": self.clock.cpu_seconds,
            "loss": self.loss,
            **recorded(self.held_out),
            "model": model.state_dict(),
            "optimizers": whole(self.optimizers.state(), keep=first),
        }
        if not first:
            return
        checkpoints.write_state(self.out / STATE, state)
        weights.save(model, self.tokenizer, self.out, record=self._record())
        if config.keep_last > 1:
            folder = checkpoints.folder_of(self.out, self.step)
            checkpoints.add_state(self.out, folder)
            weights.save(model, self.tokenizer, folder, record=self._record())
            checkpoints.prune(self.out, last=config.keep_last, every=config.checkpoint_keep)

    def keep(self) -> None:
        """Write the current weights to the folder step-N, which no later checkpoint replaces: a point of a curve."""
        model = self._whole_model()
        if self.ranks.first:
            folder = checkpoints.folder_of(self.out, self.step)
            weights.save(model, self.tokenizer, folder, record=self._record())

    def _observe(self, observers: Sequence[Observer]) -> None:
        model, facts = self._whole_model(), record.facts(self._record())
        with self.clock.stopped():
            if self.ranks.first:
                observe.show(observers, model, self.tokenizer, self.out, facts=facts)
            self.ranks.wait()

    def restore(self, path: Path) -> None:
        """Continue from a state. Raises CheckpointError when it is broken or belongs to another training."""
        state = checkpoints.read_state(path, settings=self.config.decisive(self.corpus.info.fingerprint))
        try:
            self.config = checkpoints.extended(self.config, state)
            self.optimizers.schedule = self.config.schedule
            self._load(state)
        except Exception as error:  # torch fails in many ways on a state that does not fit
            raise CheckpointError(f"{path} does not fit this training: {' '.join(str(error).split())[:200]}") from error
        if (before := state["settings"]["tokens"]) < self.config.tokens and self.ranks.first:
            budgets = f"{before:,} to {self.config.tokens:,} tokens"
            log.warning("the budget grows from %s at step %s", budgets, f"{self.step:,}")
        earlier = path != self.out / STATE
        if self.ranks.first:
            checkpoints.sweep(self.out)
        if earlier and self.ranks.first:
            checkpoints.forget_after(self.out, self.step)
        folders = [self.out, *([checkpoints.folder_of(self.out, self.step)] if self.config.keep_last > 1 else [])]
        outdated = self.ranks.first and any(checkpoints.step_of_model(folder) != self.step for folder in folders)
        if self.ranks.largest(int(earlier or outdated)):
            self.save()

    def _load(self, state: Mapping[str, Any]) -> None:
        parameters = dict(self.model.named_parameters())
        self.model.load_state_dict(
            {name: split_like(value, parameters[name]) for name, value in state["model"].items()}
        )
        self.optimizers.restore(state["optimizers"])
        self.step, self.clock.seconds = state["step"], state["seconds"]
        # Absent in older files.
        self.clock.cpu_seconds = state.get("cpu_seconds", 0.0)
        self.loss = state.get("loss")
        if (loss := state.get("validation_loss")) is not None:
            error, tokens = (state.get(f"validation_{name}") for name in ("stderr", "tokens"))
            self.held_out = HeldOut(loss=loss, stderr=error, tokens=tokens)

    def _record(self) -> dict[str, Any]:
        """Return the content of training.json: how the weights were trained."""
        facts = {
            "training_loss": self.loss,
            **recorded(self.held_out),
            "seconds": round(self.clock.seconds, 1),
            "cpu_seconds": round(self.clock.cpu_seconds, 1),
            "processes": self.ranks.size,
            "compiled": self.objective.compiled,
            **({"from": self._start.record()} if self._start else {}),
        }
        return checkpoints.record(self.config, self.corpus.info, step=self.step, facts=facts)
