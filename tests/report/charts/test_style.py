"""What is written and drawn can be told from what it lies on: contrast as WCAG 2.2 computes it."""

import re
from pathlib import Path

import pytest

import search.report
from search.report.charts.style import BEST, CARDS, REFERENCE, STATES, narrow, template

STYLE = (Path(search.report.__file__).parent / "templates" / "style.css").read_text(
    encoding="utf-8"
)
TEXT = ("text", "soft", "accent", "best", "complete", "running", "waiting", "pruned", "fail")
GROUNDS = ("page", "card", "stripe", "best-soft", "weighted", "code")


def palettes():
    """The custom properties of :root, for a light and for a dark page."""
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", block))
        for block in re.findall(r":root \{(.*?)\n *\}", STYLE, flags=re.DOTALL)[:2]
    )
    return {"light": light, "dark": light | dark}


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted(luminance(color) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_every_ground(scheme):
    palette = palettes()[scheme]
    poor = {
        (text, ground): round(contrast(palette[text], palette[ground]), 2)
        for text in TEXT
        for ground in GROUNDS
        if contrast(palette[text], palette[ground]) < 4.5
    }
    assert poor == {}


@pytest.mark.parametrize(("scheme", "card"), list(zip(("light", "dark"), CARDS, strict=True)))
def test_figures_stand_out_from_the_card_they_are_drawn_on(scheme, card):
    assert palettes()[scheme]["card"] == card
    assert contrast(template(dark=scheme == "dark").layout.font.color, card) >= 4.5
    assert all(
        contrast(color, card) >= 3
        for color in (BEST, REFERENCE, *(s.color for s in STATES.values()))
    )


def test_contrast_is_computed_as_the_standard_does():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sgd", "sgd"),
        ("glorot_normal", "glorot_<br>normal"),
        ("time decay", "time<br>decay"),
        ("categorical", "categor…"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_labels_are_broken_at_their_joints_and_cut_where_they_have_none(text, expected):
    assert narrow(text).replace(" <br>", "<br>") == expected
