"""RunSettings: the settings that apply to every task of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.errors import UsageError, check_whole
from evalkit.harness.requests import EmptyContext
from evalkit.harness.task import LM_EVAL, Protocol


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What to run. shots: counts of examples in the prompt. seeds: for drawing shots and for sampling.

    limit: documents per task, a fixed pseudo-random subset (None: all). limits: by the tasks' names instead; tasks that
    it does not name are run whole. seconds: the time for which the limits were chosen, for the record. protocol: None
    for each task's first.
    paper_shots: also run the count that the protocol's paper gave the task. templates: further wordings to run where a
    protocol has them; "all" runs every one. default_shots: the user named no counts, so a task file's own one applies.
    empty_context: what an empty context is; None: the protocol's choice.
    """

    shots: tuple[int, ...] = (0,)
    seeds: tuple[int, ...] = (1,)
    protocol: str | None = None
    limit: int | None = None
    paper_shots: bool = False
    templates: tuple[str, ...] = ()
    default_shots: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None
    empty_context: EmptyContext | None = None

    def __post_init__(self) -> None:
        if min(self.shots, default=0) < 0 or not (self.shots or self.paper_shots):
            raise UsageError("--shots: expected whole numbers from 0 up, or paper, for example 0,1,8 or 0,paper")
        if not self.seeds:
            raise UsageError("--seeds: expected whole numbers, for example 1,2,3")
        for seed in self.seeds:
            check_whole("each of --seeds", seed, least=None)
        check_whole("--limit", self.limit)
        for task, limit in self.limits.items():
            check_whole(f"limit of {task}", limit)

    def empty_context_of(self, protocol: str) -> EmptyContext:
        """Return what an empty context is under a protocol, by its name."""
        return self.empty_context or ("begin" if protocol == LM_EVAL else "end")

    def shots_of(self, protocol: Protocol) -> tuple[int, ...]:
        """Return the counts for a protocol, each once; none if only the paper's was requested and it states none."""
        if protocol.kind == "rolling":
            return (0,)
        paper = (protocol.paper_shots,) if self.paper_shots and protocol.paper_shots is not None else ()
        return tuple(dict.fromkeys((*self.shots, *paper)))

    def wordings_of(self, protocol: Protocol) -> dict[str, Protocol]:
        """Return the protocol in each wording to run; its own comes first, under the name ""."""
        names = [name for name in protocol.templates if name in self.templates or "all" in self.templates]
        return {name: protocol.wording(name) for name in ("", *names)}
