import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from search.report import write_page, write_report
from search.report.plots import Panel, Plot
from tests.report.conftest import trial

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """A page's elements, its text outside scripts and styles, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words, self.scripts, self.unbalanced = [], [], [], [], []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    def every(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture
def page(tmp_path):
    def make(study):
        write_page(study, tmp_path / "report.html")
        return Page((tmp_path / "report.html").read_text(encoding="utf-8"))

    return make


def test_the_page_says_what_was_found_in_words_first(page, study):
    text = page(study).text
    assert "The best setting so far reached 91.25 % validation accuracy, at epoch 2 of trial 3." in text
    assert "1.25 points above the document’s own setting (trial 0, 90.00 %)" in text
    assert "Of 7 started trials, 1 complete, 2 running, 1 waiting, 1 pruned and 2 failed." in text
    assert "Training took 12.0 s in all" in text
    assert "(a paper) publishes 95.00 % on its test split" in text
    assert "The test set has not been opened" in text
    assert "Running 7 of 8 trials started, 2 training now" in text
    assert text.index("The best setting so far") < text.index("Ranked by")


def test_failures_space_and_settings_are_shown(page, study):
    text = page(study).text
    assert "out of memory 1 trial" in text
    assert "last words of trial 1" in text
    assert "the loss became NaN 1 trial" in text
    assert "1e-05 to 0.1, log scale" in text
    assert "optimizer = sgd" in text
    assert "sha256:abc" in text
    assert "python 3.11.2" in text
    assert "timeout_s none" in text


def test_nothing_is_loaded_from_anywhere(study, tmp_path):
    paths = write_report(study, tmp_path / "runs")
    assert paths.page.stat().st_size < 15e6
    names = {p.name for p in paths.figures.iterdir()}
    keys = ("accuracy", "curves", "best", "parameters", "compute", "confusion")
    assert names == {f"{k}.html" for k in keys} | {"plotly.min.js"}
    for file in [paths.page, *paths.figures.glob("*.html")]:
        found = Page(file.read_text(encoding="utf-8"))
        links = [a[k] for _, a in found.elements for k in ("src", "href") if k in a]
        assert all(link.startswith("#") or link in ("data:,", "plotly.min.js") for link in links)
        assert not any(a.get("src") for a in found.every("script")) or file != paths.page
    assert "default-src 'none'" in paths.page.read_text(encoding="utf-8")
    # Plotly would otherwise offer to send a figure to its makers.
    assert "showSendToCloud: false" in paths.page.read_text(encoding="utf-8")


def test_nothing_from_the_study_becomes_markup(hostile, tmp_path):
    paths = write_report(hostile, tmp_path)
    for file in [paths.page, *paths.figures.glob("*.html")]:
        found = Page(file.read_text(encoding="utf-8"))
        assert not found.unbalanced
        assert not found.every("img")
        assert not any("alert(1)" in s and not s.strip().startswith("{") for s in found.scripts)
        assert "alert(1)" in found.text
    text = Page(paths.page.read_text(encoding="utf-8")).text
    assert "</pre></script><script>alert(1)</script>" in text
    figures = [json.loads(s) for s in Page(paths.page.read_text(encoding="utf-8")).scripts if s.startswith("{")]
    titles = {f["layout"]["xaxis"]["title"]["text"] for f in figures if "layout" in f}
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in titles


def test_no_text_in_a_figure_can_end_its_script(study, tmp_path):
    figure = go.Figure(layout={"height": 90, "title": {"text": "</script><b>&"}})
    write_page(study, tmp_path / "p.html", (Plot("k", "t", "c", (Panel("a", figure),)),))
    found = Page((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert not found.unbalanced
    assert any(
        '"layout"' in s and json.loads(s)["layout"]["title"]["text"] == "</script><b>&" for s in found.scripts[:1]
    )


def test_the_page_is_sound_for_those_who_do_not_see_it(page, study):
    found = page(study)
    assert not found.unbalanced
    assert not found.open
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert len(found.every("main")) == 1
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    named = [a[k] for _, a in found.elements for k in ("aria-labelledby", "data-figure") if k in a]
    assert set(named) <= set(ids)
    plots = [a for a in found.every("div") if a.get("class") == "plot"]
    assert len(plots) >= 7
    assert all(a["role"] == "img" and a["aria-label"] for a in plots)
    assert [a["aria-sort"] for a in found.every("th") if "aria-sort" in a] == ["ascending"]


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ((), "No trial has been started yet."),
        ((trial(0, "FAIL", reason="boom"), trial(1, "FAIL", (0.9,), reason="boom")), "boom 2 trials"),
        ((trial(0, "COMPLETE", (0.5,)), trial(1, "COMPLETE", (0.4,))), "no other trial has beaten it"),
        ((trial(0, "FAIL"), trial(1, "COMPLETE", (0.4,))), "(trial 0) has no value to compare it with"),
        ((trial(0, "COMPLETE", (0.5,)), trial(1, "WAITING", (0.4,), paused=True)), "Unfinished 2 of 8"),
    ],
)
def test_studies_without_much_in_them(page, study, trials, expected):
    found = page(replace(study, trials=trials, published=None))
    assert expected in found.text
    assert not found.unbalanced


def test_the_same_study_gives_the_same_bytes(study, tmp_path):
    write_page(study, tmp_path / "a.html")
    write_page(study, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
