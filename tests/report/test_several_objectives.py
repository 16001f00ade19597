"""Reports of studies for several objectives, and of bounds that some trials break."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from search.analysis.judging import judge
from search.analysis.ranking import ranking
from search.api import Study
from search.objectives import objective_of
from search.records import Bound, Search, StudyRecord
from search.report.charts.front import front_chart
from search.report.contents import contents
from search.report.leaderboard.frame import leaderboard
from search.report.study_report import write_report
from search.report.text.finalists import finalist_rows, judgement_words
from search.report.text.headline import headline
from search.report.text.summary import story
from search.tracking.summaries import of_search
from tests.analysis.test_judging import final, search

SIZE, LOSS = objective_of("n_params"), objective_of("val_loss")
SIZES = {0: 400, 1: 5000, 2: 6000, 3: 300}
"""Of the trials, which reach 0.80, 0.95, 0.90 and 0.93: 1 and 3 are on the front."""


def several(study: StudyRecord, sizes: dict[int, int], **goal: object) -> StudyRecord:
    goal = {"others": (SIZE,), **goal}
    trials = [replace(t, n_params=sizes[t.number], **goal) for t in study.trials]
    return replace(study, trials=tuple(trials), **goal)


@pytest.fixture
def searched() -> Search:
    """Trials 1 and 3 were trained again; on the test set 3 is better by both objectives."""
    scores = {1: (0.90, 0.91, 0.92), 3: (0.93, 0.93, 0.94)}
    replicates = final(scores)
    sizes = {number: SIZES[1 if number < 3 else 3] for number in range(6)}
    return Search(several(search(), SIZES), several(replicates, sizes))


def test_the_front_is_told_in_the_leaderboard_and_no_finalist_is_tied(searched: Search) -> None:
    table = leaderboard(searched.study, judge(searched, {})).set_index("trial")
    assert table["on_front"].to_dict() == {1: True, 3: True, 2: False, 0: False}
    assert table["rank"].to_dict() == {1: 1, 3: 2, 2: 3, 0: 4}
    assert table["test_accuracy_mean"][3] == pytest.approx(0.9333, abs=1e-4)
    assert table["test_value_mean.n_params"][[1, 3]].tolist() == [5000, 300]
    assert table["tied_with_best"].isna().all()
    assert table["broken_bounds"].isna().all()


def test_one_objective_has_no_front() -> None:
    table = leaderboard(search())
    assert table["on_front"].isna().all()
    assert front_chart(search(), None) is None


def test_another_measured_objective_has_a_column_at_the_best_epoch() -> None:
    table = leaderboard(several(search(), SIZES, others=(LOSS,)))
    assert table["value.val_loss"].tolist() == [1.1] * 4


def test_among_equals_the_better_by_the_other_objective_is_first() -> None:
    equal = several(search(accuracies=(0.9, 0.9, 0.9)), {0: 30, 1: 10, 2: 20})
    assert [t.number for t in ranking(equal)] == [1, 2, 0]


def test_a_trial_that_breaks_a_bound_says_which_and_has_no_rank_and_no_place_on_the_front() -> None:
    bounded = several(search(), SIZES, bounds=(Bound("n_params", 1000),))
    table = leaderboard(bounded).set_index("trial")
    assert table["broken_bounds"][1] == "n_params"
    assert pd.isna(table["rank"][1])
    assert not table["on_front"][1]
    assert table["broken_bounds"][3] is None
    words = " ".join(sentence for p in story(contents(Search(bounded))) for sentence in p.sentences)
    assert "Without a rank for a broken bound (n_params ≤ 1000): 2 trials." in words


def test_a_baseline_that_breaks_a_bound_is_not_compared() -> None:
    bounded = several(search(), SIZES, others=(), bounds=(Bound("n_params", 350),))
    words = " ".join(sentence for p in story(contents(Search(bounded))) for sentence in p.sentences)
    assert "(trial 0) breaks a bound (n_params): nothing to compare." in words


def test_finalists_are_compared_by_all_objectives_on_the_test_set(searched: Search) -> None:
    judgement = judge(searched, {})
    assert judgement
    assert [row.trial for row in judgement.beaten] == [1]
    rows = finalist_rows(judgement)
    assert [(row.trial, row.others, row.verdict) for row in rows] == [
        ("1", ("5,000",), "beaten by another"),
        ("3", ("300",), "on the front"),
    ]
    words = " ".join(judgement_words(judgement))
    assert "Of 2 finalists by accuracy and parameters, trial 1 is beaten on the test set" in words
    assert "not comparable" not in words


def test_the_chart_draws_the_front_and_the_finalists_intervals(searched: Search) -> None:
    chart = front_chart(searched.study, judge(searched, {}))
    assert chart
    (panel,) = chart.panels
    traces = {trace.name: trace for trace in panel.figure.data}
    assert list(traces["on the front"].x) == [300, 5000]
    assert list(traces["on the front"].y) == pytest.approx([93, 95])
    assert list(traces["beaten"].x) == [400, 6000]
    tested = traces["finalists, test set"]
    assert list(tested.y) == pytest.approx([91, 93.3333], abs=1e-3)
    assert tested.error_y.array[0] == pytest.approx(2.484, abs=1e-3)
    assert tested.error_x.array[0] == 0
    assert panel.figure.layout.xaxis.type == "log"
    assert "2 trials of 4 are on the front" in chart.caption


def test_three_objectives_have_two_panels() -> None:
    study = several(search(), SIZES, others=(SIZE, LOSS))
    chart = front_chart(study, None)
    assert chart
    assert len(chart.panels) == 2


def test_the_page_has_the_front_and_its_members(searched: Search, tmp_path: Path) -> None:
    write_report(searched, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Pareto front: accuracy and parameters" in page
    assert 'data-name="front"' in page
    assert 'data-name="tied"' not in page
    (tile,) = [t for t in headline(contents(searched)) if t.label == "trials on the front"]
    assert (tile.value, tile.note) == ("2", "by accuracy and parameters")
    assert "On the front of accuracy and parameters are 2 trials: 1 and 3." in page


def test_trackers_get_the_front_as_a_tag_and_further_values(searched: Search) -> None:
    summaries = of_search(searched)
    assert [summaries[n].tags["on_front"] for n in range(4)] == ["no", "yes", "no", "yes"]
    bounded = several(search(), SIZES, others=(LOSS,), bounds=(Bound("n_params", 1000),))
    summary = of_search(Search(bounded))[1]
    assert summary.tags["broken_bounds"] == "n_params"
    assert summary.values["value.val_loss"] == 1.1


def test_python_has_what_was_measured_by_all_objectives(searched: Search) -> None:
    losses = several(search(), SIZES, others=(SIZE, LOSS))
    study = Study(Search(losses, searched.finalists), is_archived=True)
    assert study.finalists["trial"].tolist() == [1, 3]
    assert study.finalists["test_value_mean"].tolist() == pytest.approx([0.91, 0.9333], abs=1e-4)
    assert study.leaderboard["on_front"].sum() == 2
    assert "val_loss" in study.curves
