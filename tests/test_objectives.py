"""Objectives: what a name means, and that each metric is scikit-learn's to the digit."""

import numpy as np
import pytest
from sklearn import metrics as sk

from search.errors import InputError
from search.objectives import (
    METRICS,
    N_GROUPS,
    default_objective,
    objective_of,
    objective_problem,
    shares,
    text_of,
)
from search.records import Epoch, State, Task, TrialRecord

N, CLASSES = 200, 7
_DRAW = np.random.default_rng(0)
LABELS = _DRAW.integers(0, CLASSES, N)
PROBABILITIES = (
    _DRAW.dirichlet(np.ones(CLASSES), N) * 0.5
    + 0.5 * np.eye(CLASSES)[np.where(_DRAW.random(N) < 0.4, LABELS, _DRAW.integers(0, CLASSES, N))]
)
DECIDED = PROBABILITIES.argmax(axis=1)
SEVERAL = _DRAW.integers(0, 2, (N, 4))
SIGMOIDS = _DRAW.random((N, 4))
NUMBERS = _DRAW.normal(3, 1, (N, 2))
GUESSES = NUMBERS + _DRAW.normal(0, 0.3, (N, 2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", sk.accuracy_score(LABELS, DECIDED)),
        ("balanced_accuracy", sk.balanced_accuracy_score(LABELS, DECIDED)),
        ("f1_macro", sk.f1_score(LABELS, DECIDED, average="macro")),
        ("top_5_accuracy", sk.top_k_accuracy_score(LABELS, PROBABILITIES, k=5)),
        ("log_loss", sk.log_loss(LABELS, PROBABILITIES)),
        ("roc_auc", sk.roc_auc_score(LABELS, PROBABILITIES, multi_class="ovr")),
        ("cohen_kappa", sk.cohen_kappa_score(LABELS, DECIDED)),
        ("mcc", sk.matthews_corrcoef(LABELS, DECIDED)),
    ],
)
def test_a_metric_of_classes_is_scikit_learns(name: str, expected: float) -> None:
    assert METRICS[name].measure(LABELS, PROBABILITIES) == pytest.approx(expected, abs=1e-12)


def test_one_probability_of_two_classes_is_enough_for_auc() -> None:
    labels = SEVERAL[:, 0]
    rows = np.column_stack([1 - SIGMOIDS[:, 0], SIGMOIDS[:, 0]])
    expected = sk.roc_auc_score(labels, SIGMOIDS[:, 0])
    assert METRICS["roc_auc"].measure(labels, rows) == pytest.approx(expected)


def test_auc_is_the_mean_over_classes_and_labels_that_can_be_told_apart() -> None:
    labels = np.where(LABELS == 3, 2, LABELS)
    of_each = [sk.roc_auc_score(labels == k, PROBABILITIES[:, k]) for k in range(CLASSES) if k != 3]
    assert METRICS["roc_auc"].measure(labels, PROBABILITIES) == pytest.approx(np.mean(of_each))
    several = SEVERAL.copy()
    several[:, 0], several[:, 2], several[:, 3] = 0, 1, 1
    expected = sk.roc_auc_score(several[:, 1], SIGMOIDS[:, 1])
    assert METRICS["roc_auc"].measure(several, SIGMOIDS) == pytest.approx(expected)
    ones = np.ones(N, dtype=int)
    assert np.isnan(METRICS["roc_auc"].measure(ones, PROBABILITIES[:, :2]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", np.mean((SIGMOIDS >= 0.5) == SEVERAL)),
        ("f1_macro", sk.f1_score(SEVERAL, SIGMOIDS >= 0.5, average="macro")),
        ("roc_auc", sk.roc_auc_score(SEVERAL, SIGMOIDS)),
        ("log_loss", np.mean([sk.log_loss(SEVERAL[:, k], SIGMOIDS[:, k]) for k in range(4)])),
    ],
)
def test_a_metric_of_several_labels_is_scikit_learns(name: str, expected: float) -> None:
    assert METRICS[name].measure(SEVERAL, SIGMOIDS) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", sk.mean_squared_error(NUMBERS, GUESSES)),
        ("mae", sk.mean_absolute_error(NUMBERS, GUESSES)),
        ("mape", sk.mean_absolute_percentage_error(NUMBERS, GUESSES)),
        ("r2", sk.r2_score(NUMBERS, GUESSES)),
    ],
)
def test_a_metric_of_numbers_is_scikit_learns(name: str, expected: float) -> None:
    assert METRICS[name].measure(NUMBERS, GUESSES) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_what_every_metric_says_of_the_best_predictions_is_its_best_value(name: str) -> None:
    truth = NUMBERS if METRICS[name].tasks == {Task.REGRESSION} else LABELS
    best = NUMBERS if truth is NUMBERS else np.eye(CLASSES)[LABELS]
    worse = GUESSES if truth is NUMBERS else PROBABILITIES
    objective = objective_of(name)
    measure = METRICS[name].measure
    assert objective.score(measure(truth, best)) >= objective.score(measure(truth, worse))
    assert measure(truth, best) == pytest.approx(1.0 if objective.is_maximized else 0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "is_maximized", "key", "canonical"),
    [
        ("accuracy", True, "val_accuracy", "accuracy"),
        ("log_loss:min", False, "val_log_loss", "log_loss"),
        ("val_loss", False, "val_loss", "val_loss"),
        ("val_auc", True, "val_auc", "val_auc"),
        ("mean_squared_logarithmic_error", False, None, "mean_squared_logarithmic_error"),
        ("val_cost:min", False, "val_cost", "val_cost:min"),
        ("my.module:cost:max", True, "val_my.module:cost", "my.module:cost:max"),
    ],
)
def test_an_objective_is_known_by_its_name(
    text: str, is_maximized: bool, key: str | None, canonical: str
) -> None:
    objective = objective_of(text)
    assert objective.is_maximized is is_maximized
    assert key is None or objective.key == key
    assert text_of(objective) == canonical
    assert objective_of(text_of(objective)) == objective


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("acuracy", "did you mean 'accuracy'?"),
        ("accuracy:min", "accuracy is made larger, not :min; write accuracy"),
        ("log_loss:max", "log_loss is made smaller, not :max"),
        ("my.module:cost", "write my.module:cost:max or my.module:cost:min"),
        ("val_cost", "write val_cost:max or val_cost:min"),
        ("my.module:cost:of:max", "'my.module:cost:of' must be written as package.module:function"),
        ("", "is not known"),
    ],
)
def test_an_objective_that_means_nothing_is_refused_with_the_remedy(
    text: str, message: str
) -> None:
    with pytest.raises(InputError, match="objective") as raised:
        objective_of(text)
    assert message in str(raised.value)


def test_numbers_are_searched_for_by_mse_and_all_else_by_accuracy() -> None:
    assert default_objective(Task.REGRESSION).name == "mse"
    assert {default_objective(t).name for t in set(Task) - {Task.REGRESSION}} == {"accuracy"}


def test_a_trial_is_worth_its_best_epoch_by_its_studys_objective() -> None:
    values = [(0.6, 0.9), (0.5, 0.7), (0.7, 0.8)]
    curve = tuple(
        Epoch(step, {"val_accuracy": accuracy, "val_log_loss": loss}, 1.0, 0.0)
        for step, (accuracy, loss) in enumerate(values, start=1)
    )
    by_accuracy = TrialRecord(0, State.COMPLETE, {}, curve)
    by_loss = TrialRecord(0, State.COMPLETE, {}, curve, objective=objective_of("log_loss"))
    assert (by_accuracy.best_epoch, by_accuracy.value, by_accuracy.val_accuracy) == (3, 0.7, 0.7)
    assert (by_loss.best_epoch, by_loss.value, by_loss.val_accuracy) == (2, 0.7, 0.5)
    assert by_loss.best_so_far == (-0.9, -0.7, -0.7)


@pytest.mark.parametrize(
    ("text", "task", "n_classes", "problem"),
    [
        ("accuracy", Task.BINARY, 2, None),
        ("f1_macro", Task.MULTILABEL, 4, None),
        ("r2", Task.REGRESSION, 1, None),
        ("rmse", Task.REGRESSION, 1, None),
        ("auc", Task.CLASSIFICATION, 10, None),
        ("val_loss", Task.REGRESSION, 1, None),
        ("n_params", Task.REGRESSION, 1, None),
        ("my.metrics:cost:min", Task.REGRESSION, 1, None),
        ("top_5_accuracy", Task.CLASSIFICATION, 6, None),
        ("top_5_accuracy", Task.CLASSIFICATION, 5, "1 for 5 classes"),
        ("top_5_accuracy", Task.MULTILABEL, 9, "does not measure multilabel"),
        ("accuracy", Task.REGRESSION, 1, "take mse, mae, mape, r2 or"),
        ("auc", Task.REGRESSION, 1, "does not measure regression"),
        ("r2", Task.CLASSIFICATION, 3, "take accuracy, balanced_accuracy"),
        ("cohen_kappa", Task.MULTILABEL, 3, "take accuracy, f1_macro, log_loss, roc_auc or"),
    ],
)
def test_an_objective_fits_the_task_or_is_refused_with_those_that_do(
    text: str, task: Task, n_classes: int, problem: str | None
) -> None:
    answer = objective_problem(objective_of(text), task, n_classes)
    assert (answer is None) if problem is None else (answer and problem in answer)


@pytest.mark.parametrize("name", ["log_loss", "top_5_accuracy"])
def test_the_shares_of_a_mean_are_its_examples(name: str) -> None:
    metric = METRICS[name]
    parts = shares(metric.measure, LABELS, PROBABILITIES, metric.examples)
    assert parts.shape == (N,)
    assert parts.mean() == pytest.approx(metric.measure(LABELS, PROBABILITIES), rel=1e-6)


def test_the_shares_of_what_is_no_mean_are_pseudo_values() -> None:
    spread = shares(lambda y, _: float(y.mean()), NUMBERS[:, 0], GUESSES)
    assert spread == pytest.approx(NUMBERS[:, 0], rel=1e-5)  # of a mean, the values themselves
    many = np.tile(LABELS, 3)
    f1 = shares(METRICS["f1_macro"].measure, many, np.tile(PROBABILITIES, (3, 1)))
    assert f1.shape == (N_GROUPS,)
    assert f1.mean() == pytest.approx(METRICS["f1_macro"].measure(LABELS, PROBABILITIES), abs=0.01)
    assert f1.std() > 0


def test_what_a_function_cannot_do_without_a_group_has_no_share() -> None:
    labels = np.array([0, 0, 0, 1])

    def chance(y_true: np.ndarray, y_prob: np.ndarray) -> float:
        if y_true.max() == 0:
            raise RuntimeError("one class only")
        return float(y_prob[y_true == 1].mean())

    parts = shares(chance, labels, np.full((4, 2), 0.5))
    assert np.isnan(parts).tolist() == [False, False, False, True]
