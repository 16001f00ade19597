"""Every task is trained and judged by what its targets and its network are."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray
from sklearn import metrics as sk

from search.errors import InputError, TrialError
from search.objectives import METRICS, objective_of
from search.records import Task
from search.space.params import ends
from search.space.space import Space
from search.training.classifier_outputs import Outputs, outputs_of
from search.training.inference import open_network, probabilities, verified
from search.training.job import Job
from search.training.kept_network import Verdict
from search.training.measure import measure_of
from search.training.network import build_whole
from search.training.objectives_tried import tried
from search.training.probe import probe
from search.training.shaping import shaped
from search.training.trainer import train

HERE = "tests.training.of_tasks:"
N = 300
_DRAW = np.random.default_rng(0)
X = _DRAW.normal(size=(N, 6)).astype(np.float32)
_SCORES = X @ _DRAW.normal(size=(6, 3))
TARGETS: dict[Task, NDArray[Any]] = {
    Task.BINARY: (_SCORES[:, 0] > 0).astype(np.int64),
    Task.CLASSIFICATION: (_SCORES[:, 0] > 0).astype(np.int64),
    Task.MULTILABEL: (_SCORES > 0).astype(np.int64),
    Task.REGRESSION: _SCORES[:, :2].astype(np.float32),
}


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    """Keras numbers a second metric of a name in one process; a trial has one to itself."""
    keras.backend.clear_session()
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Trains a model on the targets of a task: its epochs, and what it scored at the end."""

    def of(
        model: str, task: Task, *, pause_at: int | None = None, **changes: Any
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        y = TARGETS[task]
        parts = {"train": slice(0, 200), "val": slice(200, N)}
        for part, rows in parts.items():
            np.save(tmp_path / f"x_{part}.npy", X[rows])
            np.save(tmp_path / f"y_{part}.npy", y[rows])
        job = Job(
            **{
                "model": HERE + model,
                "params": {"learning_rate": 0.05, "lr": 0.5, "batch_size": 20},
                "seed": 1,
                "total_epochs": 3,
                "data": str(tmp_path),
                "input_shape": (6,),
                "pixel_max": None,
                "n_classes": y.shape[1] if y.ndim == 2 else 2,
                "checkpoint": str(tmp_path / "a.npz"),
                "evidence": str(tmp_path),
                "task": task,
                "evaluate": "validation",
                **changes,
            }
        )
        epochs: list[dict[str, Any]] = []
        scored: dict[str, Any] = {}

        def on_epoch(step: int, metrics: Any) -> Any:
            epochs.append(dict(metrics))
            return "pause" if step == pause_at else "go on"

        train(job, on_built=lambda _n: None, on_epoch=on_epoch, on_evaluated=scored.update)
        return epochs, scored

    return of


@pytest.mark.parametrize(
    ("model", "task", "objective", "names"),
    [
        ("one_unit", Task.CLASSIFICATION, "val_AUC:max", {"val_AUC"}),
        ("one_unit", Task.CLASSIFICATION, "roc_auc", {"val_roc_auc"}),
        ("linear", Task.BINARY, HERE + "cost:min", {f"val_{HERE}cost"}),
        ("labels", Task.MULTILABEL, "val_recall", {"val_recall"}),
        ("linear", Task.MULTILABEL, "auc", {"val_auc"}),
    ],
)
def test_labels_are_learnt_and_the_objective_is_in_every_epoch(
    trained: Any, model: str, task: Task, objective: str, names: set[str]
) -> None:
    epochs, scored = trained(model, task, objective=objective)
    assert all(names | {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(e) for e in epochs)
    assert epochs[-1]["val_accuracy"] > 0.8
    assert epochs[-1]["accuracy"] > 0.8
    assert scored["accuracy"] == epochs[-1]["val_accuracy"]
    value = epochs[-1][objective_of(objective).key]
    assert scored["values"][objective_of(objective).name] == pytest.approx(value)


@pytest.mark.parametrize(("model", "logged"), [("linear", ()), ("numbers", ("val_mse",))])
def test_numbers_have_a_loss_and_no_accuracy(trained: Any, model: str, logged: Any) -> None:
    epochs, scored = trained(model, Task.REGRESSION, objective="val_loss")
    assert not [name for e in epochs for name in e if "accuracy" in name]
    assert {"loss", "val_loss", *logged} <= set(epochs[0])
    assert epochs[-1]["val_loss"] < epochs[0]["val_loss"]
    assert scored["accuracy"] is None
    assert scored["values"]["val_loss"] == epochs[-1]["val_loss"]


def test_what_a_model_logs_is_what_keras_evaluates(trained: Any, tmp_path: Path) -> None:
    epochs, _ = trained("numbers", Task.REGRESSION, objective="val_mse", total_epochs=1)
    network, compiled = build_whole(
        HERE + "numbers", {"learning_rate": 0.05}, (6,), 2, Task.REGRESSION
    )
    with np.load(tmp_path / "a.npz") as state:
        weights = [state[f"m{i}"] for i in range(2)]
    network.set_weights(weights)
    expected = network.evaluate(X[200:], TARGETS[Task.REGRESSION][200:], verbose=0)
    assert compiled
    assert [epochs[0]["val_loss"], epochs[0]["val_mse"]] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("activation", "task", "n_classes", "expected"),
    [
        ("sigmoid", Task.CLASSIFICATION, 1, Outputs.PROBABILITY),
        (None, Task.BINARY, 1, Outputs.LOGIT),
        ("softmax", Task.BINARY, 2, Outputs.PROBABILITIES),
        ("sigmoid", Task.MULTILABEL, 4, Outputs.LABELS),
        (None, Task.MULTILABEL, 1, Outputs.LABEL_LOGITS),
        ("relu", Task.REGRESSION, 1, Outputs.NUMBERS),
        ("softmax", Task.BINARY, 1, "softmax, which gives no probability of the second class"),
        ("tanh", Task.BINARY, 1, "activation sigmoid"),
        ("softmax", Task.MULTILABEL, 4, "no probability of each label"),
        ("tanh", Task.REGRESSION, 1, r"from -1 to 1, but the targets go from 0 to 9"),
        ("softmax", Task.REGRESSION, 3, "the task is regression: end with no activation"),
    ],
)
def test_outputs_are_of_the_task_or_refused(
    activation: str | None, task: Task, n_classes: int, expected: Any
) -> None:
    network = keras.Sequential([keras.Input((6,)), layers.Dense(n_classes, activation)])
    if isinstance(expected, Outputs):
        assert outputs_of(network, (6,), task, (0.0, 9.0)) is expected
        return
    with pytest.raises(InputError, match=expected):
        outputs_of(network, (6,), task, (0.0, 9.0))


@pytest.mark.parametrize("outputs", [Outputs.PROBABILITY, Outputs.LOGIT, Outputs.LABEL_LOGITS])
def test_probabilities_are_the_same_inside_a_graph(outputs: Outputs) -> None:
    given = _DRAW.random((5, outputs.width(4))).astype(np.float32)
    rows = outputs.probabilities(given)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(outputs.in_graph(given)), rows, rtol=1e-6)
    if outputs.width(4) == 1:
        np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-6)


def test_a_width_that_is_not_the_targets_is_refused() -> None:
    network = keras.Sequential([keras.Input((6,)), layers.Dense(3)])
    with pytest.raises(InputError, match=r"2 classes: end with 2 units.*or with one sigmoid unit"):
        shaped(network, (6,), 2)
    with pytest.raises(InputError, match="5 targets: end with 5 units, one for each target"):
        shaped(network, (6,), 5, Task.REGRESSION)


PROBABILITIES = _DRAW.dirichlet(np.ones(3), N).astype(np.float32)
THREE = _DRAW.integers(0, 3, N)
TWO = TARGETS[Task.BINARY]
OF_TWO = np.stack([1 - PROBABILITIES[:, 0], PROBABILITIES[:, 0]], axis=1)


@pytest.mark.parametrize(
    ("name", "y_true", "y_pred", "expected"),
    [
        ("precision", TWO, OF_TWO, sk.precision_score(TWO, OF_TWO[:, 1] > 0.5)),
        ("Recall", TWO, OF_TWO, sk.recall_score(TWO, OF_TWO[:, 1] > 0.5)),
        (
            "f1_score",
            THREE,
            PROBABILITIES,
            sk.f1_score(THREE, PROBABILITIES.argmax(1), average="macro"),
        ),
        (
            "sparse_top_k_categorical_accuracy",
            THREE,
            PROBABILITIES,
            1.0,
        ),
        ("CategoricalCrossentropy", THREE, PROBABILITIES, sk.log_loss(THREE, PROBABILITIES)),
    ],
)
def test_a_metric_of_keras_gets_labels_as_it_wants_them(
    name: str, y_true: Any, y_pred: Any, expected: float
) -> None:
    measure = measure_of(objective_of(name), Task.CLASSIFICATION, y_pred.shape[1])
    assert measure(y_true, y_pred) == pytest.approx(expected, abs=1e-5)
    assert measure(y_true, y_pred) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("broken", r"of_tasks.py:\d+: IndexError"),
        ("rows", r"returned an array \(2,\), not one finite number \(.*of_tasks.py:\d+\)"),
        ("nothing", r"returned None, not one finite number"),
        ("unknown", r"returned nan"),
    ],
)
def test_a_function_that_gives_no_number_says_so_with_its_line(function: str, reason: str) -> None:
    objective = objective_of(f"{HERE}{function}:max")
    with pytest.raises(TrialError) as raised:
        measure_of(objective, Task.CLASSIFICATION, 2)(TWO, OF_TWO)
    assert function in raised.value.reason
    with pytest.raises(InputError, match=reason) as refused:
        tried(objective, Task.CLASSIFICATION, 2)
    [problem] = refused.value.problems
    assert problem.startswith("objective: of 16 made-up predictions, ")
    assert problem.count(objective.name) == 1


@pytest.mark.parametrize(
    ("objective", "problem"),
    [
        (HERE + "missing:max", f"^objective: {HERE}missing can't be imported"),
        (
            HERE + "of_one:max",
            f"^objective: {HERE}of_one " r"must be callable as function\(y_true, y_pred\)",
        ),
        ("mean_io_u", "can't be made by its name alone"),
    ],
)
def test_what_can_not_be_measured_is_refused(objective: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        measure_of(objective_of(objective), Task.CLASSIFICATION, 2)


@pytest.mark.parametrize("n_labels", [2, 3, 6, 12])
def test_any_number_of_labels_can_be_measured_by_every_metric_of_labels(n_labels: int) -> None:
    for name, metric in METRICS.items():
        if Task.MULTILABEL in metric.tasks:
            tried(objective_of(name), Task.MULTILABEL, n_labels)


def test_objectives_are_tried_before_a_search() -> None:
    space = Space.from_dict(
        {
            "model": HERE + "one_unit",
            "params": {"learning_rate": {"type": "constant", "value": 0.05}},
            "document": {"learning_rate": 0.05},
        }
    )
    with pytest.raises(InputError) as raised:
        probe(
            space,
            input_shape=(6,),
            n_classes=2,
            objectives=["val_precision", HERE + "nothing:max", "val_AUC:max", "f1_macro"],
        )
    unlogged, function = raised.value.problems
    assert "val_precision is not what the network logs" in unlogged
    assert "take val_loss, val_accuracy, val_AUC" in unlogged
    assert "nothing returned None" in function


@pytest.mark.parametrize(
    ("model", "task", "objective", "width"),
    [
        ("one_unit", Task.CLASSIFICATION, "roc_auc", 2),
        ("linear", Task.BINARY, "log_loss", 2),
        ("linear", Task.MULTILABEL, "accuracy", 3),
        ("numbers", Task.REGRESSION, "mae", 2),
    ],
)
def test_a_kept_network_answers_by_itself_and_its_answers_are_kept(
    trained: Any, tmp_path: Path, model: str, task: Task, objective: str, width: int
) -> None:
    trained(
        model,
        task,
        objective=objective,
        train_on="all",
        evaluate="train",
        model_file=str(tmp_path / "model.keras"),
        total_epochs=1,
    )
    assert verified(tmp_path, HERE + model) == Verdict("alone", "")
    network = open_network(tmp_path, HERE + model)
    answers = probabilities(network, X)
    assert answers.shape == (N, width)
    with np.load(tmp_path / "trial-0000.npz") as kept:
        said = kept["predicted"] if task is Task.REGRESSION else kept["probabilities"]
        assert said.dtype == (np.float32 if task is Task.REGRESSION else np.float16)
        np.testing.assert_allclose(answers, said, atol=2e-3)
        value = METRICS[objective].measure(TARGETS[task], answers)
        assert kept["shares"].mean() == pytest.approx(value, abs=0.01)


def test_every_objective_is_measured_by_its_name(trained: Any) -> None:
    epochs, scored = trained(
        "one_unit", Task.BINARY, objective="f1_macro", others=("val_AUC:max", "log_loss")
    )
    assert {"val_f1_macro", "val_AUC", "val_log_loss", "val_accuracy"} <= set(epochs[0])
    assert {"f1_macro", "val_AUC", "log_loss"} <= set(scored["values"])


def test_ends_that_can_not_reach_the_targets_are_dropped_before_a_search() -> None:
    choices = ["linear", "relu", "softmax"]
    space = Space.from_dict(
        {
            "model": HERE + "linear",
            "params": {
                "activation": {"type": "choice", "choices": choices},
                "label_smoothing": {"type": "constant", "value": 0.1},
            },
            "document": {"activation": "linear", "label_smoothing": 0.1},
        }
    )
    report = probe(
        space,
        input_shape=(6,),
        n_classes=2,
        task=Task.REGRESSION,
        targets=(-3.0, 2.0),
        objectives=["rmse", "n_params:min"],
    )
    usable, notices = report.usable(space)
    assert ends(usable.params["activation"]) == ("linear",)
    text = " ".join(notices)
    assert "relu, which gives numbers from 0 to inf, but the targets go from -3 to 2" in text
    assert "the task is regression: end with no activation" in text
    assert "label_smoothing does nothing to a regression" in text


@pytest.mark.parametrize(("model", "task"), [("linear", Task.BINARY), ("numbers", Task.REGRESSION)])
def test_a_training_that_was_cut_goes_on_bit_for_bit(
    trained: Any, tmp_path: Path, model: str, task: Task
) -> None:
    files = [str(tmp_path / name) for name in ("whole.npz", "cut.npz")]
    whole, _ = trained(model, task, objective="val_loss", checkpoint=files[0])
    for pause_at in (1, None):
        keras.backend.clear_session()
        parts, _ = trained(
            model, task, objective="val_loss", checkpoint=files[1], pause_at=pause_at
        )
    clocks = {"seconds", "at"}
    same = [[{k: e[k] for k in e.keys() - clocks} for e in epochs] for epochs in (whole, parts)]
    assert same[0] == same[1]
