import csv
import io
import itertools
import json
import re
from dataclasses import replace

import pytest

from search.errors import InputError
from search.report.charts.screen import as_chart
from search.report.comparison.suite import ComparisonRow, comparison_frame, standing
from search.report.comparison.suite_chart import accuracy_per_model
from search.report.comparison.suite_page import suite_markdown, write_comparison
from search.report.comparison.suite_words import summary
from search.report.tables import to_csv
from tests.report.comparison.columns import SUITE_COLUMNS
from tests.report.test_page import Page

BASE = ComparisonRow(
    model="convNN_1",
    data="fashion",
    published=0.84,
    published_split="test",
    published_source="a paper",
    split="test",
    values=(0.82, 0.84, 0.86),
    n_wanted=3,
    n_failed=0,
    n_params=542230,
    epochs=10,
    published_epochs=10,
    seconds_per_epoch=4.41,
    device="2 CPU cores",
    note="",
)
ABOVE = replace(BASE, model="above", published=0.78)
BELOW = replace(BASE, model="below", published=0.95)
SHORT = replace(
    BASE, model="short", data="cifar10", epochs=5, published_epochs=50, note="5 of 50 epochs"
)
OTHER = replace(BASE, model="other", published=0.92, published_split="train")
SILENT = replace(BASE, model="silent", published=None, published_split=None, published_source=None)
ONE = replace(BASE, model="one", values=(0.84,), n_wanted=1)
FAILED = replace(
    BASE, model="failed", published_split="validation", split="validation", values=(), n_failed=3
)
QUEUED = replace(
    SILENT,
    model="queued",
    values=(),
    n_params=None,
    epochs=None,
    seconds_per_epoch=None,
    device=None,
)
ROWS = (BASE, ABOVE, BELOW, SHORT, OTHER, SILENT, ONE, FAILED, QUEUED)
FACTS = {"CPU": "2 cores", "keras": "3.15.0"}
EVIL = "</script><script>alert(1)</script>"


def read(frame):
    return list(csv.DictReader(io.StringIO(to_csv(frame))))


def points(chart, name, panel=0):
    """Marks of one legend entry as {model: x}, the y axis' words put back."""
    layout, traces = chart.panels[panel].figure.layout, chart.panels[panel].figure.data
    trace = next(t for t in traces if t.name == name)
    return {layout.yaxis.ticktext[int(y)]: x for x, y in zip(trace.x, trace.y, strict=True)}


def test_the_csv_keeps_every_row_every_digit_and_the_columns_in_order():
    rows = read(comparison_frame("documents", ROWS))
    assert list(rows[0]) == SUITE_COLUMNS
    assert [r["model"] for r in rows] == [r.model for r in ROWS]
    by = {r["model"]: r for r in rows}
    frame = comparison_frame("documents", (replace(BASE, values=(0.1, 0.2), published=0.3),))
    assert float(read(frame)[0]["accuracy_mean"]) == (0.1 + 0.2) / 2
    assert float(read(frame)[0]["difference"]) == (0.1 + 0.2) / 2 - 0.3
    assert by["convNN_1"]["n_params"] == "542230"
    assert by["short"]["published_epochs"] == "50"
    assert float(by["other"]["published"]) == 0.92
    assert by["other"]["difference"] == ""
    assert (by["one"]["accuracy_mean"], by["one"]["accuracy_ci_low"]) == ("0.84", "")
    assert [by["failed"][c] for c in ("accuracy_mean", "n_replicates", "published_split")] == [
        "",
        "0",
        "validation",
    ]
    assert [
        by["queued"][c] for c in ("published", "n_params", "epochs", "seconds_per_epoch", "device")
    ] == [""] * 5


def test_only_text_is_kept_from_being_a_formula():
    row = replace(BELOW, model="=cmd()", device="@d", note="-2+3")
    found = read(comparison_frame("+s", (row,)))[0]
    assert [found[c] for c in ("suite", "model", "device", "note")] == [
        "'+s",
        "'=cmd()",
        "'@d",
        "'-2+3",
    ]
    assert float(found["difference"]) == pytest.approx(-0.11)


def test_the_markdown_table_reads_as_people_do():
    text = suite_markdown("documents", ROWS, FACTS).replace("\u00a0", " ")
    lines = {
        cells[1].strip(): [c.strip() for c in cells[1:-1]]
        for line in text.splitlines()
        if (cells := line.split("|"))[1:]
    }
    assert lines["convNN_1"] == [
        *("convNN_1", "fashion", "84.00 %", "test set", "84.00 % [79.03, 88.97]", "+0.00, within"),
        *("3", "542,230", "10", "4.41", "2 CPU cores", ""),
    ]
    assert "-11.00, below" in lines["below"]
    assert "5 of 50" in lines["short"]
    assert "+0.00, fewer epochs" in lines["short"]
    assert "training set, ours test set" in lines["other"]
    assert {"all failed", "0 of 3, 3 failed", "validation set"} <= set(lines["failed"])
    assert {"not run yet", "0 of 3"} <= set(lines["queued"])
    assert "Published on the training set: other." in text
    assert "Published on the validation set: failed." in text
    assert re.search(
        r"Published on the test set: convNN_1, above, .* chose their settings on that same"
        r" test set",
        text,
    )
    assert "No figure is published for silent and queued." in text
    assert "- keras: 3.15.0" in text
    assert "| a\\|b \\<i\\> |" in suite_markdown("s", (replace(BASE, model="a|b\n<i>"),))


def test_the_summary_says_who_reaches_the_figure_who_does_not_and_who_cannot_be_compared():
    lead, *rest = summary(ROWS)
    assert (
        lead
        == "The document’s figure lies within the 95 % interval of our mean for 1 of 9 systems; "
        "ours is above it for 1 and below it for 1; 6 can’t be compared."
    )
    text = " ".join(rest)
    assert "Ours above the document’s figure: above by 6.00 points." in text
    assert "Ours below the document’s figure: below by 11.00 points." in text
    # One more run would fall within 9.94 points of the mean: above's figure is 6 away, below's 11.
    assert ": below lies beyond where 95 % of further runs of ours would fall." in text
    assert text.endswith(
        "Not comparable: short (fewer epochs); other (another split); silent (no published figure);"
        " one (one replicate only); failed (all failed); queued (not run yet)."
    )
    ends = {p: standing(replace(BASE, published=p)) for p in (0.79, 0.80, 0.88, 0.89)}
    assert ends == {0.79: "above", 0.80: "within", 0.88: "within", 0.89: "below"}
    assert summary(()) == ["The suite has no systems."]


def test_every_system_has_a_row_in_the_chart_of_its_data_best_first():
    chart = as_chart(accuracy_per_model((*ROWS, replace(BASE, model="best", values=(0.99,) * 3))))
    fashion, cifar = (p.figure for p in chart.panels)
    assert fashion.layout.yaxis.ticktext[0] == "best"
    assert set(fashion.layout.yaxis.ticktext) == {r.model for r in ROWS if r is not SHORT} | {
        "best"
    }
    assert fashion.layout.yaxis.range[0] > fashion.layout.yaxis.range[1]
    assert cifar.layout.yaxis.ticktext == ("short",)
    assert {t.name for t in cifar.data} >= {"ours, other number of epochs"}
    looks = {t.name: t.marker.symbol for t in fashion.data if t.name.startswith("document")}
    assert set(looks) == {
        "document, test set",
        "document, validation set",
        "document, training set",
    }
    assert len(set(looks.values())) == 3
    assert points(chart, "document, training set") == {"other": 92.0}
    assert {re.sub("<.*?>", "", a.text) for a in fashion.layout.annotations} == {
        "all failed",
        "not run yet",
    }
    ours = next(t for t in fashion.data if t.name == "ours, mean and 95 % interval")
    whiskers = dict(
        zip(
            (fashion.layout.yaxis.ticktext[int(y)] for y in ours.y), ours.error_x.array, strict=True
        )
    )
    assert whiskers["convNN_1"] == pytest.approx(4.96828, abs=1e-5)
    single = next(t for t in fashion.data if t.name == "ours, too few replicates for an interval")
    assert points(chart, single.name) == {"one": 84.0}
    assert single.error_x.array is None


def test_a_far_outlier_gets_a_close_up_beside_the_whole_range_and_is_named_in_both():
    near = [replace(BASE, model=f"m{i}", values=(0.84 + i / 200,) * 2) for i in range(5)]
    chart = as_chart(
        accuracy_per_model(
            [*near, replace(BASE, model="far", published=0.3764, values=(0.38, 0.38))]
        )
    )
    whole, close = (p.figure for p in chart.panels)
    assert whole.layout.xaxis.range[0] < 37.64
    assert whole.layout.xaxis.range[1] > 86
    assert close.layout.xaxis.range[0] > 80
    assert close.layout.yaxis.ticktext == whole.layout.yaxis.ticktext
    assert "ours 38.00\u00a0%, document 37.64\u00a0%" in close.layout.annotations[0].text
    assert "drawn twice" in chart.caption
    assert len(accuracy_per_model(near).drawings) == 1
    assert "drawn twice" not in accuracy_per_model(near).caption


def test_the_page_is_one_sound_file_that_needs_no_network(tmp_path):
    paths = write_comparison("documents", ROWS, tmp_path / "runs", facts=FACTS)
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {
        *("comparison.csv", "comparison.md", "comparison.tex", "comparison.html", "figures")
    }
    assert {p.name for p in paths.figures.iterdir()} == {
        *(
            "accuracy-per-model.html",
            "accuracy-per-model.png",
            "accuracy-per-model.svg",
            "plotly.min.js",
        )
    }
    text = paths.page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    found = Page(text)
    assert not found.unbalanced
    assert not found.open
    links = [a[k] for _, a in found.elements for k in ("src", "href") if k in a]
    assert links
    assert all(link.startswith("#") or link == "data:," for link in links)
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {
        a[k] for _, a in found.elements for k in ("aria-labelledby", "data-figure") if k in a
    } <= set(ids)
    charts = [a for a in found.every("div") if a.get("class") == "plot"]
    assert charts
    assert all(a["aria-label"] for a in charts)
    # Every cell has what the script sorts by, in figures where the column has figures.
    cells = [
        a["data-value"] for tag, a in found.elements if tag in ("td", "th") and "data-value" in a
    ]
    assert cells[:6] == ["convNN_1", "fashion", "0.84", "test set", "0.84", "0.0"]
    assert len(cells) == 12 * len(ROWS)
    assert "keras 3.15.0" in found.text
    assert found.text.index("lies within the 95 % interval") < found.text.index(
        "Ours is the mean over replicates"
    )


def test_nothing_from_the_rows_becomes_markup(tmp_path):
    texts = {
        "model": EVIL,
        "data": EVIL,
        "published_source": EVIL,
        "published_split": EVIL,
        "split": EVIL,
    }
    row = replace(BASE, **texts, device=EVIL, note=EVIL)
    paths = write_comparison(EVIL, (row, QUEUED), tmp_path, facts={EVIL: EVIL})
    for file in (paths.page, *paths.figures.glob("*.html")):
        found = Page(file.read_text(encoding="utf-8"))
        assert not found.unbalanced
        assert found.scripts
        assert not any("alert(1)" in s and not s.strip().startswith("{") for s in found.scripts)
        figures = [json.loads(s) for s in found.scripts if s.strip().startswith("{")]
        ticks = [t for f in figures if "layout" in f for t in f["layout"]["yaxis"]["ticktext"]]
        assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in ticks


def test_a_suite_of_nothing_and_a_folder_that_cannot_be_written(tmp_path):
    paths = write_comparison("empty", (), tmp_path / "a", facts={})
    assert "The suite has no systems." in Page(paths.page.read_text(encoding="utf-8")).text
    assert paths.csv.read_text(encoding="utf-8").startswith("suite,model,data")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written"):
        write_comparison("documents", ROWS, tmp_path / "file", facts={})
