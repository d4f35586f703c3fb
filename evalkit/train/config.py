"""What a training is asked: the shape, the budget, and what decides the weights and what does not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from evalkit.errors import UsageError
from evalkit.model.config import GPTConfig
from evalkit.train.compiled import Compile
from evalkit.train.optim import OptimConfig

# Tokens that one process takes through the model at once, where nobody says otherwise.
_AT_ONCE = 32_768

# How a training is run, not what it computes: a resumed training may have other ones. How a batch is cut and who takes
# which part of it (accumulate, the number of processes) changes the weights by no more than rounding.
_INDECISIVE = (
    "device", "accumulate", "recompute", "shard", "compile", "checkpoint_every", "checkpoint_keep", "keep_last",
    "log_every", "spike",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """model: the shape. tokens: how many to train on (rounded up to whole steps). sequences: per step.

    accumulate: parts of a step that go through the model one after the other; None: as many as keep a part small.
    recompute: keep no activations inside the blocks but compute them again for the gradient, which saves memory.
    shard: split weights, gradients and optimizer over the processes (FSDP2).
    dtype: of the matrix products; weights stay fp32. compile: torch.compile for the model; "auto" when the budget
    repays it and a compiler is found.
    checkpoint_every: steps between checkpoints. checkpoint_keep: steps between the models that stay for good, each in
    a folder step-N of its own; None: none. keep_last: how many of the newest checkpoints can be gone back to.
    spike: nats above the running median that count as a loss spike.

    Raises UsageError for values that are not allowed.
    """

    model: GPTConfig
    tokens: int
    sequences: int = 8
    accumulate: int | None = None
    recompute: bool = False
    shard: bool = False
    seed: int = 0
    dtype: Literal["bf16", "fp32"] = "bf16"
    device: str = "cpu"
    optim: OptimConfig = OptimConfig()
    checkpoint_every: int = 500
    checkpoint_keep: int | None = None
    keep_last: int = 1
    compile: Compile = "auto"
    log_every: int = 20
    spike: float = 1.0

    def __post_init__(self) -> None:
        for name in ("tokens", "sequences", "checkpoint_every", "log_every", "keep_last"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("checkpoint_keep", "accumulate"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, not {self.seed}")
        if not self.spike > 0:
            raise UsageError(f"spike must be a positive number of nats, not {self.spike}")
        if self.shard and self.optim.muon_lr:
            raise UsageError("--fsdp goes with --optimizer adamw: Muon needs whole matrices, FSDP2 keeps parts of them")
        if self.shard and self.compile == "on":
            raise UsageError("--fsdp and --compile on do not go together")

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimizer step, over all parts and processes."""
        return self.sequences * self.model.context

    @property
    def steps(self) -> int:
        """Optimizer steps for the token budget."""
        return -(-self.tokens // self.tokens_per_step)

    def parts(self, processes: int) -> int:
        """Return into how many parts each of `processes` cuts its share of a step.

        Raises UsageError when the sequences cannot be shared out evenly: only then the mean over the parts is the
        mean over the step.
        """
        share, rest = divmod(self.sequences, processes)
        if rest:
            raise UsageError(f"{self.sequences} sequences per step cannot be shared by {processes} processes evenly")
        if self.accumulate is None:
            divisors = [parts for parts in range(1, share + 1) if share % parts == 0]
            return next((parts for parts in divisors if share // parts * self.model.context <= _AT_ONCE), share)
        if share % self.accumulate:
            each = f" on each of {processes} processes" if processes > 1 else ""
            raise UsageError(f"{share} sequences per step{each} cannot be cut into {self.accumulate} equal parts")
        return self.accumulate

    def decisive(self, corpus: str) -> dict[str, Any]:
        """Return everything that decides the weights, as plain values; corpus: its fingerprint."""
        settings = asdict(self)
        for name in _INDECISIVE:
            del settings[name]
        return settings | {"corpus": corpus}
