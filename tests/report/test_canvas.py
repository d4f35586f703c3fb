"""Drawing: labels that stand apart, ticks that do not touch, ids that do not clash."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.report.figures import canvas


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=9))
def test_labels_stand_apart_and_in_order(wanted):
    placed = canvas._spread(wanted, gap=0.1)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    heights = [placed[i] for i in order]
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(heights))
    assert min(placed) >= -1e-9 and max(placed) <= 1 + 1e-9


def test_a_label_with_room_stays_where_it_belongs():
    assert canvas._spread([0.2, 0.8], gap=0.1) == pytest.approx([0.2, 0.8])


def test_ticks_keep_both_ends():
    assert canvas._apart([1.0, 1.1, 5.0, 9.0, 10.0], 2.0) == [1.0, 5.0, 10.0]


def test_an_inlined_figure_has_ids_of_its_own_and_no_fixed_ink():
    panel = canvas.Panel(title="t", draw=lambda axes: axes.plot([1, 2], [1, 2], color=canvas.BLUE))
    figure = canvas.Figure(name="one", title="", caption="", panels=[panel])
    [svg] = canvas.render(figure).panels
    assert 'id="one-0-' in svg and 'id="figure' not in svg
    assert "var(--blue)" in svg and canvas.BLUE not in svg and "#ffffff" not in svg
    assert svg == canvas.render(figure).panels[0]
