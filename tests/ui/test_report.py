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
            return [int(re.findall("[0-9]+", text)[0]) for text in table.locator("tbody th").all_inner_texts()]

        first, second = sort(), sort()
        assert sorted([first, second]) == [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]
        found.shoot(f"report-{size}-{scheme}-sorted")
        assert found.errors == []
