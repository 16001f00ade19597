import json
import re
from dataclasses import replace

import pytest

from search.records import Search
from search.report.charts.all import all_charts
from search.report.charts.curves import best_trial_epochs, learning_curves
from search.report.charts.finalists import finalists_chart
from search.report.charts.history import accuracy_by_trial, compute
from search.report.charts.parallel import parallel_coordinates
from search.report.charts.slices import parameters
from tests.report.conftest import trial
from tests.report.finished import final_of, finished, judgement


def traces(chart, panel=0):
    return {t.name: t for t in chart.panels[panel].figure.data}


def test_accuracy_by_trial_shows_states_the_best_so_far_and_both_references(study):
    found = traces(accuracy_by_trial(study))
    assert list(found["best so far"].x) == [0, 3, 6]
    assert list(found["best so far"].y) == [90.0, 91.25, 91.25]
    assert list(found["the document's setting (trial 0): 90.00\u00a0%"].y) == [90.0, 90.0]
    assert list(found["published, test split: 95.00\u00a0%"].y) == [95.0, 95.0]
    assert list(found["fail"].x) == [1, 6]
    assert found["fail"].yaxis == "y2"
    symbols = [found[s].marker.symbol for s in ("complete", "running", "waiting", "pruned", "fail")]
    assert len(set(symbols)) == 5
    assert "lr=0.02" in found["running"].text[0]


def test_learning_curves_end_with_a_mark_and_are_parted_by_gaps(study):
    rows = (*study.trials, trial(8, "PRUNED", (0.2, 0.25)))
    found = traces(learning_curves(replace(study, trials=rows)))
    assert list(found["pruned"].x) == [1, 2, None, 1, None] or list(found["pruned"].x) == [
        1,
        None,
        1,
        2,
        None,
    ]
    sizes = [
        s
        for s, x in zip(found["pruned"].marker.size, found["pruned"].x, strict=True)
        if x is not None
    ]
    assert sorted(sizes) == [0, 8, 8]
    assert found["pruned"].opacity < found["complete"].opacity
    assert list(found["best: trial 3"].y) == [80.0, 91.25]


def test_the_best_trial_has_training_beside_validation(study):
    chart = best_trial_epochs(study)
    assert list(traces(chart, 0)["training"].y) == pytest.approx([81.0, 92.25])
    assert list(traces(chart, 0)["validation"].y) == pytest.approx([80.0, 91.25])
    assert list(traces(chart, 1)["validation"].y) == pytest.approx([1.1, 0.55])


def test_parameters_get_a_panel_each_with_an_axis_that_fits(study):
    panels = {p.figure.layout.xaxis.title.text: p.figure for p in parameters(study).panels}
    assert list(panels) == ["optimizer", "lr (log scale)", "units"]
    assert panels["lr (log scale)"].layout.xaxis.type == "log"
    assert panels["units"].layout.xaxis.type == "linear"
    assert panels["optimizer"].layout.xaxis.ticktext == ("adam", "sgd")


def test_time_adds_up_to_the_training_time(study):
    found = traces(compute(study))
    assert {name: sum(t.y) for name, t in found.items()} == {
        "complete": 4.5,
        "running": 3.0,
        "waiting": 1.5,
        "pruned": 1.5,
        "fail": 1.5,
    }


def test_poor_outliers_leave_the_axis_and_the_caption_counts_them(study):
    rows = [trial(i, "COMPLETE", (0.9 + i / 1000,)) for i in range(20)] + [
        trial(20, "COMPLETE", (0.1,))
    ]
    chart = accuracy_by_trial(replace(study, trials=tuple(rows), published=None))
    assert chart.panels[0].figure.layout.yaxis.range[0] > 85
    assert "1 trial below" in chart.caption
    # The value itself is not dropped: zooming out shows it.
    assert min(traces(chart)["complete"].y) == pytest.approx(10.0)


def test_the_best_curves_are_shown_from_near_beside_all(many):
    panels = learning_curves(many(20)).panels
    assert len(panels) == 2
    bottom = [panel.figure.layout.yaxis.range[0] for panel in panels]
    assert bottom[0] < 50 < bottom[1]
    assert len(learning_curves(many(9)).panels) == 1


def test_finalists_show_every_replicate_the_mean_and_what_validation_promised():
    found = traces(finalists_chart(judgement()))
    assert list(found["one replicate"].x) == pytest.approx([93, 94, 90, 90])
    chosen = found["mean of the chosen"]
    assert (chosen.x[0], chosen.error_x.array[0], chosen.error_x.arrayminus[0]) == pytest.approx(
        (93.5, 1.5, 1.5)
    )
    assert list(found["validation, in the search"].x) == pytest.approx([95, 90])
    rows = tuple(replace(row, values=(), interval=None) for row in judgement().rows)
    assert finalists_chart(replace(judgement(), rows=rows)).panels == ()


def test_whole_settings_lie_on_one_axis_per_parameter_and_aside_where_one_does_not_apply(study):
    rows = (
        *study.trials,
        trial(8, "COMPLETE", (0.85,), params={"lr": 0.1, "units": 128, "optimizer": "adam"}),
    )
    chart = parallel_coordinates(replace(study, trials=rows))
    layout = chart.panels[0].figure.layout
    names = [note.text for note in layout.annotations if note.text.startswith("<b>")]
    assert names == [
        f"<b>{n}</b>" for n in ("optimizer", "lr", "units", "validation accuracy (%), by rank")
    ]
    assert list(traces(chart)["best: trial 3"].x)[:4] == pytest.approx(
        [0.25, 0.8252, 0, 1], abs=0.1
    )
    assert list(traces(chart)["best: trial 3"].text) == [
        f"trial 3: {text}"
        for text in ("optimizer = adam", "lr = 0.02", "units = 32", "91.25\u00a0%")
    ] + [None]
    sgd = {"optimizer": "sgd", "lr": 0.01, "units": 64}
    more = (
        trial(9, "COMPLETE", (0.5,), params=sgd | {"momentum": 0.9}),
        trial(10, "COMPLETE", (0.6,), params=sgd),
    )
    more = (*more, trial(11, "COMPLETE", (0.7,), params=sgd | {"momentum": 0.5}))
    chart = parallel_coordinates(replace(study, trials=(*rows, *more)))
    assert "does not apply" in chart.caption
    line = traces(chart)["best: trial 3"]
    assert line.x[1] < 0 < line.x[2]


def test_every_figure_says_what_it_shows_and_in_which_unit(study):
    search = finished(study)
    charts = [
        *all_charts(Search(study)),
        *all_charts(Search(search, final_of(search)), judgement()),
    ]
    assert {"finalists", "cost", "parallel"} <= {p.key for p in charts if p.panels}
    for chart in charts:
        assert chart.caption or not chart.panels
        assert "(" in chart.title or chart.key == "cost"
        for panel in chart.panels:
            assert re.fullmatch(r"[A-Z0-9][^<>]{20,}\.", panel.alt)
            layout = panel.figure.layout
            axes = [axis for axis in (layout.xaxis, layout.yaxis) if axis.title.text]
            named = {*study.trials[0].params, "momentum", "epoch"}
            assert all(
                re.search(r"\(.+\)", axis.title.text) or axis.title.text in named for axis in axes
            )
            assert axes or chart.key == "parallel"


@pytest.mark.parametrize("n", [0, 1, 200, 2500])
def test_figures_are_sound_at_any_size_and_say_what_they_leave_out(many, n):
    study = many(n)
    charts = {p.key: p for p in all_charts(Search(study))}
    always = {"accuracy", "cost", "curves", "best", "compute"}
    assert {key: bool(charts[key].panels) for key in always} == dict.fromkeys(always, n > 0)
    varied = {"parallel", "parameters"}
    assert {key: bool(charts[key].panels) for key in varied} == dict.fromkeys(varied, n > 1)
    drawn = [json.loads(panel.figure.to_json()) for p in charts.values() for panel in p.panels]
    values = [trace.get("y") for figure in drawn for trace in figure["data"]]
    lengths = [len(y) for y in values if isinstance(y, list)]
    assert bool(lengths) == (n > 0)
    assert max(lengths, default=0) < 9000
    if n == 200:
        assert "Drawn: 15" in charts["curves"].caption
        assert "Drawn" not in charts["accuracy"].caption
    if n == 2500:
        assert "of 2,143 trials with a value" in charts["accuracy"].caption
        assert "Drawn: 500 of 2,143" in charts["parameters"].caption
        assert "of 2,143 trials with a value, evenly spaced by rank" in charts["parallel"].caption
        assert max(traces(charts["accuracy"])["complete"].x) > 2490
        assert "Each bar sums 7 consecutive trials" in charts["compute"].caption
        total = sum(t.train_s for t in study.trials)
        assert sum(sum(t.y) for t in charts["compute"].panels[0].figure.data) == pytest.approx(
            total
        )
