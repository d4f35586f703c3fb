"""The tasks of a gate together: which claims may be made, and which tasks are still to be read.

The familywise error is kept by Holm's method with weights, once for claims of a change and once for claims of none, on
p values that are valid at any time. A task that stops keeps its p value; when it has changed, its share of alpha goes
to the others. The tasks may depend on each other in any way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from evalkit import metrics
from evalkit.comparison.comparable import Pair
from evalkit.comparison.evidence import label
from evalkit.comparison.verdicts import Verdict, holm
from evalkit.gates.reading import Order, Part
from evalkit.gates.settings import GateSettings
from evalkit.gates.track import Claim, Track, units_read


class Suite:
    """The tracks of a gate, in the order of the base's tasks."""

    def __init__(self, tracks: Sequence[Track], *, alpha: float):
        self.tracks, self._alpha = tracks, alpha

    @classmethod
    def of(cls, pairs: Sequence[Pair], orders: Mapping[Part, Order], settings: GateSettings) -> Suite:
        """Follow the primary metric of each pair. orders: of the documents of each part."""

        def follow(pair: Pair) -> Track:
            key, name = pair.base.key, pair.metrics[0]
            return Track(
                key=key, family=pair.base.family, metric=metrics.get(name, pair.base.rules[name]),
                margin=settings.margins.get(key.task, settings.margins.get("")),
                weight=settings.weights.get(key.task, 1.0), order=orders[Part(key.task, key.shots)],
                seeds=pair.shared.shape[1], resamples=settings.resamples_for(len(pairs)),
            )  # fmt: skip

        return cls([follow(pair) for pair in pairs], alpha=settings.alpha)

    def look(self, pairs: Iterable[Pair], read: Mapping[Part, int]) -> None:
        """Take in what has been read. read: units of each part; the others stay as they are."""
        by_key = {pair.base.key: pair for pair in pairs}
        for track in self.tracks:
            if (units := read.get(track.part, track.read)) > track.read:
                pair = by_key[track.key]
                first, documents = units_read(pair, track.metric.name, track.order, read=units)
                track.look(first, read=units, documents=documents, alpha=self._alpha, identical=pair.identical)

    @property
    def weight(self) -> float:
        """Return the sum of all weights."""
        return sum(track.weight for track in self.tracks)

    @property
    def corrected(self) -> list[tuple[float, float]]:
        """Return each track's p values of no change and of a change beyond its margin, corrected for all tracks."""
        weights = [track.weight for track in self.tracks]
        changed = holm([track.changed for track in self.tracks], weights)
        within = holm([track.p["same"] for track in self.tracks], weights)
        return list(zip(changed, within, strict=True))

    @property
    def claims(self) -> list[Claim | None]:
        """Return what may be claimed of each track."""
        return [
            track.claim(within, changed, alpha=self._alpha)
            for track, (changed, within) in zip(self.tracks, self.corrected, strict=True)
        ]

    @property
    def undecided(self) -> set[Part]:
        """Return the parts of which more is to be read and could matter."""
        pairs = zip(self.tracks, self.claims, strict=True)
        return {track.part for track, claim in pairs if not track.whole and not track.settled(claim)}

    def soonest(self, verdict: Verdict, *, count: int = 3) -> list[tuple[str, int]]:
        """Return the tracks that would have led to a verdict soonest, each by itself -> with the documents it took.

        verdict: "undecided" for whichever was reached.
        """
        told = [
            (track.alone[1], i, name_of(track))
            for i, track in enumerate(self.tracks)
            if track.alone and verdict in (track.alone[0], "undecided")
        ]
        return [(name, documents) for documents, _, name in sorted(told)[:count]]


def name_of(track: Track) -> str:
    """Return the name of a track in lists."""
    return f"{label(track.key.task, track.key.template)} {track.key.shots}-shot"


def verdict_of(claims: Sequence[Claim | None]) -> Verdict:
    """Return the verdict on a suite: worse if any task is, else better if any is, same if all are, else undecided."""
    if "worse" in claims:
        return "worse"
    if "better" in claims:
        return "better"
    return "same" if set(claims) == {"same"} else "undecided"
