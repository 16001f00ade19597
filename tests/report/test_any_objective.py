"""Reports of studies that are for something else than accuracy, or of something else than images."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import classification_report

from search.objectives import objective_of
from search.records import Search, StudyRecord
from search.report.charts.all import all_charts
from search.report.charts.by_compute import accuracy_by_compute
from search.report.charts.history import accuracy_by_trial
from search.report.classes import class_table
from search.report.evidence import LabelPredictions
from search.report.leaderboard.frame import leaderboard
from search.report.study_report import write_report
from tests.analysis.test_any_objective import of
from tests.report.conftest import trial
from tests.report.test_evidence import read_page

LOSS = objective_of("log_loss")
MSE = objective_of("mse")


@pytest.fixture
def by_loss(study: StudyRecord) -> StudyRecord:
    """The study, ranked by a loss that falls as the accuracy grows: trial 3 at 0.0875, 0 at 0.1."""
    return of(study, LOSS, lambda accuracy: 1 - accuracy)


def write(folder: Path, number: int = 3, **arrays: Any) -> None:
    """The predictions of a trial on validation examples, as training writes them."""
    evidence = folder / "evidence"
    evidence.mkdir()
    facts = {"split": np.array("validation"), "step": np.array(2)}
    np.savez_compressed(evidence / f"trial-{number:04}.npz", **facts, **arrays)


def write_names(folder: Path, names: list[str]) -> None:
    np.savez_compressed(
        folder / "evidence" / "samples.npz",
        images=np.empty((len(names), 0, 1, 1, 1), np.uint8),
        class_names=np.array(names),
        counts=np.arange(len(names)),
    )


def line(chart: Any, name: str) -> list[float]:
    return next(trace.y for trace in chart.panels[0].figure.data if trace.name == name)


def test_the_leaderboard_has_the_objective_and_the_accuracy_of_the_same_epoch(
    by_loss: StudyRecord,
) -> None:
    table = leaderboard(by_loss)
    assert table["objective"].tolist() == ["log_loss"] * 7
    assert table["trial"].tolist()[:4] == [3, 0, 4, 2]
    assert table["value"].tolist()[:3] == pytest.approx([0.0875, 0.1, 0.1])
    assert table["val_accuracy"].tolist()[:3] == [0.9125, 0.9, 0.9]


def test_the_page_of_a_loss_is_told_and_drawn_the_right_way_round(
    by_loss: StudyRecord, tmp_path: Path
) -> None:
    text = read_page(write_report(Search(by_loss), tmp_path).paths.page).text
    assert "reached 0.0875 validation log loss, at epoch 2 of trial 3" in text
    assert "That is 0.0125 better than the document’s setting (trial 0, 0.1)" in text
    assert "Ranked by validation log loss, the smallest over a trial’s epochs" in text
    assert "best validation log loss 0.0875" in text
    assert "publish" not in text.lower()
    history = accuracy_by_trial(by_loss)
    assert list(line(history, "best so far")) == pytest.approx([0.1, 0.0875, 0.0875])
    drawn = line(accuracy_by_compute(Search(by_loss)), "best so far")
    assert list(drawn) == sorted(drawn, reverse=True)
    charts = json.dumps([chart.caption + chart.title for chart in all_charts(Search(by_loss))])
    assert "validation accuracy" not in charts


def test_values_far_above_the_rest_lie_off_the_axis_of_a_loss() -> None:
    trials = tuple(trial(i, "COMPLETE", (0.5 + i / 100,)) for i in range(12))
    study = StudyRecord("s", "m", "d", {}, trials)
    study = of(study, MSE, lambda accuracy: 1e6 if accuracy == 0.55 else 1000 * (1 - accuracy))
    [panel] = accuracy_by_trial(study).panels
    low, high = panel.figure.layout.yaxis.range
    assert 0 < low < 390
    assert 500 < high < 1000
    assert "1 trial above" in accuracy_by_trial(study).caption


def test_numbers_have_residuals_and_their_largest_errors(
    study: StudyRecord, tmp_path: Path
) -> None:
    true = np.arange(40, dtype=np.float32)[:, None]
    predicted = true + 1
    predicted[7] = 1000
    write(tmp_path, true=true, predicted=predicted)
    write_names(tmp_path, ["price"])
    numbers = of(study, MSE, lambda accuracy: 100 * (1 - accuracy))
    paths = write_report(Search(numbers), tmp_path).paths
    page = read_page(paths.page)
    assert "is off by 25.8 on average over 40 validation examples" in page.text
    assert "no. true predicted true − predicted 7 7 1000 -993 0 0 1 -1" in page.text
    assert "Sample images" not in page.text
    assert not page.unbalanced
    assert paths.classes is None
    figure = (paths.figures / "residuals.html").read_text(encoding="utf-8")
    assert "predicted price" in figure
    assert not (paths.figures / "confusion.html").exists()


def test_labels_have_a_table_per_label_that_is_scikit_learns(
    study: StudyRecord, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, (200, 4))
    predicted = np.where(rng.random((200, 4)) < 0.8, true, 1 - true)
    names = ["cat", "dog", "fox", "owl"]
    write(tmp_path, true=true.astype(np.uint8), predicted=predicted.astype(np.uint8))
    write_names(tmp_path, names)
    page = read_page(write_report(Search(study), tmp_path).paths.page)
    assert "Precision, recall and F1 per label" in page.text
    table = class_table(LabelPredictions("test", 1, true, predicted), names).set_index("class")
    report = classification_report(
        true, predicted, target_names=names, output_dict=True, zero_division=0
    )
    expected = pd.DataFrame(report).T.drop(index="samples avg")
    assert table.index.tolist() == expected.index.tolist()
    assert table.to_numpy() == pytest.approx(expected.to_numpy())
    n_right = int((true == predicted).all(axis=1).sum())
    assert f"gets all labels of {n_right} of 200 validation examples right" in page.text


def test_rows_of_a_table_have_their_mistakes_as_a_table(study: StudyRecord, tmp_path: Path) -> None:
    true, predicted = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    write(
        tmp_path,
        true=true.astype(np.uint16),
        predicted=predicted.astype(np.uint16),
        confidence=np.array([0.9, 0.8, 0.75, 1.0], np.float32),
        wrong_index=np.array([2]),
        wrong_values=np.array([[0.5, -1.25, 3.0]], np.float32),
    )
    write_names(tmp_path, ["no", "yes"])
    page = read_page(write_report(Search(study), tmp_path).paths.page)
    assert "1 of 4 validation examples (25.00 %) was misclassified" in page.text
    assert "no. true predicted sure (%) values 2 yes no 75.0 0.5, -1.25, 3" in page.text
    assert "Confusion matrix (examples)" in page.text
    assert not page.every("img")


def test_damaged_numbers_count_as_missing(study: StudyRecord, tmp_path: Path) -> None:
    write(tmp_path, true=np.zeros((5, 2), np.float32), predicted=np.zeros((5, 1), np.float32))
    page = read_page(write_report(Search(replace(study, objective=MSE)), tmp_path).paths.page)
    assert "The best trial’s predictions were not kept" in page.text
