"""Comparing what engines generated."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evalkit.types import Response


def same_texts(left: Sequence[Response], right: Sequence[Response]) -> None:
    """Demand the same texts and tokens; log-probabilities may differ by what the shape of a batch rounds in fp32.

    fp32 has 24 bits: a logit of this size is off by some 1e-6, a text of a dozen tokens by some 1e-5.
    """
    assert [(r.text, r.tokens, r.error) for r in left] == [(r.text, r.tokens, r.error) for r in right]
    assert [r.loglikelihood for r in left] == pytest.approx([r.loglikelihood for r in right], rel=1e-6, abs=1e-5)
