"""Colours, letters and words that everybody can read: contrast, colour blindness, grey, alternative texts."""

from __future__ import annotations

import itertools
import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from evalkit.report.figures import canvas
from evalkit.report.pages import page

CSS = (Path(page.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
# What stands on what: letters need 4.5 (WCAG 2.2, 1.4.3 AA), lines and borders of controls 3 (1.4.11).
LETTERS_ON = {
    "paper": ["ink", "soft", "focus", "right", "wrong", "green-letters", "vermilion-letters", "purple-letters",
              "orange-letters", "sky-letters", "blue"],
    "card": ["ink", "soft", "right", "wrong"],
    "said": ["ink"],
    "warn": ["ink"],
}  # fmt: skip
SHAPES_ON = {"paper": ["focus", "soft", "blue", "vermilion"], "card": ["focus", "soft"]}


def variables(selector: str) -> dict[str, str]:
    """The colours of the first rule with this selector."""
    rule = CSS[CSS.index(selector) :].partition("}")[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", rule))


def linear(colour: str) -> np.ndarray:
    """Linear RGB of a colour in sRGB (IEC 61966-2-1)."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(a: str, b: str) -> float:
    """The contrast ratio of WCAG 2.2."""
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_formula_is_that_of_the_guidelines():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the classic grey that just fails


@pytest.mark.parametrize("selector", [":root {", ':root:not([data-theme="light"]) {', ':root[data-theme="dark"] {'])
def test_letters_and_shapes_stand_out_from_their_ground(selector):
    colours = variables(selector)
    for least, pairs in ((4.5, LETTERS_ON), (3.0, SHAPES_ON)):
        for ground, names in pairs.items():
            for name in names:
                ratio = contrast(colours[name], colours[ground])
                assert ratio >= least, f"{name} on {ground}: {ratio:.2f}"


def test_both_dark_themes_are_one():
    assert variables(':root:not([data-theme="light"]) {') == variables(':root[data-theme="dark"] {')


def test_the_page_has_the_colours_of_the_figures():
    light = variables(":root {")
    for colour, variable in canvas._THEMED.items():
        if colour == canvas.SOFT:  # on the page also the colour of small letters on cards, a little darker
            continue
        assert light[variable.removeprefix("var(--").removesuffix(")")] == colour


def test_names_of_lines_are_dark_enough_on_paper():
    for colour in (*canvas.SERIES, canvas.SOFT):
        assert contrast(canvas.LETTERS.get(colour, colour), "#ffffff") >= 4.5, colour


# Viénot, Brettel and Mollon (1999), for linear RGB: what is seen without the long or the middle wavelengths.
BLIND = {
    "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    "trichromacy": np.eye(3).tolist(),
}


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b* of linear RGB, for D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ rgb / [0.9505, 1.0, 1.089], 1e-3))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", BLIND)
def test_colours_of_lines_differ_for_all_eyes(kind):
    seen = {colour: lab(np.array(BLIND[kind]) @ linear(colour)) for colour in canvas.SERIES}
    for a, b in itertools.combinations(canvas.SERIES, 2):
        assert np.linalg.norm(seen[a] - seen[b]) > 10, (a, b)


def test_without_colour_markers_and_dashes_tell_lines_apart():
    for total in range(1, len(canvas.SERIES) + 1):
        assert len({canvas.ordered(i, total)[1] for i in range(total)}) == total
    assert len(set(canvas.DASHES)) == len(canvas.SERIES)


def test_letters_keep_their_size_in_a_column():
    """Of a figure that is 3.3 inches wide on paper; matplotlib's points are those of print."""
    assert min(canvas.STYLE[f"{axis}tick.labelsize"] for axis in "xy") >= 7
    figure = canvas.Figure(name="x", title="", caption="", panels=[canvas.Panel(title="t", draw=_two_lines)])
    [sheet] = canvas.pdf(figure, width=3.3)
    assert re.search(rb"/MediaBox \[ 0 0 237\.6 ", sheet), "it is not scaled: 72 x 3.3 points"


def _two_lines(axes) -> None:
    canvas.sizes_axis(axes, [1e6, 1e9], label="parameters")
    axes.set_ylabel("acc (%)")
    canvas.errorbars(axes, [(1e6, 25.0, 20, 30), (1e9, 62.5, 60, 70)], canvas.BLUE, marker="o")
    axes.plot([1e6, 1e9], [10, 20], color=canvas.SOFT)
    axes.axhline(25, color=canvas.SOFT)
    ends = [(1e9, 62.5, "task", canvas.BLUE), (axes.get_xlim()[1], 25.0, "chance", canvas.SOFT)]
    canvas.label_ends(axes, ends)


def test_the_alternative_text_says_what_is_drawn():
    panel = canvas.Panel(title="qa: acc", draw=_two_lines)
    drawn = canvas.render(canvas.Figure(name="x", title="Scores", caption="", panels=[panel]))
    text = "acc (%) against parameters. task: 25 at 1M, 62.5 at 1B. chance: 25. a line: 10 at 1M, 20 at 1B."
    assert drawn.alternatives == [text] and drawn.alternative == f"Scores. qa: acc: {text}"
    bare = canvas.Panel(title="b", draw=partial(lambda axes, y: axes.plot([1, 2], y), y=[3, 4]))
    [alone] = canvas.render(canvas.Figure(name="y", title="Y", caption="", panels=[bare])).alternatives
    assert alone == "a line: 3 at 1, 4 at 2."


class _Named(HTMLParser):
    """Collects the images and controls of a page with their names."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[str] = []

    def handle_starttag(self, tag, attributes) -> None:
        given = dict(attributes)
        if given.get("role") == "img":
            self.images.append(given.get("aria-label") or "")


def test_each_figure_of_a_report_says_what_it_shows(report):
    parser = _Named()
    parser.feed((report / "report.html").read_text(encoding="utf-8"))
    assert len(parser.images) > 5 and all(" against " in text for text in parser.images)
    assert len(set(parser.images)) == len(parser.images)
    for alternative in re.findall(r"!\[(.*?)\]\(figures/", (report / "report.md").read_text()):
        assert " against " in alternative
