"""The training loop: forward, backward, step, log, checkpoint; a resumed run goes on exactly where it stopped."""

from __future__ import annotations

import contextlib
import io
import json
import platform
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from evalkit import __version__
from evalkit.corpus import Corpus, TokenStream
from evalkit.errors import CheckpointError, EvalkitError, UsageError
from evalkit.files import make_folder, write_atomic
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.progress import progress
from evalkit.tokenizer import Tokenizer
from evalkit.train.batches import Batches
from evalkit.train.compiled import Compile, hidden_of
from evalkit.train.loss import linear_cross_entropy
from evalkit.train.optim import OptimConfig, Optimizers


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """model: the shape. tokens: how many to train on (rounded up to whole steps). sequences: per step.

    checkpoint_every: steps between checkpoints. checkpoint_keep: steps between those that stay, each in a folder
    step-N of its own; None: only the last stays. compile: torch.compile for the model; "auto" when the budget repays it
    and a compiler is found. dtype: of the matrix products; weights stay fp32.
    """

    model: GPTConfig
    tokens: int
    sequences: int = 8
    seed: int = 0
    dtype: Literal["bf16", "fp32"] = "bf16"
    device: str = "cpu"
    optim: OptimConfig = OptimConfig()
    checkpoint_every: int = 500
    checkpoint_keep: int | None = None
    compile: Compile = "auto"
    log_every: int = 20

    def __post_init__(self) -> None:
        for name in ("tokens", "sequences", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.checkpoint_keep is not None and self.checkpoint_keep < 1:
            raise UsageError(f"checkpoint_keep must be at least 1, not {self.checkpoint_keep}")

    @property
    def steps(self) -> int:
        """Optimizer steps for the token budget."""
        return -(-self.tokens // (self.sequences * self.model.context))


class DivergedError(EvalkitError):
    """The loss became NaN or infinite."""


def train(config: TrainConfig, corpus: Corpus, tokenizer: Tokenizer, out: Path, *, resume: bool = False) -> GPT:
    """Train a GPT and leave a checkpoint folder in `out` (weights, tokenizer, training.json, metrics.jsonl, state.pt).

    Raises UsageError when `out` holds a training and `resume` is False, CheckpointError when it cannot be resumed,
    DivergedError when the loss is no longer finite.
    """
    check_free(out, resume=resume)
    make_folder(out)
    state_path = out / "state.pt"
    trainer = Trainer(config, corpus, tokenizer, out)
    if resume and state_path.exists():
        trainer.restore(state_path)
    trainer.cut_log()
    trainer.run()
    return trainer.model


def check_free(out: Path, *, resume: bool) -> None:
    """Raise UsageError when `out` holds a training that is not to be resumed."""
    if (out / "state.pt").exists() and not resume:
        raise UsageError(f"{out} already holds a training; give --resume to go on with it, or another --out")


class Trainer:
    """One training: its model, optimizers and position."""

    def __init__(self, config: TrainConfig, corpus: Corpus, tokenizer: Tokenizer, out: Path):
        self.config, self.corpus, self.tokenizer, self.out = config, corpus, tokenizer, out
        torch.manual_seed(config.seed)
        self.model = GPT(config.model)
        self.model.initialize(torch.Generator().manual_seed(config.seed))
        self.model.to(config.device)
        self.optimizers = Optimizers(self.model, config.optim, steps=config.steps)
        self.batches = Batches(corpus.train, context=config.model.context, sequences=config.sequences, seed=config.seed)
        self.step = 0
        self.seconds = self.cpu_seconds = 0.0
        self.loss: float | None = None  # mean over the steps since the log's line before
        self._hidden, self.compiled = hidden_of(self.model, config.compile, tokens=config.tokens)

    def run(self) -> None:
        """Train from the current step to the last, logging and checkpointing on the way."""
        config = self.config
        self._began = time.monotonic() - self.seconds, time.process_time() - self.cpu_seconds
        self._read_at = self.step
        per_step = config.sequences * config.model.context
        self.model.train()
        running: list[Tensor] = []
        with (
            (self.out / "metrics.jsonl").open("a", encoding="utf-8") as log,
            progress(
                f"train {self.out.name}",
                total=config.steps * per_step,
                unit="tokens",
                start=self.step * per_step,
            ) as bar,
        ):
            while self.step < config.steps:
                loss, norm = self._one_step()
                running.append(loss)
                note = ""
                checkpoint = self.step % config.checkpoint_every == 0 and self.step < config.steps
                kept = config.checkpoint_keep is not None and self.step % config.checkpoint_keep == 0
                if checkpoint or kept or self.step % config.log_every == 0 or self.step == config.steps:
                    speed = self._read_clocks()
                    self.loss = mean = float(torch.stack(running).mean())
                    running.clear()
                    note = f"loss {mean:.3f}, {speed:,.0f} tokens/s"
                    self._log(log, mean, float(norm), speed)
                bar.advance(per_step, note=note)
                if kept:  # first, so that whoever is stopped in between keeps it again
                    self.keep()
                if checkpoint:  # logged just before, so its loss is known to be finite
                    self.save()
        self._read_clocks()
        self.save()

    def _read_clocks(self) -> float:
        """Bring the seconds up to date; return the tokens per second since the last reading."""
        before, at = self.seconds, self._read_at
        self.seconds = time.monotonic() - self._began[0]
        self.cpu_seconds = time.process_time() - self._began[1]
        self._read_at = self.step
        per_step = self.config.sequences * self.config.model.context
        return (self.step - at) * per_step / max(self.seconds - before, 1e-9)

    def _one_step(self) -> tuple[Tensor, Tensor]:
        """Take one optimizer step; return its loss and gradient norm."""
        inputs, targets = (t.to(self.config.device) for t in self.batches.batch(self.step))
        with _precision(self.config):
            states_BTD = self._hidden(inputs)
        loss = linear_cross_entropy(
            states_BTD.flatten(0, 1),
            self.model.tokens.weight,
            targets.flatten(),
            dtype=torch.bfloat16 if self.config.dtype == "bf16" else torch.float32,
        )
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optim.clip)
        self.optimizers.step(self.step)
        self.step += 1
        return loss.detach(), norm

    def _log(self, log: io.TextIOBase, loss: float, norm: float, speed: float) -> None:
        if not np.isfinite(loss):
            kept = f"the last good checkpoint is {self.out}" if (self.out / "state.pt").exists() else "none was saved"
            raise DivergedError(f"the loss became {loss} at step {self.step}; {kept}; try a lower learning rate")
        tokens = self.step * self.config.sequences * self.config.model.context
        entry = {
            "step": self.step,
            "tokens": tokens,
            "flops": tokens * self.config.model.flops_per_token,
            "loss": round(loss, 5),
            "rate": round(self.optimizers.rate(self.step - 1), 5),
            "gradient_norm": round(norm, 4),
            "seconds": round(self.seconds, 2),
            "tokens_per_second": round(speed, 1),
        }
        log.write(json.dumps(entry) + "\n")
        log.flush()

    def save(self) -> None:
        """Write the checkpoint: state.pt to resume from (the truth), then the weights as a model folder."""
        saved = {
            "settings": _settings(self.config, self.corpus),
            "step": self.step,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "loss": self.loss,
            "model": self.model.state_dict(),
            "optimizers": self.optimizers.state(),
            "random": torch.get_rng_state(),
        }
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        write_atomic(self.out / "state.pt", buffer.getvalue())
        weights.save(self.model, self.tokenizer, self.out, record=self._record())

    def keep(self) -> None:
        """Write the weights of now to the folder step-N, which no later checkpoint replaces: a point of a curve."""
        folder = self.out / f"step-{self.step}"
        weights.save(self.model, self.tokenizer, folder, record=self._record())

    def restore(self, path: Path) -> None:
        """Go on from state.pt. Raises CheckpointError when it is broken or of another training."""
        try:
            saved = torch.load(path, weights_only=True, map_location=self.config.device)
            theirs, ours = saved["settings"], _settings(self.config, self.corpus)
            theirs["model"] = asdict(GPTConfig(**theirs["model"]))  # fields younger than the file have their defaults
            changed = [key for key in ours if theirs.get(key) != ours[key]]
            if changed:
                detail = "; ".join(f"{key}: {theirs.get(key)} -> {ours[key]}" for key in changed)
                raise CheckpointError(f"{path} is of a training with other settings ({detail})")
            self.model.load_state_dict(saved["model"])
            self.optimizers.restore(saved["optimizers"])
            self.step, self.seconds = saved["step"], saved["seconds"]
            # Absent in files of before these were kept.
            self.cpu_seconds, self.loss = saved.get("cpu_seconds", 0.0), saved.get("loss")
            torch.set_rng_state(saved["random"])
        except CheckpointError:
            raise
        except Exception as error:  # torch.load fails in many ways on a broken file
            raise CheckpointError(f"{path} cannot be read: {error}; is the file cut?") from error

    def cut_log(self) -> None:
        """Drop what was logged after the current step: those steps are about to be taken again."""
        path = self.out / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError, KeyError):
                if json.loads(line)["step"] <= self.step:
                    kept.append(line + "\n")
        write_atomic(path, "".join(kept))

    def _record(self) -> dict[str, Any]:
        """Say how the weights came about, for training.json."""
        config = self.config
        return {
            "evalkit": __version__,
            "commit": _commit(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "settings": _settings(config, self.corpus),
            "corpus": asdict(self.corpus.info),
            "parameters": config.model.parameters,
            "block_parameters": config.model.block_parameters,
            "step": self.step,
            "tokens": self.step * config.sequences * config.model.context,
            "flops": self.step * config.sequences * config.model.context * config.model.flops_per_token,
            "training_loss": self.loss,
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "threads": torch.get_num_threads(),
            "compiled": self.compiled,
            "validation_loss": validation_loss(self.model, self.corpus.validation, config),
        }


def _settings(config: TrainConfig, corpus: Corpus) -> dict[str, Any]:
    """Return everything that decides the weights, as plain values."""
    settings = asdict(config)
    for name in ("device", "checkpoint_every", "checkpoint_keep", "compile", "log_every"):
        del settings[name]
    return settings | {"corpus": corpus.info.fingerprint}


def _commit() -> str | None:
    """Return the commit of the checkout that this code runs from, "+" if it was changed since; None elsewhere."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    words = ["git", "-C", str(here), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return None


def _precision(config: TrainConfig) -> contextlib.AbstractContextManager[Any]:
    if config.dtype == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(config.device.partition(":")[0], dtype=torch.bfloat16)


@torch.no_grad()
def validation_loss(model: GPT, stream: TokenStream, config: TrainConfig) -> float | None:
    """Return nats per token over the first 64 windows of the validation stream; None when it is shorter than one."""
    losses = []
    model.eval()
    for window in _windows(stream, config.model.context, limit=64):
        tokens = torch.from_numpy(window.astype(np.int64)).to(config.device)
        with _precision(config):
            logits_1TV = model(tokens[None, :-1])
        losses.append(F.cross_entropy(logits_1TV[0].float(), tokens[1:]))
    model.train()
    return round(float(torch.stack(losses).mean()), 5) if losses else None


def _windows(stream: TokenStream, context: int, *, limit: int) -> Iterator[NDArray[np.unsignedinteger]]:
    for start in range(0, min(len(stream) - context, limit * context), context):
        yield stream[start : start + context + 1]
