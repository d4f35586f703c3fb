"""Which measurements are of one model, which of one recipe with another seed, and how both are named apart.

A model is its content: weights, configuration and tokenizer. Measurements are averaged as seeds where all but the
training's seed is equal, as far as the runs say: the recipe, the corpus, the tokens, how the model was read, and how
the task was asked. Whatever else bears the same name gets the part of its path that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import TypeVar

from evalkit.errors import UsageError
from evalkit.report.measurements import Measurement, ModelFacts
from evalkit.runs.signature import Signature

Key = TypeVar("Key", bound=Hashable)
Way = tuple[tuple[str, str], ...]  # how a task was asked: names and values

# Parts of a signature that say which model ran, not how the task was asked.
_OF_THE_MODEL = ("model", "dtype", "step")
# The parts that tell two ways of asking apart, those first that say most to a reader.
_TELLING = ("protocol", "template", "limit", "seeds", "pool", "data", "task", "evalkit")


@dataclass(frozen=True, kw_only=True)
class Identified:
    """Measurements whose models are told apart.

    twins: those that say again what another run says; they count once. given: names by --label. notes: for readers.
    """

    measurements: Sequence[Measurement]
    twins: Sequence[Measurement] = ()
    given: frozenset[str] = frozenset()
    notes: Sequence[str] = ()


@dataclass
class _Training:
    """One training: its measurements, those of all its checkpoints."""

    found: list[Measurement] = field(default_factory=list)

    @property
    def facts(self) -> ModelFacts:
        """The facts at its last checkpoint."""
        return max((m.model for m in self.found), key=lambda facts: facts.step or 0)

    @property
    def origins(self) -> list[Path]:
        return sorted({m.origin for m in self.found})


def tell_apart(found: Sequence[Measurement], *, labels: Mapping[Path, str] | None = None) -> Identified:
    """Give every model a name of its own, and pooled seeds the same one.

    labels: names for the runs at or below a path. Raises UsageError for a label of a path without a run.
    """
    named, given = _labelled(found, labels or {})
    named = _families(_one_each(named, given))
    trainings = _trainings(named)
    pools = _pools(trainings)
    apart, notes = _named_apart(pools)
    once, twins = _once(apart)
    each = _asked(once)
    notes = [*notes, *_repeated(once, twins), *_unlike(each)]
    return Identified(measurements=each, twins=twins, given=frozenset(given), notes=notes)


def _labelled(found: Sequence[Measurement], labels: Mapping[Path, str]) -> tuple[list[Measurement], set[str]]:
    """Rename the models of the runs that were given a label; the nearest label counts."""
    places = {path.resolve(): name for path, name in labels.items()}
    used: set[Path] = set()
    if not labels:
        return list(found), set()
    named = []
    resolved = {origin: origin.resolve() for origin in {m.origin for m in found}}
    for m in found:
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


def _one_each(found: Sequence[Measurement], given: set[str]) -> list[Measurement]:
    """Give runs of the same content, read alike, one model's facts: the fullest, under the name of the first.

    A name that the user gave stays, and so does what contradicts the fullest facts.
    """
    groups: dict[Hashable, list[ModelFacts]] = {}
    for m in found:
        groups.setdefault((m.model.provenance.content, m.model.provenance.reading), []).append(m.model)
    fullest = {key: max(group, key=lambda facts: len(_known(facts))) for key, group in groups.items()}
    named = []
    for m in found:
        key = (m.model.provenance.content, m.model.provenance.reading)
        if not key[0]:
            named.append(m)
            continue
        own, best = _known(m.model), _known(fullest[key])
        if m.model.name not in given and own.items() <= best.items():
            first = next(facts.name for facts in groups[key] if facts.name not in given)
            m = replace(m, model=replace(fullest[key], name=first))
        named.append(m)
    return named


def _known(facts: ModelFacts) -> dict[str, Hashable]:
    """Return what is known of a model's training and size."""
    names = ("parameters", "block_parameters", "tokens", "flops", "seed", "step", "loss", "loss_stderr", "loss_tokens")
    about = {"recipe": facts.provenance.recipe or None, "corpus": facts.provenance.corpus or None}
    return {k: v for k, v in {**{name: getattr(facts, name) for name in names}, **about}.items() if v is not None}


def _families(found: Sequence[Measurement]) -> list[Measurement]:
    """Tell ladders of one corpus name apart that read other text, or the same with another tokenizer.

    A run that does not say which text it was belongs to the ladder of its name where there is only one.
    """
    groups: dict[str, dict[str, list[Measurement]]] = {}
    for m in found:
        groups.setdefault(m.model.family, {}).setdefault(m.model.provenance.corpus, []).append(m)
    renamed: dict[tuple[str, str], str] = {}
    for family, by_corpus in groups.items():
        if len(set(by_corpus) - {""}) > 1:
            parts = _part({corpus: {m.origin for m in group} for corpus, group in by_corpus.items()})
            parts = parts or {corpus: corpus[:8] or "unsaid" for corpus in by_corpus}
            renamed |= {(family, corpus): f"{family} ({part})" for corpus, part in parts.items()}
    return [
        replace(m, model=replace(m.model, family=new))
        if (new := renamed.get((m.model.family, m.model.provenance.corpus)))
        else m
        for m in found
    ]


def _trainings(found: Sequence[Measurement]) -> list[_Training]:
    """Gather the checkpoints of each training."""
    groups: dict[Hashable, _Training] = {}
    for m in found:
        facts, about = m.model, m.model.provenance
        size = (facts.parameters, facts.block_parameters)
        key = (facts.name, facts.family, facts.seed, about.reading, about.recipe, about.corpus, *size)
        groups.setdefault(key, _Training()).found.append(m)
    trainings = []
    for whole in groups.values():
        by_origin: dict[Path, list[Measurement]] = {}
        for m in whole.found:
            by_origin.setdefault(m.origin, []).append(m)
        several = _split(list(by_origin), partial(_collide, by_origin))
        trainings += [_Training([m for origin in origins for m in by_origin[origin]]) for origins in several]
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
    """Return what may have one value in a training."""
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
    """Put trainings together that differ in their seed alone, as far as is known."""
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
    """Whether several trainings are there and their seeds are not known to differ."""
    seeds = [by_origin[origin].facts.seed for origin in origins]
    return len(seeds) > 1 and (None in seeds or len(set(seeds)) < len(seeds))


def _split(origins: Sequence[Path], unlike: Callable[[Sequence[Path]], bool]) -> list[list[Path]]:
    """Divide paths at the first folder on the way down that leaves nothing unlike together."""
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
    """Rename models of one name in several pools; say of which pooled seeds the recipe is not recorded."""
    by_name: dict[str, dict[int, list[_Training]]] = {}
    for i, pool in enumerate(pools):
        for training in pool:
            by_name.setdefault(training.facts.name, {}).setdefault(i, []).append(training)
    apart: list[Measurement] = []
    unsaid = []
    for name, by_pool in by_name.items():
        parts = _parts({i: {o for t in group for o in t.origins} for i, group in by_pool.items()})
        for i, group in by_pool.items():
            new = f"{name} ({parts[i].removeprefix(f'{name}-')})" if len(by_pool) > 1 else name  # runs/NAME-SETTINGS
            for m in (m for training in group for m in training.found):
                apart.append(replace(m, model=replace(m.model, name=new, pool=str(i))))
            if len(group) > 1 and not group[0].facts.provenance.recipe:
                unsaid.append(new)
    said = f"{', '.join(unsaid)}: averaged over training seeds; the runs do not record the rest of the recipe."
    return apart, [said] if unsaid else []


def _parts(groups: Mapping[Key, set[Path]]) -> dict[Key, str]:
    """Return a part of each group's paths that tells it from the others: one name, else what the first differs in."""
    if parts := _part(groups):
        return parts
    first = {key: min(paths).absolute().parts for key, paths in groups.items()}
    same = next(depth for depth in count() if len({parts[: depth + 1] for parts in first.values()}) > 1)
    return {key: "/".join(parts[same:]) or parts[-1] for key, parts in first.items()}


def _part(groups: Mapping[Key, set[Path]]) -> dict[Key, str]:
    """Return the first name on the way down that is one in each group and another in every other; {} for none."""
    paths = {key: [path.absolute().parts for path in group] for key, group in groups.items()}
    for depth in range(min(len(parts) for group in paths.values() for parts in group)):
        names = {key: {parts[depth] for parts in group} for key, group in paths.items()}
        if all(len(own) == 1 for own in names.values()) and len({min(own) for own in names.values()}) == len(names):
            return {key: min(own) for key, own in names.items()}
    return {}


def _once(found: Iterable[Measurement]) -> tuple[list[Measurement], list[Measurement]]:
    """Set apart what one model answered once more, in another run."""
    seen: dict[Hashable, Measurement] = {}
    twins = []
    for m in found:
        key = (m.model.family, m.model.name, m.model.seed, _place(m))
        if seen.setdefault(key, m) is not m:
            twins.append(m)
    return list(seen.values()), twins


def _repeated(once: Iterable[Measurement], twins: Iterable[Measurement]) -> list[str]:
    """Name the runs that say nothing new."""
    new = {m.origin for m in once}
    names = {m.origin: m.model.name for m in twins if m.origin not in new}
    return [f"{origin} says of {name} what another run says, and counts once." for origin, name in names.items()]


def _asked(found: Sequence[Measurement]) -> list[Measurement]:
    """Name a task by how it was asked where one model, or its seeds, were asked in several ways."""
    ways: dict[str, dict[Hashable, set[Way]]] = {}
    for m in found:
        where = (m.model.pool, m.model.step, m.shots, m.metric, m.source, m.level)
        ways.setdefault(m.task, {}).setdefault(where, set()).add(_way(m))
    telling = {task: _telling([[dict(way) for way in several] for several in by.values()]) for task, by in ways.items()}
    named = []
    for m in found:
        way = dict(_way(m))
        said = [way.get(name, "") if name in ("protocol", "template") else f"{name} {way.get(name, 'unknown')}"
                for name in telling[m.task]]  # fmt: skip
        suffix = ", ".join(filter(None, said))
        named.append(replace(m, task=f"{m.task} ({suffix})", asked=m.task) if suffix else m)
    return named


def _telling(cells: Sequence[Sequence[Mapping[str, str]]]) -> list[str]:
    """Return the parts of the signature that tell the ways of every cell apart, as few as will do."""
    several = [ways for ways in cells if len(ways) > 1]
    differ = {name for ways in several for way in ways for name in way if len({w.get(name) for w in ways}) > 1}
    chosen: list[str] = []
    for name in [*(n for n in _TELLING if n in differ), *sorted(differ - set(_TELLING))]:
        if all(len({tuple(w.get(n) for n in chosen) for w in ways}) == len(ways) for ways in several):
            break
        chosen.append(name)
    return chosen


def _unlike(found: Iterable[Measurement]) -> list[str]:
    """Say of which tasks the models were not asked alike: their values stand in one row but do not compare."""
    ways: dict[str, dict[Way, None]] = {}
    for m in found:
        if m.source == "model" and not m.level:
            way = dict(_way(m))
            asked = {name: way[name] for name in ("protocol", "template", "limit", "data", "task") if name in way}
            shots = "an unknown number of" if m.shots is None else m.shots
            ways.setdefault(f"{m.task} at {shots} shots", {}).setdefault(tuple(asked.items()))
    rows: dict[str, list[str]] = {}
    for row, several in ways.items():
        if len(several) > 1:
            names = _telling([[dict(way) for way in several]])
            said = ["/".join(f"{name} {dict(way).get(name) or 'none'}" for name in names) for way in several]
            rows.setdefault("; ".join(said), []).append(row)
    return [
        f"{', '.join(alike[:3])}{f' and {len(alike) - 3} more' if len(alike) > 3 else ''}: not asked alike of every "
        f"model ({said}), so the values do not compare."
        for said, alike in rows.items()
    ]
