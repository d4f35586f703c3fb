"""Packed columns come back as they were, and broken ones are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.comparison.packing import pack, pack_ids, unpack, unpack_ids

THIRDS = np.random.default_rng(0).integers(0, 20, size=900) / 3
floats = st.floats(width=32, allow_nan=True)


@given(st.lists(st.one_of(floats, st.integers(0, 300).map(float), st.sampled_from([0.0, 1.0])), min_size=1))
def test_any_float32_comes_back(values):
    column = np.asarray(values)
    assert np.array_equal(unpack(pack(column), len(column)), column, equal_nan=True)


@given(st.lists(st.tuples(floats, floats), min_size=1))
def test_a_column_beside_another_comes_back(pairs):
    before, column = np.asarray(pairs).T
    packed = pack(column, before=before)
    assert np.array_equal(unpack(packed, len(column), before=before), column, equal_nan=True)


@given(st.sets(st.integers(0, 2**32 - 1)))
def test_ids_come_back(ids):
    hashes = np.asarray(sorted(ids), dtype=np.uint64)
    assert unpack_ids(pack_ids(hashes), len(hashes)).tolist() == hashes.tolist()


@pytest.mark.parametrize(
    ("values", "code"),
    [([0.0, 1.0] * 50, "b"), (np.arange(300.0), "i"), (THIRDS, "t"), (np.sqrt(np.arange(99.0)), "f")],
)
def test_the_shortest_code_is_taken(values, code):
    assert pack(np.float32(values).astype(float))[0] == code


def test_signs_and_infinities_are_kept():
    column = np.array([-0.0, math.inf, -math.inf, 2.0])
    assert unpack(pack(column), 4).tobytes() == column.tobytes()


@pytest.mark.parametrize("broken", ["", "q123", "b", "b!!!", "b" + pack(np.ones(3))[1:-2], pack(np.ones(30)), "s00"])
def test_broken_columns_are_refused(broken):
    with pytest.raises(ValueError, match=r".+"):
        unpack(broken, 3)
