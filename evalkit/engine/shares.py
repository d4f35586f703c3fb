"""Which share of the work each of several workers has done, in a few words."""

from __future__ import annotations

from collections.abc import Mapping

# The most shares that are listed one by one.
_LISTED = 8


def shares(answered: Mapping[str, int]) -> str:
    """Return the share of each worker, or the smallest and the largest of many.

    answered: the number of requests of each. At least one is above 0.

    >>> shares({"1": 30, "2": 20})
    '2 workers: 60% 40%'
    >>> shares({str(n): 90 + n for n in range(20)})
    '20 workers: 4.5% to 5.5% each'
    """
    total = sum(answered.values())
    each = [100 * count / total for count in answered.values()]
    if len(each) <= _LISTED:
        return f"{len(each)} worker{'s' * (len(each) > 1)}: {' '.join(f'{share:.0f}%' for share in each)}"
    return f"{len(each)} workers: {min(each):.1f}% to {max(each):.1f}% each"
