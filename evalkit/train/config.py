"""The settings of a training: the shape, the budget, and which of them decide the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from evalkit.errors import UsageError
from evalkit.model.config import GPTConfig
from evalkit.train.compiled import Compile
from evalkit.train.optim import OptimConfig
from evalkit.train.schedule import Schedule

# Tokens that one process passes through the model at once by default.
_AT_ONCE = 32_768

# Settings of how a training runs, not of what it computes: a resumed training may change them. How a batch is split,
# and among how many processes (accumulate), changes the weights by no more than rounding.
_INDECISIVE = (
    "device", "accumulate", "recompute", "shard", "compile", "checkpoint_every", "checkpoint_keep", "keep_last",
    "log_every", "spike",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """model: the shape. tokens: how many to train on (rounded up to whole steps). sequences: per step.

    start: the content hash of the weights that it starts from; None: random ones. extended: of each budget that was
    extended on the way, the earliest first, the step at which that happened and its tokens (schedule.py).
    window: tokens of a sequence, where that is less than the model's context; None: the context.
    accumulate: parts of a step that pass through the model one after the other; None: as many as keep a part small.
    recompute: do not store activations inside the blocks but recompute them for the gradient, which saves memory.
    shard: split weights, gradients and optimizer over the processes (FSDP2).
    dtype: of the matrix products; weights stay fp32. compile: torch.compile for the model; "auto" on a GPU when
    the budget repays it.
    checkpoint_every: steps between checkpoints. checkpoint_keep: steps between the models that are kept for good, each
    in its own folder step-N; None: none. keep_last: how many of the newest checkpoints can be resumed from.
    spike: nats above the running median that count as a loss spike.

    Raises UsageError for values that are not allowed.
    """

    model: GPTConfig
    tokens: int
    start: str | None = None
    extended: tuple[tuple[int, int], ...] = ()
    sequences: int = 8
    window: int | None = None
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
        if self.window is not None and not 1 <= self.window <= self.model.context:
            raise UsageError(f"window must be from 1 to the model's context of {self.model.context}, not {self.window}")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, not {self.seed}")
        if not self.spike > 0:
            raise UsageError(f"spike must be a positive number of nats, not {self.spike}")
        if self.shard and self.optim.muon_lr:
            raise UsageError("--fsdp needs --optimizer adamw: Muon needs whole matrices, FSDP2 keeps parts of them")
        if self.shard and self.compile == "on":
            raise UsageError("--fsdp and --compile on cannot be combined")

    @property
    def length(self) -> int:
        """Tokens of a sequence."""
        return self.window or self.model.context

    @property
    def flops_per_token(self) -> int:
        """Training FLOPs per token at the length of the sequences."""
        return replace(self.model, context=self.length).flops_per_token

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimizer step, over all parts and processes."""
        return self.sequences * self.length

    @property
    def steps(self) -> int:
        """Optimizer steps for the token budget."""
        return -(-self.tokens // self.tokens_per_step)

    @property
    def schedule(self) -> Schedule:
        """The learning rate's schedule over all budgets of the training."""
        firsts = [0, *(step for step, _ in self.extended)]
        budgets = [*(tokens for _, tokens in self.extended), self.tokens]
        return self.optim.over(
            *((first, -(-tokens // self.tokens_per_step)) for first, tokens in zip(firsts, budgets, strict=True))
        )

    def parts(self, processes: int) -> int:
        """Return into how many parts each of `processes` splits its share of a step.

        Raises UsageError when the sequences cannot be divided evenly: the mean over the parts would not be the mean
        over the step.
        """
        share, rest = divmod(self.sequences, processes)
        if rest:
            raise UsageError(
                f"{self.sequences} sequences per step cannot be divided evenly among {processes} processes"
            )
        if self.accumulate is None:
            divisors = [parts for parts in range(1, share + 1) if share % parts == 0]
            return next((parts for parts in divisors if share // parts * self.length <= _AT_ONCE), share)
        if share % self.accumulate:
            per_process = f" on each of {processes} processes" if processes > 1 else ""
            raise UsageError(
                f"{share} sequences per step{per_process} cannot be split into {self.accumulate} equal parts"
            )
        return self.accumulate

    def decisive(self, corpus: str) -> dict[str, Any]:
        """Return everything that decides the weights, as plain values; corpus: its fingerprint."""
        settings = asdict(self)
        for name in _INDECISIVE:
            del settings[name]
        return settings | {"corpus": corpus, "extended": [list(pair) for pair in self.extended] or None}
