from dataclasses import replace

import numpy as np
import pytest

from search.analysis.importances import measure
from search.records import StudyRecord
from search.report.charts.importances import importances
from tests.report.conftest import SPACE, curve, trial


def study_of(accuracies, params):
    rows = [
        trial(i, "COMPLETE", (a,), params=p)
        for i, (a, p) in enumerate(zip(accuracies, params, strict=True))
    ]
    return StudyRecord("s", "m", "d", {"space": SPACE}, tuple(rows))


@pytest.fixture(scope="module")
def random():
    return np.random.default_rng(3)


@pytest.fixture(scope="module")
def settings(random):
    """Sixty settings; momentum belongs to sgd alone."""
    found = []
    for _ in range(60):
        own = {
            "optimizer": str(random.choice(["adam", "sgd"])),
            "lr": float(10 ** random.uniform(-5, -1)),
        }
        own |= {"units": int(random.integers(16, 512))}
        found.append(
            own
            | ({"momentum": float(random.uniform(0.5, 0.99))} if own["optimizer"] == "sgd" else {})
        )
    return found


def test_what_decides_is_told_from_what_does_not(settings):
    # The best rate lies in the middle, and sgd costs a tenth.
    values = [
        0.9 - 0.05 * (np.log10(s["lr"]) + 3) ** 2 - 0.1 * (s["optimizer"] == "sgd")
        for s in settings
    ]
    study = study_of(values, settings)
    explained, parts = measure(study, study.trials, ["units", "optimizer", "momentum", "lr"])
    assert explained.is_clear
    assert [part.name for part in parts if part.is_clear] == ["lr", "optimizer"]
    # Without interactions the parts add up to what is explained, or less where the forest knows
    # little.
    assert 0.5 < sum(part.mean for part in parts) / explained.mean < 1.1
    assert (
        next(part for part in parts if part.name == "units").low < 0 < parts[1].mean < parts[0].mean
    )
    chart = importances(study)
    assert "Bars of importance by parameter, the most important first: lr" in chart.panels[0].alt
    assert list(chart.panels[0].figure.layout.yaxis.ticktext)[:2] == ["lr", "optimizer"]
    assert chart.caption == importances(study).caption


def test_a_trial_is_not_judged_by_when_it_was_stopped(settings):
    values = [0.8 - 0.05 * (np.log10(s["lr"]) + 3) ** 2 for s in settings]
    study = study_of(values, settings)
    # Every second trial went on, and gained more than any setting makes up for.
    rows = [
        replace(t, curve=curve(a, 0.95 + a / 100)) if t.number % 2 else t
        for t, a in zip(study.trials, values, strict=True)
    ]
    chart = importances(replace(study, trials=tuple(rows)))
    assert "accuracy up to epoch 1." in chart.caption
    assert chart.panels[0].alt == importances(study).panels[0].alt


def test_accuracies_that_nothing_explains_have_no_importances(settings, random):
    chart = importances(study_of(random.uniform(0.5, 0.9, len(settings)).tolist(), settings))
    assert chart.panels == ()
    assert "hardly better than a guess" in chart.why_empty


@pytest.mark.parametrize("n", [0, 19])
def test_few_trials_have_no_importances(settings, n):
    chart = importances(study_of([0.5 + i / 100 for i in range(n)], settings[:n]))
    assert chart.panels == ()
    assert "20 trials of different accuracy" in chart.why_empty
