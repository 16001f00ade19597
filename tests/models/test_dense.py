"""The network for examples of any shape, with an end for each task."""

import keras
import numpy as np
import pytest

from search.models.dense import build
from search.records import Task


@pytest.mark.parametrize("shape", [(5,), (6, 2), (4, 3, 2), (2, 4, 3, 2)])
@pytest.mark.parametrize("task", Task)
def test_examples_of_any_rank_and_every_task(shape, task):
    keras.utils.set_random_seed(0)
    n_classes = 2 if task is Task.BINARY else 3
    params = {"depth": 2, "units": 4, "normalisation": "layer", "dropout": 0.1}
    model = build(params, input_shape=shape, n_classes=n_classes, task=task)
    answers = np.asarray(model(np.random.default_rng(0).normal(size=(7, *shape))))
    assert answers.shape == (7, 1 if task is Task.BINARY else n_classes)
    assert bool(np.abs(answers.sum(axis=1) - 1).max() < 1e-5) is (task is Task.CLASSIFICATION)
    assert bool((answers < 0).any()) is (task is Task.REGRESSION)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("LayerNormalization") == kinds.count("Dropout") == kinds.count("Dense") - 1
    assert ("Flatten" in kinds) is (len(shape) > 1)


def test_what_normalisation_adds():
    counts = [
        build({"units": 8, "normalisation": how}, input_shape=(5,), n_classes=2).count_params()
        for how in ("none", "layer", "batch")
    ]
    assert np.diff(counts).tolist() == [2 * 16, 2 * 16]
    assert isinstance(build({}, input_shape=(5,), n_classes=2), keras.Sequential)
