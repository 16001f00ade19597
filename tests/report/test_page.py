import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from search.analysis.forecast import Forecast, Gain
from search.records import Search
from search.report.charts.chart import Chart, Panel
from search.report.contents import Contents, contents
from search.report.page import page
from search.report.study_report import gather, write_report
from tests.report.conftest import trial
from tests.report.finished import final_of, finished, judgement

VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}


class Page(HTMLParser):
    """A page's elements, its text outside scripts and styles, and whether every element is
    closed.
    """

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words, self.scripts, self.unbalanced = [], [], [], [], []
        self.feed(text.replace("<wbr>", ""))
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

    @property
    def ids(self):
        return [attrs["id"] for _, attrs in self.elements if "id" in attrs]


def read(study, finalists=None, **fields):
    return Page(page(replace(contents(Search(study, finalists)), **fields)))


def test_the_page_says_what_was_found_in_words_first(study):
    text = read(study).text
    assert (
        "The best setting so far reached 91.25 % validation accuracy, at epoch 2 of trial 3."
        in text
    )
    assert "1.25 points above the document’s setting (trial 0, 90.00 %)" in text
    assert "Trial 3 has optimizer adam, lr 0.02 and units 32." in text
    assert "The document’s setting has lr 0.001 and units 64 instead." in text
    assert "Of 7 started trials, 1 complete, 2 running, 1 waiting, 1 pruned and 2 failed." in text
    assert "The search trained 5 trials for 8 epochs in all" in text
    assert "(a paper) publishes 95.00 % on its test split" in text
    assert "Running 7 of 8 trials started, 2 training now" in text
    assert text.index("The best setting so far") < text.index("Ranked by")


def test_the_time_by_the_clock_stands_beside_the_summed_training_time(study):
    text = read(
        study
    ).text  # all five trials began at once, and the longest took three epochs of 1.5 s
    assert "wall-clock time 3.5 s training time 12.0 s summed over trials" in text
    search = finished(study)
    assert (
        "By the clock the search took 2.5 s."
        in Page(page(contents(Search(search, final_of(search))))).text
    )


def test_what_has_nothing_to_show_is_a_line(study):
    found = read(replace(study, trials=(trial(0, "COMPLETE", (0.5,)),)))
    assert {a["data-part"] for a in found.every("section") if "brief" in a.get("class", "")} == {
        "samples",
        "network",
        "predictions",
    }
    brief = {a["data-part"] for a in found.every("figure") if "brief" in a["class"]}
    assert brief == {"importances", "parallel", "parameters"}


def test_the_test_set_is_called_unopened_only_while_it_is(study):
    search = finished(study)
    plan = (
        "After the search, its best 2 settings will be trained again on 2 fresh seeds and scored"
        " on it."
    )
    assert f"The test set has not been opened. {plan}" in read(search).text
    begun = contents(Search(search, final_of(search, n_done=0)))
    assert "has not been opened" in Page(page(begun)).text
    assert (
        "has not been opened"
        not in Page(page(contents(Search(search, final_of(search, n_done=1))))).text
    )
    assert "has not been opened" not in read(search, final_of(search), judgement=judgement()).text


def test_finalists_open_the_page_and_have_a_section_and_columns_of_their_own(study):
    search = finished(study)
    found = Page(page(contents(Search(search, final_of(search)), judgement=judgement())))
    assert "Finished 2 of 2 trials started." in found.text
    assert "test accuracy, trial 1 93.50 % 95 % interval over seeds 92.00 to 95.00" in found.text
    assert "over the document’s setting +3.50 points 95 % interval +1.00 to +6.00" in found.text
    assert found.text.index("The search chose trial 1") < found.text.index("By careful counting.")
    assert {"finalists", "finalists-1"} <= set(found.ids)
    columns = [a["data-name"] for a in found.every("th") if "data-name" in a]
    assert columns[2:7] == ["accuracy", "test", "low", "replicates", "tied"]
    assert [a["data-value"] for a in found.every("td") if a.get("data-value") in ("yes", "no")] == [
        "yes",
        "no",
    ]
    without = read(search)
    assert not {"finalists", "finalists-1"} & set(without.ids)
    assert "test" not in [a.get("data-name") for a in without.every("th")]


def test_epochs_that_the_study_cut_are_said_to_be(study):
    trials = tuple(replace(t, params={**t.params, "epochs": 15 + t.number}) for t in study.trials)
    asked = replace(study, trials=trials, spec=dict(study.spec) | {"first": [{"epochs": 15}]})
    text = Page(page(gather(Search(asked), ""))).text
    assert "Trial 3 has optimizer adam, lr 0.02, units 32 and epochs 3." in text
    assert "The document’s setting has lr 0.001, units 64 and epochs 15 instead." in text
    assert "over the document’s setting – not claimed: it had 3 of its 15 epochs" in text
    reached = "The document’s setting (trial 0) reached 90.00 % in 3 of its 15 epochs"
    assert f"{reached}, to which the study’s limit cut it: no gain over it is claimed." in text
    assert "To train it in full takes 3 × 15 epochs, about 1 min 8 s of training." in text
    assert "the document's setting (trial 0, 3 of its 15 epochs): 90.00" in page(
        gather(Search(asked), "")
    )
    alone = Page(page(gather(Search(replace(asked, trials=asked.trials[:1])), ""))).text
    assert "and epochs 3. The study’s limit cut it in the search to 3 of its 15 epochs." in alone


def test_a_parameter_called_as_a_column_has_a_column_to_itself(study):
    trials = tuple(replace(t, params={**t.params, "epochs": t.number}) for t in study.trials)
    columns = [
        a["data-name"] for a in read(replace(study, trials=trials)).every("th") if "data-name" in a
    ]
    assert {"epochs", "param.epochs", "lr"} <= set(columns)
    assert len(set(columns)) == len(columns)


def test_replicates_that_are_still_running_are_said_to_be(study):
    search = finished(study)
    rows = judgement().rows
    half = replace(judgement(), rows=(rows[0], replace(rows[1], values=(0.9,))), is_complete=False)
    text = read(search, final_of(search, n_done=3), judgement=half).text
    assert (
        "Running 2 of 2 trials started; 3 of 4 replicates of its finalists done, 1 training now."
        in text
    )
    assert "The finalists are being trained again: 3 of 4 replicates finished so far." in text
    assert (
        "Unfinished 2 of 2 trials started; its finalists have not been trained again yet."
        in read(search).text
    )


def test_what_an_hour_may_still_bring_is_a_headline(study):
    gain = Gain(3600.0, 0.004, 0.0, 0.012, 0.5)
    ahead = Forecast(12, 1, 1000, 600.0, 0.9, 0.01, "images", gain, gain)
    text = read(study, forecast=ahead).text
    assert "may still come in an hour +0.40 points 90 % interval 0.00 to 1.20" in text
    assert "Another hour of this search is expected to gain 0.40 points" in text


def test_failures_space_and_settings_are_shown(study):
    rows = (
        *study.trials[:-1],
        replace(study.trials[-1], started=study.trials[0].started, environments=("b",)),
    )
    elsewhere = {"a": {"python": "3.11.2"}, "b": {"python": "3.12.1"}, "c": {"python": "3.13.0"}}
    text = read(replace(study, trials=rows, environments=elsewhere)).text
    assert "Other environment of trial 7 python 3.12.1" in text
    assert "3.13.0" not in text
    assert "out of memory 1 trial" in text
    assert "last words of trial 1" in text
    assert "the loss became NaN 1 trial" in text
    assert "1e-05 to 0.1, log scale" in text
    assert "optimizer = sgd" in text
    assert "sha256:abc" in text
    assert "python 3.11.2" in text
    assert "timeout_s none" in text


def test_nothing_is_loaded_from_anywhere(study, tmp_path):
    paths = write_report(Search(study), tmp_path / "runs").paths
    keys = {
        "accuracy",
        "cost",
        "curves",
        "best",
        "importances",
        "parallel",
        "parameters",
        "compute",
        "confusion",
    }
    assert {f"{k}.html" for k in keys} | {"plotly.min.js"} <= {
        p.name for p in paths.figures.iterdir()
    }
    for file in [paths.page, *paths.figures.glob("*.html")]:
        found = Page(file.read_text(encoding="utf-8"))
        links = [a[k] for _, a in found.elements for k in ("src", "href") if k in a]
        assert links
        assert all(link.startswith("#") or link in ("data:,", "plotly.min.js") for link in links)
        assert not any(a.get("src") for a in found.every("script")) or file != paths.page
    text = paths.page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "connect-src" not in text
    # Plotly would otherwise offer to send a figure to its makers.
    assert "showSendToCloud: false" in text


def test_a_page_that_is_served_asks_its_server_and_nobody_else(study):
    found = Page(page(contents(Search(study)), live=True))
    policy = next(a["content"] for a in found.every("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    assert policy.endswith("connect-src 'self'")
    parts = [a["data-part"] for _, a in found.elements if "data-part" in a]
    assert {"head", "summary", "leaderboard", "accuracy", "predictions"} <= set(parts)
    assert len(parts) == len(set(parts))


def test_nothing_from_the_study_becomes_markup(hostile, tmp_path):
    paths = write_report(Search(hostile), tmp_path).paths
    for file in [paths.page, *paths.figures.glob("*.html")]:
        found = Page(file.read_text(encoding="utf-8"))
        assert not found.unbalanced
        assert not found.every("img")
        assert found.scripts
        assert not any("alert(1)" in s and not s.strip().startswith("{") for s in found.scripts)
        assert "alert(1)" in found.text
    text = Page(paths.page.read_text(encoding="utf-8")).text
    assert "</pre></script><script>alert(1)</script>" in text
    figures = [
        json.loads(s)
        for s in Page(paths.page.read_text(encoding="utf-8")).scripts
        if s.startswith("{")
    ]
    shown = json.dumps([f for f in figures if "layout" in f])
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>" not in shown
    assert "<img" not in shown


def test_no_text_in_a_figure_can_end_its_script(study):
    figure = go.Figure(layout={"height": 90, "title": {"text": "</script><b>&"}})
    found = Page(
        page(Contents(Search(study), charts=(Chart("k", "t", "c", (Panel("a", figure),)),)))
    )
    assert not found.unbalanced
    assert any(
        '"layout"' in s and json.loads(s)["layout"]["title"]["text"] == "</script><b>&"
        for s in found.scripts[:1]
    )


def test_the_page_is_sound_for_those_who_do_not_see_it(study):
    search = finished(study)
    found = Page(page(contents(Search(search, final_of(search)), judgement=judgement()), live=True))
    assert not found.unbalanced
    assert not found.open
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert len(found.every("main")) == 1
    assert len(found.ids) == len(set(found.ids))
    names = ("aria-labelledby", "aria-describedby", "data-figure", "data-table", "for")
    named = [a[k] for _, a in found.elements for k in names if k in a]
    named += [a["href"][1:] for a in found.every("a")]
    assert set(named) <= set(found.ids)
    charts = [a for a in found.every("div") if a.get("class") == "plot"]
    assert len(charts) >= 9
    assert all(a["role"] == "img" and a["aria-label"] for a in charts)
    assert [a["aria-sort"] for a in found.every("th") if "aria-sort" in a] == ["ascending"]
    scrolling = [a for a in found.every("div") if a.get("class") == "scroll"]
    assert scrolling
    assert all(a.get("role") == "region" and "tabindex" in a for a in scrolling)


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ((), "No trial has been started yet."),
        (
            (trial(0, "FAIL", reason="boom"), trial(1, "FAIL", (0.9,), reason="boom")),
            "boom 2 trials",
        ),
        (
            (trial(0, "COMPLETE", (0.5,)), trial(1, "COMPLETE", (0.4,))),
            "no other trial has beaten it",
        ),
        (
            (trial(0, "FAIL"), trial(1, "COMPLETE", (0.4,))),
            "(trial 0) has no value: nothing to compare",
        ),
        (
            (trial(0, "COMPLETE", (0.5,)), trial(1, "WAITING", (0.4,), paused=True)),
            "Unfinished 2 of 8",
        ),
    ],
)
def test_studies_without_much_in_them(study, trials, expected):
    found = read(replace(study, trials=trials, published=None))
    assert expected in found.text
    assert not found.unbalanced


def test_a_thousand_trials_make_a_small_page_of_few_rows(many):
    text = page(contents(Search(many(1000))))
    assert len(text.encode()) < 15e6
    found = Page(text)
    assert sum("hidden" in a for a in found.every("tr")) == 800
    assert "Show all 1,000 trials" in found.text
    assert "Show all" not in read(many(200)).text


def test_the_same_study_gives_the_same_bytes(study):
    assert page(contents(Search(study))) == page(contents(Search(study)))
