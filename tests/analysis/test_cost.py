import json
import math
from dataclasses import replace

import pytest

from search.analysis.cost import Hours, cost, seed_spread
from search.analysis.forecast import Forecast, Gain, forecast
from search.records import Evaluation, Search, StudyRecord
from search.report.charts.by_compute import accuracy_by_compute
from search.report.text.cost import advice_words, cost_words
from search.report.text.wall_clock import elapsed, elapsed_words
from tests.report.conftest import curve, trial

SPACE = {
    "model": "mlp",
    "document": {"optimizer": "sgd", "momentum": 0.9, "units": 64, "epochs": 10},
    "params": {
        "optimizer": {"type": "choice", "choices": ["adam", "sgd"]},
        "momentum": {"type": "float", "low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
        "units": {"type": "int", "low": 64, "high": 256, "step": 64},
        "epochs": {"type": "int", "low": 8, "high": 12},
    },
}


def study(*trials, **spec):
    return StudyRecord(
        "s",
        "mlp",
        "digits",
        {"epochs": 10, "threads": 2, "n_trials": 9, "space": SPACE} | spec,
        trials,
    )


def timed(number, state, accuracies, seconds, start=0.0, **fields):
    epochs = curve(*accuracies, seconds=seconds)
    return replace(
        trial(number, state, **fields),
        curve=tuple(replace(e, at=start + e.step * seconds) for e in epochs),
    )


def test_cost_adds_up_worked_by_hand():
    # 3 epochs of 600 s, 2 of 300 s and 1 of 1,200 s that failed: 3,600 s on two threads are two
    # core-hours.
    found = cost(
        Search(
            study(
                timed(0, "COMPLETE", (0.7, 0.8, 0.9), 600.0),
                timed(1, "WAITING", (0.5, 0.6), 300.0, paused=True),
                timed(2, "FAIL", (0.4,), 1200.0),
                trial(3, "RUNNING"),
            ),
            study(timed(0, "COMPLETE", (0.9, 0.9), 900.0), threads=4),
        )
    )
    assert (found.search.n_trials, found.search.epochs, found.search.trainings) == (3, 6, 0.6)
    assert (found.search.train_s, found.search.hours) == (3600.0, Hours(2.0, 0.0))
    assert (found.search.n_failed, found.search.failed_s) == (1, 1200.0)
    assert found.replicates.hours == Hours(pytest.approx(2.0), 0.0)
    # (10 momenta of sgd + adam) · 4 units · epochs 8, 9 and, cut to the study's limit, 10: 132
    # settings, 44 · 27 epochs at the median of 600, 600, 600, 300, 300 and 1,200 s.
    grid = found.grid
    assert (grid.n_settings, grid.epochs, grid.epoch_s) == (132, 1188, 600.0)
    assert grid.factor == pytest.approx(1188 * 600 / 3600)
    assert grid.hours.core == pytest.approx(2 * 198)
    assert cost_words(found) == [
        "The search trained 3 trials for 6 epochs in all, or 0.6 full trainings: 2.00 core-hours.",
        "20 min of its training time (33 %) went into 1 trial that failed.",
        "Finalists were trained again 1 time, 2 epochs: another 2.00 core-hours.",
        (
            "A full grid over the same space, with every choice and whole number and 10 values of"
            " each continuous parameter, has 132 settings. At the search’s median of 600 s an epoch"
            " it would have taken about 396 core-hours, 198 times as much."
        ),
    ]


def test_gpus_are_counted_whole_however_many_trials_share_them():
    on_gpu = {"device": "NVIDIA X", "peak_device_mb": 900.0}
    found = cost(
        Search(
            study(
                timed(0, "COMPLETE", (0.9,), 3600.0, **on_gpu),
                timed(1, "RUNNING", (0.9,), 3600.0, device="NVIDIA X"),
                timed(2, "COMPLETE", (0.9,), 3600.0, device="Xeon"),
                trials_per_gpu=4,
            )
        )
    )
    assert found.search.hours == Hours(pytest.approx(2.0), pytest.approx(0.5))
    assert "full trainings: 2.00 core-hours and 0.50 GPU-hours." in cost_words(found)[0]


def test_a_space_without_epochs_trains_each_setting_to_the_limit_and_one_that_cannot_be_read_has_no_grid():
    small = {
        "model": "mlp",
        "document": {"units": 1},
        "params": {"units": {"type": "choice", "choices": [1, 2]}},
    }
    found = cost(Search(study(timed(0, "COMPLETE", (0.9,) * 50, 60.0), space=small)))
    assert (found.grid.n_settings, found.grid.epochs) == (2, 20)
    assert cost_words(found)[-1].endswith("0.67 core-hours, less than the search.")
    assert cost(Search(study(timed(0, "COMPLETE", (0.9,), 60.0), space={"params": 3}))).grid is None
    assert cost_words(cost(Search(study(trial(0, "RUNNING")))))[0].startswith(
        "No epoch has been completed"
    )


def test_huge_grids_and_tiny_searches_stay_readable():
    params = {f"x{i}": {"type": "float", "low": 0.0, "high": 1.0} for i in range(12)}
    space = {"model": "mlp", "document": dict.fromkeys(params, 0.5), "params": params}
    words = cost_words(cost(Search(study(timed(0, "COMPLETE", (0.9,), 1.0), space=space))))
    assert "less than 0.01 core-hours" in words[0]
    # 10¹² settings · 10 epochs · 1 s on 2 threads: 2 · 10¹³ s, by 3,600 · 8,766 s: 633,762 years.
    assert "has 1.0 × 10¹² settings" in words[-1]
    assert "about 634,000 core-years, 1.0 × 10¹³ times" in words[-1]


def replicate(number, accuracy):
    evaluation = None if accuracy is None else Evaluation("test", accuracy, 0.3, 10_000)
    return trial(number, "COMPLETE", evaluation=evaluation)


def test_the_spread_over_seeds_is_pooled_over_settings():
    sources = [{"source": s, "stop_at": 5} for s in (3, 0, 3, 0, 3, 7)]
    values = (0.90, 0.80, 0.91, 0.82, 0.92, 0.7)
    final = study(*(replicate(i, v) for i, v in enumerate(values)), replicates=sources)
    # Variances 0.0001 of three values and 0.0002 of two: (2 · 0.0001 + 1 · 0.0002) / 3.
    assert seed_spread(final) == pytest.approx(math.sqrt(0.0004 / 3))
    assert seed_spread(study(replicate(0, 0.9), replicate(1, None), replicates=sources)) is None
    assert seed_spread(None) is None


def advice(expected, high, noise=0.0027, further_high=None, **fields):
    further = Gain(18_600.0, 0.004, 0.0, high if further_high is None else further_high, 0.5)
    gain = Gain(3600.0, expected, 0.0, high, 0.3)
    facts = {"best": 0.92, "noise": noise, "gain": gain, "further": further} | fields
    return advice_words(Forecast(40, 2, 10_000, 7200.0, **facts))


def test_the_advice_says_what_is_expected_beside_the_noise():
    assert advice(0.0003, 0.0012) == [
        (
            "Another hour of this search is expected to gain 0.03 points (0.00 to 0.12), less than"
            " the noise of its 10,000 validation images (0.27 points): stop here."
        ),
        (
            "That is judged by the best of its 40 trials and how often they came, if 2 workers went"
            " on like this; about one time in twenty, the gain is larger."
        ),
    ]
    assert advice(0.0003, 0.0012, further_high=0.009)[0].endswith(
        "(0.27 points). But another 5 h 10 min, 25 % more of what it has spent, may gain 0.40"
        " points (0.00 to 0.90): too early to stop."
    )
    assert advice(0.001, 0.008)[0].endswith(
        "0.10 points (0.00 to 0.80), where less than the noise of its 10,000 validation images"
        " (0.27 points) can’t be told from luck: going on may gain something, or nothing."
    )
    assert advice(0.009, 0.03)[0].endswith("(0.27 points): it is worth going on.")
    assert (
        "less than what a setting varies by from seed to seed (0.40 points): stop"
        in (advice(0.0, 0.001, noise=0.004, noise_from="seeds")[0])
    )


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ((), "no trial has a validation accuracy"),
        ((trial(0, "COMPLETE", (0.9,)),), "1 trial has a value, and 10 are needed"),
        (
            tuple(trial(i, "COMPLETE", (0.1,)) for i in range(12)),
            "all 12 trials reached the same 10.00\u00a0%",
        ),
        (
            tuple(trial(i, "COMPLETE", (0.1 + i / 99,)) for i in range(12)),
            "after 18.0 s of training",
        ),
        ((trial(0, "COMPLETE", (0.9, 1.0)),), "nothing more to gain on them, stop here"),
    ],
)
def test_without_a_forecast_the_advice_says_why(trials, said):
    [sentence] = advice_words(forecast(trials, n_validation=100, n_workers=1))
    assert said in sentence


def traces(chart):
    return {t.name: t for t in chart.panels[0].figure.data}


def test_the_figure_sets_the_best_so_far_against_all_compute_spent():
    # Two workers of two threads side by side: an epoch of 900 s is half a core-hour. The failed
    # trial costs, too.
    rows = study(
        timed(0, "COMPLETE", (0.5, 0.8), 900.0),
        timed(1, "FAIL", (0.99,), 900.0, start=50.0),
        timed(2, "PRUNED", (0.7, 0.6), 900.0, start=1e6),
    )
    final = study(replicates=[{"source": 2}, {"source": None}])
    chart = accuracy_by_compute(Search(rows, final))
    found = traces(chart)
    assert list(found["best so far"].x) == pytest.approx([0.5, 1.5, 2.5])
    assert list(found["best so far"].y) == pytest.approx([50, 80, 80])
    assert list(found["pruned"].x) == pytest.approx([2.0])
    assert (list(found["finalists"].x), list(found["finalists"].y)) == (
        [pytest.approx(2.0)],
        [pytest.approx(70)],
    )
    assert found["the baseline (trial 0, 3 of its 10 epochs): 80.00\u00a0%"].x[-1] == pytest.approx(
        2.5
    )
    assert (
        chart.panels[0].figure.layout.xaxis.title.text == "compute spent by the search (core-hours)"
    )
    assert "fail" not in found


@pytest.mark.parametrize("n", [0, 1, 2500])
def test_the_figure_is_sound_at_any_size_and_says_what_it_leaves_out(many, n):
    chart = accuracy_by_compute(Search(many(n)))
    assert bool(chart.panels) == (n > 0)
    if n == 2500:
        assert "of 2,143 trials with a value" in chart.caption
        drawn = json.loads(chart.panels[0].figure.to_json())["data"]
        lengths = [len(t["y"]) for t in drawn if isinstance(t["y"], list)]
        assert 0 < max(lengths) < 2100


def test_devices_of_both_kinds_share_one_axis():
    rows = study(
        timed(0, "COMPLETE", (0.9,), 3600.0),
        timed(1, "COMPLETE", (0.9,), 3600.0, 5.0, peak_device_mb=1.0),
    )
    chart = accuracy_by_compute(Search(rows))
    assert "hours on CPUs and GPUs" in chart.panels[0].figure.layout.xaxis.title.text
    assert traces(chart)["best so far"].x[-1] == pytest.approx(2.0)


def test_the_clock_counts_what_ran_at_once_a_single_time_and_no_breaks():
    first = timed(0, "COMPLETE", (0.7, 0.8), 60.0)  # from 0 to 120
    beside = timed(1, "COMPLETE", (0.7,), 90.0, start=60.0)  # from 60 to 150
    after_a_pause = timed(
        2, "COMPLETE", (0.9,), 30.0, start=170.0
    )  # 20 s later a process had started
    next_day = timed(3, "COMPLETE", (0.9,), 30.0, start=86400.0)
    assert elapsed([first, beside, after_a_pause]) == (200.0, 0.0)
    assert elapsed([next_day, first]) == (150.0, 86400.0 - 120.0)
    assert elapsed([trial(0, "RUNNING")]) == (0.0, 0.0)
    words = elapsed_words(elapsed([first, next_day]), elapsed([beside]))
    assert (
        words == "By the clock the search took 2 min 30 s and its replicates 1 min 30 s; "
        "breaks of 23 h 58 min in all are not counted."
    )
