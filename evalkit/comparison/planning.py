"""How many documents a comparison needs to find an effect of a given size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from evalkit import metrics
from evalkit.comparison.comparable import Pair
from evalkit.comparison.verdicts import documents_needed, fewest_differing
from evalkit.errors import UsageError
from evalkit.stats.paired import Units, change_noise

# Beyond this many documents, the normal approximation is as good as the exact power.
_EXACT = 200_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many documents show an effect (points), and on what assumption."""

    metric: str
    effect: float
    documents: float
    method: str
    assumption: str


def from_rate(metric: str, *, discordance: float, effect: float, alpha: float, power: float, source: str) -> Plan:
    """Plan for a 0/1 metric whose documents differ between the systems at this rate (0 to 1).

    Raises UsageError for any other metric, an impossible rate, or an effect larger than the rate allows.
    """
    about = metrics.get(metric)
    if not about.binary:
        raise UsageError(f"metric {metric!r} is not right or wrong: give two stored runs with --run BASE --run NEW")
    if not 0 < discordance <= 1:
        raise UsageError(f"--discordance must be above 0 and at most 1, not {discordance:g}")
    share = effect / about.scale
    if share > discordance:
        raise UsageError(
            f"--effect {effect:g} points is more than the {100 * discordance:.1f}% of documents that differ at all"
        )
    documents = mcnemar_documents(discordance, effect=share, alpha=alpha, power=power)
    assumption = f"{100 * discordance:.1f}% of documents right in one system only ({source})"
    return Plan(metric=metric, effect=effect, documents=documents, method="mid-p McNemar", assumption=assumption)


def from_pair(pair: Pair, metric: str, *, effect: float, alpha: float, power: float) -> Plan:
    """Plan from how two stored runs differ, document by document (or passage by passage)."""
    about, units = metrics.get(metric, pair.base.rules[metric]), pair.units(metric)
    if about.binary and units.single:
        rate = float((units.base[:, 0] != units.new[:, 0]).mean())
        if rate == 0:
            raise UsageError(f"{metric}: no document differs between the two runs; give --discordance instead")
        least = effect / about.scale  # a change of one point needs one percent of documents that differ
        source = f"in the {len(units):,} documents of the two runs"
        if rate < least:
            source = f"the effect itself; {100 * rate:.1f}% {source}"
        return from_rate(metric, discordance=max(rate, least), effect=effect, alpha=alpha, power=power, source=source)
    error = math.sqrt(change_noise(about, units).variance) if len(units) > 1 else math.nan
    if not 0 < error < math.inf:
        raise UsageError(f"{metric}: the two runs leave no finite standard error to plan with")
    share = units.differing / len(units)
    spread, least = _needed(error * math.sqrt(len(units)), share=share, effect=effect / about.scale)
    score = effect / about.scale / spread * math.sqrt(len(units))
    fewest = math.ceil(fewest_differing("permutation", alpha) / least * pair.documents / len(units))
    documents = max(fewest, documents_needed(pair.documents, score=score, alpha=alpha, power=power))
    assumption = f"standard error {error * about.scale:.2g} points on the {pair.documents:,} documents of the two runs"
    return Plan(
        metric=metric, effect=effect, documents=documents, method="normal approximation",
        assumption=assumption + _passages(pair, units) + _differing(share, least),
    )  # fmt: skip


def _needed(spread: float, *, share: float, effect: float) -> tuple[float, float]:
    """Return the standard deviation of a unit's change and the share of units that differ, where the effect is true.

    Those of the runs, or more where so few units cannot make the effect by changes of the size that they show: if all
    of them go in one direction, they have to be as many as the effect is changes; one of them is at least the effect.
    For right and wrong, whose changes are 1, the share is then the effect itself.
    """
    change = max(spread / math.sqrt(share), effect)
    return math.sqrt(max(spread**2, effect * change)), max(share, effect / change)


def _passages(pair: Pair, units: Units) -> str:
    return f" ({len(units):,} passages)" if len(units) < pair.documents else ""


def _differing(share: float, least: float) -> str:
    if least <= share:
        return ""
    return f", and the same changes in {100 * least:.1f}% of them, not {100 * share:.1f}%: fewer cannot make the effect"


def mcnemar_power(n: int, *, discordance: float, effect: float, alpha: float) -> float:
    """Return the chance that McNemar's test on n documents is significant in the true direction."""
    from scipy.stats import binom

    spread = binom(n, discordance)
    differing = np.arange(int(spread.ppf(1e-9)), int(spread.ppf(1 - 1e-9)) + 1)
    # The largest count of the rarer outcome that is still significant, from a fair coin's quantile; -1 if none is.
    least = binom.ppf(alpha / 2.0, differing, 0.5)
    least -= binom.cdf(least, differing, 0.5) - binom.pmf(least, differing, 0.5) / 2.0 > alpha / 2.0
    against = binom.cdf(least, differing, (1.0 - effect / discordance) / 2.0)
    return float((spread.pmf(differing) * np.where(least >= 0, against, 0.0)).sum())


def mcnemar_documents(discordance: float, *, effect: float, alpha: float, power: float) -> float:
    """Return about how many documents give McNemar's test this power."""
    normal = NormalDist()
    spread = math.sqrt(max(0.0, discordance - effect * effect))
    z = normal.inv_cdf(1.0 - alpha / 2.0) * math.sqrt(discordance) + normal.inv_cdf(power) * spread
    rough = math.ceil((z / effect) ** 2)
    if rough > _EXACT:
        return rough
    low, high = max(1, rough // 2), 3 * rough + 30
    while low < high:  # power rises with n, apart from small dips
        middle = (low + high) // 2
        if mcnemar_power(middle, discordance=discordance, effect=effect, alpha=alpha) >= power:
            high = middle
        else:
            low = middle + 1
    return low
