"""Which measurements are of one model, which of one recipe with another seed, and how models of one name are renamed.

A model is its content: weights, configuration and tokenizer. Measurements are averaged as seeds where everything that
the runs record is equal except the training's seed: the recipe, the corpus, the tokens, how the model was read, and how
the task was asked. Other models of the same name are distinguished by the part of their path that differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import TypeVar

from evalkit.errors import UsageError
from evalkit.report.measurements import Measurement
from evalkit.report.models import ModelFacts
from evalkit.runs.signature import Signature

Key = TypeVar("Key", bound=Hashable)
Way = tuple[tuple[str, str], ...]  # how a task was asked: names and values

_SETTINGS = re.compile(r"[0-9a-f]{8}")
# Parts of a signature that say which model ran, not how the task was asked.
_OF_THE_MODEL = ("model", "dtype", "step")
# The parts that tell two ways of asking apart, the most telling ones first.
_DISTINGUISHING = ("protocol", "template", "limit", "seeds", "pool", "data", "task", "evalkit")


@dataclass(frozen=True, kw_only=True)
class Identified:
    """Measurements whose models are told apart.

    twins: those that repeat another run; they count once. labelled: names by --label. notes: for readers.
    """

    measurements: Sequence[Measurement]
    twins: Sequence[Measurement] = ()
    labelled: frozenset[str] = frozenset()
    notes: Sequence[str] = ()


@dataclass
class _Training:
    """One training: its measurements, those of all its checkpoints."""

    measurements: list[Measurement] = field(default_factory=list)

    @property
    def facts(self) -> ModelFacts:
        """The facts at its last checkpoint."""
        return max((m.model for m in self.measurements), key=lambda facts: facts.checkpoint[1])

    @property
    def origins(self) -> list[Path]:
        return sorted({m.origin for m in self.measurements})


def tell_apart(measurements: Sequence[Measurement], *, labels: Mapping[Path, str] | None = None) -> Identified:
    """Give every model a distinct name, and pooled seeds the same one.

    labels: names for the runs at or below a path. Raises UsageError for a label of a path without a run.
    """
    named, labelled = _labelled(measurements, labels or {})
    named = _families(_one_each(named, labelled))
    renamed, notes = _named_apart(_pools(_trainings(named)))
    unique, twins = _once(renamed)
    identified = _tasks_apart(unique)
    notes = [*notes, *_repeated(unique, twins), *_unlike(identified)]
    return Identified(measurements=identified, twins=twins, labelled=frozenset(labelled), notes=notes)


def _labelled(measurements: Sequence[Measurement], labels: Mapping[Path, str]) -> tuple[list[Measurement], set[str]]:
    """Rename the models of labelled runs; the nearest label counts."""
    places = {path.resolve(): name for path, name in labels.items()}
    used: set[Path] = set()
    if not labels:
        return list(measurements), set()
    named = []
    resolved = {origin: origin.resolve() for origin in {m.origin for m in measurements}}
    for m in measurements:
        origin = resolved[m.origin]
        place = next((path for path in (origin, *origin.parents) if path in places), None)
        if place is not None:
            used.add(place)
            m = replace(m, model=replace(m.model, name=places[place]))
        named.append(m)
    for path in labels:
        if path.resolve() not in used:
            raise UsageError(f"--label {path}={labels[path]}: none of the given runs is {path} or below it")
    return named, set(labels.values())


def _one_each(measurements: Sequence[Measurement], labelled: set[str]) -> list[Measurement]:
    """Give runs of the same content, read alike, the same facts: the fullest, under the name of the first.

    Names that the user gave are left alone, and so are facts that contradict the fullest.
    """
    groups: dict[Hashable, list[ModelFacts]] = {}
    for m in measurements:
        groups.setdefault((m.model.provenance.content, m.model.provenance.reading), []).append(m.model)
    fullest = {key: max(group, key=lambda facts: len(_recorded(facts))) for key, group in groups.items()}
    named = []
    for m in measurements:
        key = (m.model.provenance.content, m.model.provenance.reading)
        if not key[0]:
            named.append(m)
            continue
        facts_known, best = _recorded(m.model), _recorded(fullest[key])
        if m.model.name not in labelled and facts_known.items() <= best.items():
            first = next(facts.name for facts in groups[key] if facts.name not in labelled)
            m = replace(m, model=replace(fullest[key], name=first))
        named.append(m)
    return named


def _recorded(facts: ModelFacts) -> dict[str, Hashable]:
    """Return what is known about a model's training and size."""
    names = ("parameters", "block_parameters", "tokens", "flops", "seed", "step", "loss", "loss_stderr", "loss_tokens")
    about = {"recipe": facts.provenance.recipe or None, "corpus": facts.provenance.corpus or None}
    return {k: v for k, v in {**{name: getattr(facts, name) for name in names}, **about}.items() if v is not None}


def _families(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Rename ladders of one corpus name that read different text, or the same text with different tokenizers.

    A run that does not record its text belongs to the ladder of its name where there is only one.
    """
    groups: dict[str, dict[str, list[Measurement]]] = {}
    for m in measurements:
        groups.setdefault(m.model.family, {}).setdefault(m.model.provenance.corpus, []).append(m)
    renamed: dict[tuple[str, str], str] = {}
    for family, by_corpus in groups.items():
        if len(set(by_corpus) - {""}) > 1:
            parts = _part({corpus: {m.origin for m in group} for corpus, group in by_corpus.items()})
            parts = parts or {corpus: corpus[:8] or "unknown" for corpus in by_corpus}
            renamed |= {(family, corpus): f"{family} ({part})" for corpus, part in parts.items()}
    return [
        replace(m, model=replace(m.model, family=new))
        if (new := renamed.get((m.model.family, m.model.provenance.corpus)))
        else m
        for m in measurements
    ]


def _trainings(measurements: Sequence[Measurement]) -> list[_Training]:
    """Gather the checkpoints of each training."""
    groups: dict[Hashable, _Training] = {}
    for m in measurements:
        facts, about = m.model, m.model.provenance
        size = (facts.parameters, facts.block_parameters)
        key = (facts.name, facts.family, facts.seed, about.reading, about.recipe, about.corpus, *size)
        groups.setdefault(key, _Training()).measurements.append(m)
    trainings = []
    for group in groups.values():
        by_origin: dict[Path, list[Measurement]] = {}
        for m in group.measurements:
            by_origin.setdefault(m.origin, []).append(m)
        folders = _split(list(by_origin), partial(_collide, by_origin))
        trainings += [_Training([m for origin in origins for m in by_origin[origin]]) for origins in folders]
    return trainings


def _collide(by_origin: Mapping[Path, Sequence[Measurement]], origins: Sequence[Path]) -> bool:
    """Whether one step has several contents, or one content several values of what was asked alike."""
    contents: dict[int | None, str] = {}
    values: dict[Hashable, Hashable] = {}
    return any(
        contents.setdefault(m.model.step, m.model.provenance.content) != m.model.provenance.content
        or values.setdefault(_place(m), _shown(m)) != _shown(m)
        for origin in origins
        for m in by_origin[origin]
    )


def _place(m: Measurement) -> Hashable:
    """Return what a training may have only one value of."""
    return m.model.step, m.model.tokens, m.task, _way(m), m.shots, m.metric, m.source, m.level


def _shown(m: Measurement) -> str:
    return repr((m.value, m.low, m.high, m.n, m.failed))


def _way(m: Measurement) -> Way:
    """Return how a task was asked: the parts of the signature that are not the model's."""
    return _asking(m.signature, m.protocol, m.template)


@lru_cache(maxsize=100_000)
def _asking(signature: str, protocol: str, template: str) -> Way:
    parsed = Signature.parse(signature)
    fields = {name: value for name, value in parsed.fields.items() if value and name not in _OF_THE_MODEL}
    return tuple(sorted({**fields, "rule": parsed.rule, "protocol": protocol, "template": template}.items()))


def _pools(trainings: Sequence[_Training]) -> list[list[_Training]]:
    """Group trainings that differ only in their seed, as far as is known."""
    groups: dict[Hashable, list[_Training]] = {}
    for training in trainings:
        facts, about = training.facts, training.facts.provenance
        size = (facts.parameters, facts.block_parameters, facts.tokens, facts.step, facts.flops)
        groups.setdefault((facts.family, about.reading, about.recipe, about.corpus, *size), []).append(training)
    pools: list[list[_Training]] = []
    for group in groups.values():
        by_origin = {training.origins[0]: training for training in group}
        pools += [[by_origin[o] for o in origins] for origins in _split(list(by_origin), partial(_no_seeds, by_origin))]
    return pools


def _no_seeds(by_origin: Mapping[Path, _Training], origins: Sequence[Path]) -> bool:
    """Whether there are several trainings whose seeds are not known to differ."""
    seeds = [by_origin[origin].facts.seed for origin in origins]
    return len(seeds) > 1 and (None in seeds or len(set(seeds)) < len(seeds))


def _split(origins: Sequence[Path], unlike: Callable[[Sequence[Path]], bool]) -> list[list[Path]]:
    """Divide paths at the first folder level at which no group is unlike."""
    if not unlike(origins):
        return [list(origins)]
    most = max(len(origin.absolute().parts) for origin in origins)
    for depth in range(1, most + 1):
        groups: dict[tuple[str, ...], list[Path]] = {}
        for origin in origins:
            groups.setdefault(origin.absolute().parts[:depth], []).append(origin)
        if not any(unlike(group) for group in groups.values()):
            return list(groups.values())
    return [[origin] for origin in origins]


def _named_apart(pools: Sequence[Sequence[_Training]]) -> tuple[list[Measurement], list[str]]:
    """Rename models of one name in several pools; note the pooled seeds whose recipe is not recorded."""
    by_name: dict[str, dict[int, list[_Training]]] = {}
    for i, pool in enumerate(pools):
        for training in pool:
            by_name.setdefault(training.facts.name, {}).setdefault(i, []).append(training)
    renamed: list[Measurement] = []
    unrecorded = []
    for name, by_pool in by_name.items():
        parts = _parts({i: {o for t in group for o in t.origins} for i, group in by_pool.items()})
        parts = {i: part.removeprefix(f"{name}-") for i, part in parts.items()}  # runs/NAME-SETTINGS
        if any(_SETTINGS.fullmatch(part) for part in parts.values()):
            parts = _differing({i: group[0].facts for i, group in by_pool.items()}) or parts
        for i, group in by_pool.items():
            new = f"{name} ({parts[i]})" if len(by_pool) > 1 else name
            for m in (m for training in group for m in training.measurements):
                renamed.append(replace(m, model=replace(m.model, name=new, pool=str(i))))
            if len(group) > 1 and not group[0].facts.provenance.recipe:
                unrecorded.append(new)
    note = f"{', '.join(unrecorded)}: averaged over training seeds; the runs do not record the rest of the recipe."
    return renamed, [note] if unrecorded else []


def _differing(facts: Mapping[Key, ModelFacts]) -> dict[Key, str]:
    """Return the first fact that tells models apart, in words; {} where none has a different value for each.

    The digest of settings that `evalkit run` ends a folder's name with says nothing to a reader.
    """
    reading = {key: dict(model.provenance.reading) for key, model in facts.items()}
    candidates = [
        *({key: read.get(name, "") for key, read in reading.items()} for name in ("dtype", "context")),
        {key: f"step {model.step}" for key, model in facts.items() if model.step is not None},
        {key: f"seed {model.seed}" for key, model in facts.items() if model.seed is not None},
    ]
    return next((words for words in candidates if all(words.values()) and len(set(words.values())) == len(facts)), {})


def _parts(groups: Mapping[Key, set[Path]]) -> dict[Key, str]:
    """Return the part of each group's paths that tells it from the others: one name, or its first path's end."""
    if parts := _part(groups):
        return parts
    first = {key: min(paths).absolute().parts for key, paths in groups.items()}
    same = next(depth for depth in count() if len({parts[: depth + 1] for parts in first.values()}) > 1)
    return {key: "/".join(parts[same:]) or parts[-1] for key, parts in first.items()}


def _part(groups: Mapping[Key, set[Path]]) -> dict[Key, str]:
    """Return the names at the first folder level where each group has one of its own; {} without such a level."""
    paths = {key: [path.absolute().parts for path in group] for key, group in groups.items()}
    for depth in range(min(len(parts) for group in paths.values() for parts in group)):
        names = {key: {parts[depth] for parts in group} for key, group in paths.items()}
        if all(len(own) == 1 for own in names.values()) and len({min(own) for own in names.values()}) == len(names):
            return {key: min(own) for key, own in names.items()}
    return {}


def _once(measurements: Iterable[Measurement]) -> tuple[list[Measurement], list[Measurement]]:
    """Separate the measurements that another run of the same model already gave."""
    seen: dict[Hashable, Measurement] = {}
    twins = []
    for m in measurements:
        key = (m.model.family, m.model.name, m.model.seed, _place(m))
        if seen.setdefault(key, m) is not m:
            twins.append(m)
    return list(seen.values()), twins


def _repeated(once: Iterable[Measurement], twins: Iterable[Measurement]) -> list[str]:
    """Note the runs that add nothing new."""
    new = {m.origin for m in once}
    names = {m.origin: m.model.name for m in twins if m.origin not in new}
    return [f"{origin} repeats what another run says of {name}, and counts once." for origin, name in names.items()]


def _tasks_apart(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Add to a task's name how it was asked, where one model or its seeds were asked in several ways."""
    ways: dict[str, dict[Hashable, set[Way]]] = {}
    for m in measurements:
        where = (m.model.pool, m.model.step, m.shots, m.metric, m.source, m.level)
        ways.setdefault(m.task, {}).setdefault(where, set()).add(_way(m))
    telling = {
        task: _distinguishing([[dict(way) for way in several] for several in by.values()]) for task, by in ways.items()
    }
    named = []
    for m in measurements:
        way = dict(_way(m))
        parts = [way.get(name, "") if name in ("protocol", "template") else f"{name} {way.get(name, 'unknown')}"
                for name in telling[m.task]]  # fmt: skip
        suffix = ", ".join(filter(None, parts))
        named.append(replace(m, task=f"{m.task} ({suffix})", task_in_run=m.task) if suffix else m)
    return named


def _distinguishing(cells: Sequence[Sequence[Mapping[str, str]]]) -> list[str]:
    """Return as few parts of the signature as tell the ways of every cell apart."""
    several = [ways for ways in cells if len(ways) > 1]
    differ = {name for ways in several for way in ways for name in way if len({w.get(name) for w in ways}) > 1}
    chosen: list[str] = []
    for name in [*(n for n in _DISTINGUISHING if n in differ), *sorted(differ - set(_DISTINGUISHING))]:
        if all(len({tuple(w.get(n) for n in chosen) for w in ways}) == len(ways) for ways in several):
            break
        chosen.append(name)
    return chosen


def _unlike(measurements: Iterable[Measurement]) -> list[str]:
    """Note the tasks that were not asked alike of every model: their values share a row but are not comparable."""
    ways: dict[str, dict[Way, None]] = {}
    for m in measurements:
        if m.source == "model" and not m.level:
            way = dict(_way(m))
            shown = {name: way[name] for name in ("protocol", "template", "limit", "data", "task") if name in way}
            shots = "an unknown number of" if m.shots is None else m.shots
            ways.setdefault(f"{m.task} at {shots} shots", {}).setdefault(tuple(shown.items()))
    rows: dict[str, list[str]] = {}
    for row, several in ways.items():
        if len(several) > 1:
            names = _distinguishing([[dict(way) for way in several]])
            differences = ["/".join(f"{name} {dict(way).get(name) or 'none'}" for name in names) for way in several]
            rows.setdefault("; ".join(differences), []).append(row)
    return [
        f"{', '.join(alike[:3])}{f' and {len(alike) - 3} more' if len(alike) > 3 else ''}: not asked alike of every "
        f"model ({differences}), so the values are not comparable."
        for differences, alike in rows.items()
    ]
