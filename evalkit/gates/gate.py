"""gate(): whether a model is better than, worse than or the same as a base, from as few documents as that takes.

OUT/gate.json      the settings, and once it has ended the outcome
OUT/waves.jsonl    what each wave reads: the journal with which another start goes on
OUT/new, OUT/base  run folders of the models that were asked, with the documents that were read
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from evalkit import api
from evalkit.comparison import baseline
from evalkit.comparison.comparable import Pair, differences, pair_up
from evalkit.comparison.evidence import Evidence
from evalkit.comparison.verdicts import check_margins
from evalkit.engine.cache import ResponseCache, response_cache
from evalkit.engine.calls import Here, Placing
from evalkit.engine.open import Model, open_model
from evalkit.engine.placing import placing
from evalkit.errors import CompareError, StoreError, UsageError
from evalkit.files import leftovers, make_folder, read_json, write_atomic
from evalkit.gates import plan as plans
from evalkit.gates.outcome import Gate, outcome
from evalkit.gates.plan import Plan
from evalkit.gates.reading import Budget, Part
from evalkit.gates.settings import GateSettings, check_weights
from evalkit.gates.sides import ModelSide, Side, StoredSide
from evalkit.gates.suite import Suite
from evalkit.gates.waves import Waves
from evalkit.harness.failures import MAX_FAILED
from evalkit.harness.run import cells, settings_digest
from evalkit.progress import progress, silent
from evalkit.results import Run
from evalkit.runs.journal import Journal
from evalkit.runs.store import differences as changed_settings

Source = Evidence | Model

ABOUT, WAVES = "gate.json", "waves.jsonl"


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What a gate decided, and the scores that it rests on."""

    gate: Gate
    pairs: Sequence[Pair]
    base: Evidence
    new: Evidence


def gate(
    base: Run | Model | str | Path,
    new: Run | Model | str | Path,
    tasks: api.Tasks | None = None,
    *,
    margin: float | Mapping[str, float] | None = None,
    alpha: float = 0.05,
    budget: int | str | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    allow: Sequence[str] = (),
    strict: bool = False,
    out: str | Path | None = None,
    cache: bool = True,
    max_failed: float = MAX_FAILED,
    workers: int | None = None,
    ray: str | None = None,
    threads: int | None = None,
    **asked: Any,
) -> Gate:
    """Read documents in waves until each task is decided: better, worse, the same within a margin, or undecided.

    base, new: runs, their folders, baseline files, or models (opened ones, or names), which are asked as documents are
    read. tasks and asked (shots, seeds, limit, protocol, data, ...): as of evalkit.load_tasks; by default the tasks,
    shots and seeds of a stored side. margin, alpha, allow, strict: as of evalkit.compare; the error rates hold although
    the data decides when to stop. budget: documents over all tasks, or a time such as "90s", after which the rest is
    undecided. weights: task -> its share of alpha, in any unit; 1 for all others. seed: fixes the order of reading.
    out: the gate's folder (default: runs/gate-MODEL-SETTINGS); the same gate goes on there, with a larger budget too.
    cache, max_failed, workers, ray, threads: as of evalkit.evaluate.

    Raises CompareError for sides that cannot be compared, StoreError for a folder that holds another gate, and the
    errors of evalkit.evaluate.
    """
    margins = {} if margin is None else dict(margin) if isinstance(margin, Mapping) else {"": margin}
    settings = GateSettings(
        alpha=alpha, margins=margins, allow=tuple(allow), strict=strict, weights=dict(weights or {}), seed=seed
    )
    with placing(workers=workers, address=ray, threads=threads) as place:
        return decide(
            source(base), source(new), tasks, settings=settings,
            budget=Budget() if budget is None else Budget.parse(str(budget)), out=None if out is None else Path(out),
            cache=response_cache() if cache else None, max_failed=max_failed, place=place, **asked,
        ).gate  # fmt: skip


def source(side: Run | Model | str | Path, *, open: Callable[[str | Path], Model] = open_model) -> Source:
    """Read a stored run or a baseline file, or open a model. Raises StoreError and CheckpointError as these do."""
    if isinstance(side, Model):
        return side
    path = side.folder if isinstance(side, Run) else Path(side)
    if isinstance(side, Run) or (path / "manifest.json").is_file() or (path.suffix == ".json" and path.is_file()):
        return baseline.read(path)
    return open(side)


def decide(
    base: Source,
    new: Source,
    tasks: api.Tasks | None,
    *,
    settings: GateSettings,
    budget: Budget,
    out: Path | None = None,
    cache: ResponseCache | None = None,
    max_failed: float = MAX_FAILED,
    place: Placing = Here,
    **asked: Any,
) -> Decided:
    """Plan, read and decide. asked: the settings of load_tasks. The rest is as of `gate`."""
    plan = _plan(base, new, tasks, seed=settings.seed, asked=asked)
    check_margins(settings.margins, plan.names)
    check_weights(settings.weights, plan.names)
    about = _about(base, new, plan, settings)
    if isinstance(new, Model) or isinstance(base, Model):
        label = api.file_label(new) if isinstance(new, Model) else new.path.name
        out = out or Path("runs") / f"gate-{label}-{settings_digest(about)}"
    with ExitStack() as stack:
        journal = stack.enter_context(_journal(out, about)) if out else None
        opened = partial(
            _side, plan=plan, out=out, settings=about["gate"], cache=cache, place=place, allowed=max_failed
        )
        sides = [stack.enter_context(opened(side, name)) for name, side in (("base", base), ("new", new))]
        decided = _read(plan, sides, settings, waves=Waves(plan.orders, budget, journal), folder=out)
        if out:
            _write(out, about | {"outcome": decided.gate.to_json()})
    return decided


def _side(
    side: Source, name: str, *, plan: Plan, out: Path | None, **settings: Any
) -> AbstractContextManager[ModelSide | StoredSide]:
    if isinstance(side, Evidence):
        return nullcontext(StoredSide(side))
    assert plan.tasks is not None and out is not None, "a model is asked, into a folder"
    return ModelSide(side, plan.tasks, out / name, **settings)


def _plan(base: Source, new: Source, tasks: api.Tasks | None, *, seed: int, asked: Mapping[str, Any]) -> Plan:
    if isinstance(base, Evidence) and isinstance(new, Evidence):
        if useless := [name for name, value in asked.items() if value and name != "shots"]:
            raise UsageError(f"{', '.join(useless)}: two stored runs are not asked anything")
        return plans.of_stored(base, new, tasks, shots=asked.get("shots"), seed=seed)
    stored = base if isinstance(base, Evidence) else new if isinstance(new, Evidence) else None
    return plans.of_models(stored, tasks, seed=seed, **asked)


def _read(plan: Plan, sides: Sequence[Side], settings: GateSettings, *, waves: Waves, folder: Path | None) -> Decided:
    """Read wave after wave, looking after each."""
    suite, undecided = None, set(plan.orders)
    pairs: list[Pair] = []
    with ExitStack() as stack:
        if plan.tasks is None:
            stack.enter_context(silent())
        bar = stack.enter_context(progress("gate", total=_items(plan, sides), unit="items"))
        before = dict(waves.read)
        while wave := waves.next(undecided):
            for side in sides:
                side.read(plan.places(before, wave), bar=bar)
            base, new = (side.evidence() for side in sides)
            pairs = _pairs(base, new, plan, settings)
            suite = suite or Suite.of(pairs, plan.orders, settings)
            suite.look(pairs, wave)
            undecided, before = suite.undecided, dict(waves.read)
    assert suite is not None, "the first wave reads something of each task"
    failed = {
        f"{name}: {task}": reason
        for name, side in zip(("base", "new"), sides, strict=True)
        for task, reason in side.failed().items()
    }
    found = outcome(
        suite, settings, base=_described(base, sides[0], "base"), new=_described(new, sides[1], "new"),
        notes=[d.text for d in differences(base, new) if d.field in settings.allow],
        waves=waves.count, spent=waves.spent, failed=failed, folder=folder,
    )  # fmt: skip
    return Decided(gate=found, pairs=pairs, base=base, new=new)


def _items(plan: Plan, sides: Sequence[Side]) -> int:
    """Return how many items all documents are, for the models that are asked."""
    if plan.tasks is None:
        return 0
    of_one = sum(len(task.documents) * len([*cells(task, plan.tasks.settings)]) for task in plan.tasks.loaded)
    return of_one * sum(isinstance(side, ModelSide) for side in sides)


def _pairs(base: Evidence, new: Evidence, plan: Plan, settings: GateSettings) -> list[Pair]:
    """Pair what both sides have of the tasks. Raises CompareError for a task of which they share no scored document."""

    def of(side: Evidence, other: Evidence) -> Evidence:
        keys = {(key.task, key.shots, key.template) for key in other.sheets}
        sheets = {
            key: sheet for key, sheet in side.sheets.items()
            if Part(key.task, key.shots) in plan.orders and (key.task, key.shots, key.template) in keys
        }  # fmt: skip
        return replace(side, sheets=sheets)

    pairs, _ = pair_up(of(base, new), of(new, base), allow=(*settings.allow, "documents"))
    paired = {Part(pair.base.task, pair.base.shots) for pair in pairs}
    if missing := [str(part) for part in plan.orders if part not in paired]:
        raise CompareError(f"no document was scored by both of {base.path} and {new.path}: {', '.join(missing)}")
    return pairs


def _described(evidence: Evidence, side: Side, name: str) -> dict[str, str]:
    path = str(evidence.path) if isinstance(side, StoredSide) else name
    return {**evidence.model, "path": path, "evalkit": evidence.evalkit}


def _about(base: Source, new: Source, plan: Plan, settings: GateSettings) -> dict[str, Any]:
    """Return what decides what is read, besides the budget; a folder goes on only with the same."""
    chosen = asdict(settings)
    rules = {name: chosen[name] for name in ("alpha", "margins", "weights", "allow", "seed", "resamples")}
    sides = {
        name: dict(side.engine(None).signature()) if isinstance(side, Model) else {**side.model, "scores": side.digest}
        for name, side in (("base", base), ("new", new))
    }
    orders = {str(part): settings_digest({"ids": order.ids.tolist()}) for part, order in plan.orders.items()}
    about: dict[str, Any] = json.loads(json.dumps({"gate": rules | {"orders": orders}, **sides}))  # as it is read again
    return about


def _journal(out: Path, about: Mapping[str, Any]) -> Journal:
    """Begin a gate in a folder, or go on with the same. Raises StoreError where it holds anything else."""
    path = make_folder(out) / ABOUT
    if path.exists():
        held = read_json(path, StoreError)
        held = {name: held[name] for name in about if name in held} if isinstance(held, dict) else {}
        if changed := list(changed_settings(held, dict(about))):
            raise StoreError(f"{out} holds a gate with other settings ({'; '.join(changed[:4])}); choose another --out")
    elif set(out.iterdir()) - set(leftovers(out, ABOUT)):
        raise StoreError(f"{out} is not empty and holds no gate (no {ABOUT}); choose another --out")
    _write(out, about)  # an earlier outcome is none of this start's
    return Journal(out / WAVES, run=settings_digest(about))


def _write(out: Path, content: Mapping[str, Any]) -> None:
    write_atomic(out / ABOUT, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
