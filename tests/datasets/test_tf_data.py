"""What becomes of `tf.data.Dataset`s, and which are refused."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from search import datasets, registry
from search.datasets.dataset import from_arrays
from search.datasets.tf_data import from_tf_data
from search.errors import InputError
from search.records import Task

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 4)).astype(np.float32)
Y = np.arange(70) % 3
WEIGHTS = RNG.random(70).astype(np.float32)
PYTHON = sys.executable  # which a fixture of this folder takes away


def slices(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays)


@pytest.mark.parametrize("batch", [None, 16, 70])
@pytest.mark.parametrize("y", [Y, np.eye(3)[Y], np.array(["hat", "bag", "shoe"])[Y], X[:, :2]])
def test_it_is_the_same_as_its_arrays_in_batches_or_not(batch, y):
    train, test = slices(X[:50], y[:50], WEIGHTS[:50]), slices(X[50:], y[50:])
    if batch:
        train, test = train.batch(batch), test.batch(batch)
    data = from_tf_data("own", train, test)
    parts = {"x_train": X[:50], "y_train": y[:50], "x_test": X[50:], "y_test": y[50:]}
    same = from_arrays("own", parts | {"sample_weight_train": WEIGHTS[:50]})
    assert (data.digest, data.class_names, data.task) == (same.digest, same.class_names, same.task)


def test_whole_batches_are_read_once_it_is_said_that_they_are():
    train = slices(X, Y).batch(10, drop_remainder=True)
    with pytest.raises(InputError, match=r"\(10, 4\) and \(10,\); give batched=True or False"):
        from_tf_data("own", train)
    assert from_tf_data("own", train, batched=True).x_train.shape == (70, 4)


@pytest.fixture
def photos(tmp_path):
    for part in ("train", "val"):
        for name, grey in {"cat": 40, "ant": 200}.items():
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for i in range(6):
                Image.fromarray(np.full((6, 8), grey + i, np.uint8)).save(folder / f"{i}.png")
    return tmp_path


def from_folder(folder, **options):
    options = {"image_size": (6, 8), "color_mode": "grayscale", "shuffle": False, **options}
    return keras.utils.image_dataset_from_directory(folder, verbose=False, **options)


@pytest.mark.parametrize("label_mode", ["int", "binary", "categorical"])
def test_keras_folders_are_images_with_the_names_of_their_classes(photos, label_mode):
    parts = [from_folder(photos / part, label_mode=label_mode) for part in ("train", "val")]
    data = from_tf_data("photos", parts[0], validation=parts[1])
    assert (data.class_names, data.task) == (("ant", "cat"), Task.CLASSIFICATION)
    assert (data.x_train.dtype, data.input_shape, data.is_images) == (np.uint8, (6, 8, 1), True)
    assert data.x_train[:, 0, 0, 0].tolist() == [*range(200, 206), *range(40, 46)]
    assert data.y_train.tolist() == [0] * 6 + [1] * 6
    assert len(data.y_val) == 12


def test_parts_whose_classes_have_another_order_are_refused(photos):
    other = from_folder(photos / "val", class_names=["cat", "ant"])
    with pytest.raises(InputError, match="the same class_names in one order"):
        from_tf_data("photos", from_folder(photos / "train"), other)


def test_what_comes_in_another_order_each_time_is_refused(photos):
    for train in (slices(X, Y).shuffle(70), from_folder(photos / "train", shuffle=True, seed=1)):
        with pytest.raises(InputError, match=r"train differs each time .*shuffle=False"):
            from_tf_data("own", train)


def generated(**spec):
    specs = (tf.TensorSpec(**spec), tf.TensorSpec((), tf.int32))
    return tf.data.Dataset.from_generator(lambda: [([1.0], 0)] * 4, output_signature=specs)


RAGGED = tf.ragged.constant([[1.0], [2.0, 3.0]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (slices(X, Y).repeat(), r"never ends; leave out .repeat\(\)"),
        (tf.data.Dataset.from_tensor_slices(X), "must have elements .*not one tensor"),
        (tf.data.Dataset.from_tensor_slices({"x": X, "y": Y}), "must have elements .*not dict"),
        (slices({"a": X, "b": X}, Y), r"has 2 tensors \(a, b\) of examples, but must have one"),
        (slices((X, X), Y), "has 2 tensors of examples, but must have one"),
        (slices(X, (Y, Y)), "has 2 tensors of labels, but must have one"),
        (slices(RAGGED, [0, 1]), "has examples as RaggedTensor, of no fixed size; pad"),
        (generated(shape=None), "has examples of unknown shape; .map them with tf.ensure_shape"),
        (generated(shape=(None,)), r"has examples of \(None,\), a size that is not fixed"),
        (slices(X, Y).take(0), "has no elements"),
        (slices(X, Y).filter(lambda x, y: tf.constant(False)), "has no elements"),
        (X, "must be a tf.data.Dataset, not ndarray; for arrays: from_arrays"),
        (
            slices(X, Y).map(lambda x, y: (tf.debugging.check_numerics(x / 0, "no number"), y)),
            r"can't be read \(.*no number",
        ),
    ],
)
def test_what_is_no_data_set_is_refused_with_the_remedy(data, message):
    with pytest.raises(InputError, match=f"own: train .*{message}"):
        from_tf_data("own", data)


def test_all_parts_are_told_of_at_once():
    with pytest.raises(InputError) as refused:
        from_tf_data("own", slices(X, Y).repeat(), slices((X, X), Y))
    assert [problem.split()[1] for problem in refused.value.problems] == ["train", "test"]


def test_a_users_loader_may_return_it(monkeypatch):
    monkeypatch.setattr(registry, "load_loader", lambda _: lambda: from_tf_data("x", slices(X, Y)))
    data = datasets.load("own")
    assert (data.name, data.n_classes, len(data.y_train)) == ("own", 3, 70)


def test_tensorflow_is_imported_for_such_data_alone():
    code = "import sys, search.datasets.tf_data; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([PYTHON, "-c", code], check=False).returncode == 0
