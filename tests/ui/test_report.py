"""The study's own page, opened from its file as a person would."""

import re
from pathlib import Path

import pytest

from tests.ui.browser import why_not, window

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no page was looked at: {why_not()}")

SIZES = {"wide": (1500, 1000), "phone": (390, 844)}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_report_opens_and_its_table_sorts(study: Path, size: str, scheme: str) -> None:
    with window(*SIZES[size], color_scheme=scheme) as found:
        page = found.page
        page.goto((study / "report.html").as_uri())
        page.get_by_role("heading", name="Summary").wait_for()
        found.shoot(f"report-{size}-{scheme}", whole=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        table = page.locator("table", has=page.get_by_role("columnheader", name="val. accuracy"))
        header = table.get_by_role("columnheader", name=re.compile("^trial"))

        def sort() -> list[int]:
            header.get_by_role("button").click()
            assert header.get_attribute("aria-sort") in ("ascending", "descending")
            return [
                int(re.findall("[0-9]+", text)[0])
                for text in table.locator("tbody th").all_inner_texts()
            ]

        first, second = sort(), sort()
        assert sorted([first, second]) == [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]
        found.shoot(f"report-{size}-{scheme}-sorted")
        assert found.errors == []


PAPER = 700
"""Pixels that the page is laid out for in print."""
IN_PRINT = """() => {
    const room = document.querySelector("main").getBoundingClientRect().right + 1;
    const seen = [...document.querySelectorAll(".plot, table, .diagram svg")];
    const boxes = seen.map((box) => [box, box.getBoundingClientRect()]);
    const alone = boxes.filter(([box]) => box.matches(".wide .plot:only-of-type"));
    return {
        wide: boxes.filter(([, rect]) => rect.right > room).map(([box]) => box.outerHTML.slice(0, 80)),
        narrow: alone.filter(([, rect]) => rect.width < 0.9 * room).length,
        over: boxes.some(([a, p], i) => boxes.slice(i + 1).some(([b, q]) => !a.contains(b)
            && p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 1 && q.top < p.bottom - 1)),
        open: document.querySelectorAll("details:not([open])").length,
        drawn: document.querySelectorAll(".plot .main-svg[viewBox]").length,
    };
}"""
PLOTS = """() => [...document.querySelectorAll(".plot.js-plotly-plot")].map((plot) => [
    plot.clientWidth, plot.querySelector(".main-svg").clientWidth])"""


@pytest.mark.parametrize("size", SIZES)
def test_on_paper_everything_is_open_and_as_wide_as_the_page(study: Path, size: str) -> None:
    with window(*SIZES[size], color_scheme="dark", bypass_csp=True) as found:
        page = found.page
        page.goto((study / "report.html").as_uri())
        page.get_by_role("heading", name="Summary").wait_for()
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        page.set_viewport_size({"width": PAPER, "height": 1000})
        laid = page.evaluate(IN_PRINT)
        found.shoot(f"report-{size}-printed", whole=True)
        assert (laid["wide"], laid["narrow"], laid["over"], laid["open"]) == ([], 0, False, 0)
        assert laid["drawn"] >= page.locator(".plot").count()
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": SIZES[size][0], "height": SIZES[size][1]})
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert page.locator("details[open]").count() == 0
        # A plot that was printed still follows its window.
        page.set_viewport_size({"width": 800, "height": 900})
        page.wait_for_timeout(1500)
        assert all(abs(place - drawn) <= 1 for place, drawn in page.evaluate(PLOTS))
        assert page.evaluate("document.documentElement.scrollWidth") <= 800
        assert found.errors == []


@pytest.mark.parametrize("width", [375, 768, 1280, 1920])
def test_nothing_sticks_out_at_any_width(study: Path, width: int) -> None:
    with window(width, 900) as found:
        found.page.goto((study / "report.html").as_uri())
        found.page.get_by_role("heading", name="Summary").wait_for()
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        test = found.page.locator("#finalist-table td b").first.bounding_box()
        assert test is not None
        assert test["x"] + test["width"] <= width, (
            "the finalists' test accuracy is seen without scrolling"
        )
        heading = found.page.get_by_role("heading", name="Leaderboard").bounding_box()
        contents = found.page.get_by_role("navigation").bounding_box()
        assert heading is not None
        assert contents is not None
        assert (contents["x"] + contents["width"] <= heading["x"]) is (width >= 1400)
