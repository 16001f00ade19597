"""What is kept of a trial for people to look at, as the report reads it back."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.metrics import accuracy_score, log_loss

from search.records import Task
from search.report.read_evidence import read_evidence
from search.training.evidence import (
    MAX_WRONG,
    Judged,
    describe,
    scores,
    write_network,
    write_predictions,
)
from search.training.feed import Part

RNG = np.random.default_rng(4)
LABELS = RNG.integers(0, 5, 400)
PROBABILITIES = RNG.dirichlet(np.ones(5), 400).astype(np.float32)
IMAGES = RNG.integers(0, 256, (400, 4, 3, 1), np.uint8)


def judged(split: str, step: int, probabilities: Any) -> Judged:
    return Judged(split, step, Task.CLASSIFICATION, probabilities, Part(IMAGES, LABELS))


def test_scores_are_plain_cross_entropy_and_accuracy() -> None:
    measured = scores(PROBABILITIES, LABELS, Task.CLASSIFICATION)
    assert measured["loss"] == pytest.approx(
        log_loss(LABELS, PROBABILITIES / PROBABILITIES.sum(1, keepdims=True)), rel=1e-5
    )
    assert measured["accuracy"] == accuracy_score(LABELS, PROBABILITIES.argmax(axis=1))


def test_a_class_held_impossible_costs_much_but_not_infinity_and_nan_stays_nan() -> None:
    wrong = np.array([[1, 0], [1, 0]], np.float32)
    assert scores(wrong, np.array([0, 1]), Task.CLASSIFICATION) == {
        "loss": pytest.approx(-math.log(1e-7) / 2),
        "accuracy": 0.5,
    }
    wrong[1] = np.nan
    assert math.isnan(scores(wrong, np.array([0, 1]), Task.CLASSIFICATION)["loss"])


@pytest.mark.parametrize("root", ["", "memory://"])
def test_predictions_are_kept_with_the_worst_mistakes_first(tmp_path: Path, root: str) -> None:
    folder = f"{root}{tmp_path}"
    write_predictions(folder, 7, judged("test", 3, PROBABILITIES))
    predictions = read_evidence(folder, 7).predictions
    assert predictions is not None
    assert (predictions.split, predictions.step) == ("test", 3)
    np.testing.assert_array_equal(predictions.true, LABELS)
    np.testing.assert_array_equal(predictions.predicted, PROBABILITIES.argmax(axis=1))
    np.testing.assert_array_equal(predictions.confidence, PROBABILITIES.max(axis=1))
    wrong = np.flatnonzero(PROBABILITIES.argmax(axis=1) != LABELS)
    assert len(predictions.wrong_index) == MAX_WRONG < len(wrong)
    kept = predictions.confidence[predictions.wrong_index]
    assert all(np.diff(kept) <= 0)
    assert kept.min() >= max(
        predictions.confidence[i] for i in wrong if i not in predictions.wrong_index
    )
    np.testing.assert_array_equal(predictions.wrong_images, IMAGES[predictions.wrong_index])


def test_later_predictions_replace_earlier_ones_and_no_mistake_is_no_trouble(
    tmp_path: Path,
) -> None:
    sure = np.eye(5, dtype=np.float32)[LABELS]
    for step, probabilities in ((1, PROBABILITIES), (2, sure)):
        write_predictions(tmp_path, 0, judged("validation", step, probabilities))
    predictions = read_evidence(tmp_path, 0).predictions
    assert predictions is not None
    assert (predictions.step, predictions.n_wrong, len(predictions.wrong_index)) == (2, 0, 0)
    assert [f.name for f in tmp_path.iterdir()] == ["trial-0000.npz"]


def test_a_chain_of_layers_says_what_each_reads_and_what_is_trained(tmp_path: Path) -> None:
    base = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()], name="base"
    )
    base.trainable = False
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), base, layers.Flatten(name="flat"), layers.Dense(10, name="out")],
        name="net",
    )
    write_network(tmp_path, 12, model)
    network = read_evidence(tmp_path, 12).network
    assert network is not None
    assert [(x.name, x.type) for x in network.layers] == [
        ("base", "Sequential"),
        ("flat", "Flatten"),
        ("out", "Dense"),
    ]
    assert [x.inputs for x in network.layers[1:]] == [("base",), ("flat",)]
    assert [x.output_shape for x in network.layers] == [(6, 6, 4), (144,), (10,)]
    assert [(x.n_params, x.trainable) for x in network.layers] == [
        (112 + 16, False),
        (0, True),
        (1450, True),
    ]
    assert (network.n_params, network.n_trainable) == (112 + 16 + 1450, 1450)


def test_branches_are_described_with_all_that_they_read() -> None:
    inputs = keras.Input((None, 8, 2), name="in")
    left, right = (
        layers.Conv2D(4, 1, name="left")(inputs),
        layers.Conv2D(4, 1, name="right")(inputs),
    )
    both = layers.Add(name="both")([left, right])
    network = describe(keras.Model(inputs, layers.GlobalAveragePooling2D(name="mean")(both)))[
        "layers"
    ]
    assert {x["name"]: x["inputs"] for x in network} == {
        "in": [],
        "left": ["in"],
        "right": ["in"],
        "both": ["left", "right"],
        "mean": ["both"],
    }
    assert {x["name"]: x["output_shape"] for x in network}["both"] == [None, 8, 4]
