"""What arrays of each kind become: types, tasks, names, and how they are split."""

import hashlib

import numpy as np
import pytest

from search.datasets.dataset import Dataset, from_arrays
from search.datasets.resize import resized
from search.datasets.samples import write_samples
from search.datasets.split import Prepared, prepare, read_split
from search.errors import InputError
from search.records import Task
from search.report.read_evidence import read_evidence
from tests.datasets.conftest import some_arrays

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(60, 4))
CLASSES = np.arange(60) % 3


def made(x=ROWS, y=CLASSES, **more) -> Dataset:
    """The first two thirds to train on, the rest to test on."""
    parts = {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:]}
    return from_arrays("own", parts, **more)


@pytest.mark.parametrize(
    ("x", "shape", "dtype", "pixel_max"),
    [
        (RNG.integers(0, 255, (60, 5, 4), np.uint8), (5, 4, 1), np.uint8, 255),
        (RNG.integers(0, 65535, (60, 5, 4, 2), np.uint16), (5, 4, 2), np.uint16, 65535),
        (RNG.integers(0, 255, (60, 9), np.uint8), (9,), np.uint8, None),
        (RNG.integers(0, 255, (60, 2, 5, 4, 3), np.uint8), (2, 5, 4, 3), np.uint8, None),
        (ROWS, (4,), np.float32, None),
        (RNG.normal(size=(60, 7, 2)).astype(np.float16), (7, 2), np.float32, None),
        (RNG.integers(-9, 9, (60, 7)), (7,), np.float32, None),
        (RNG.normal(size=(60, 5, 4, 3)) > 0, (5, 4, 3), np.float32, None),
    ],
)
def test_examples_of_any_type_and_rank(x, shape, dtype, pixel_max):
    data = made(x)
    assert (data.input_shape, data.x_train.dtype, data.pixel_max) == (shape, dtype, pixel_max)
    assert data.is_images is (pixel_max is not None)
    np.testing.assert_array_equal(data.x_train.ravel(), x[:40].astype(dtype).ravel())


WORDS = np.array(["hat", "bag", "shoe"])
BITS = np.stack([CLASSES == 0, CLASSES > 0, np.arange(60) % 2], axis=1)


@pytest.mark.parametrize(
    ("y", "task", "targets", "names"),
    [
        (CLASSES * 10 - 5, None, CLASSES, ("-5", "5", "15")),
        (CLASSES[:, None] > 0, None, CLASSES > 0, ("False", "True")),
        (WORDS[CLASSES], None, np.array([1, 0, 2])[CLASSES], ("bag", "hat", "shoe")),
        (WORDS[CLASSES].astype(object), None, np.array([1, 0, 2])[CLASSES], ("bag", "hat", "shoe")),
        (WORDS[CLASSES].astype("S"), None, np.array([1, 0, 2])[CLASSES], ("bag", "hat", "shoe")),
        (np.eye(3)[CLASSES], None, CLASSES, ("0", "1", "2")),
        (CLASSES.astype(float), Task.CLASSIFICATION, CLASSES, ("0", "1", "2")),
        (CLASSES > 0, Task.BINARY, CLASSES > 0, ("False", "True")),
        (BITS, None, BITS, ("0", "1", "2")),
        (np.eye(3)[CLASSES], Task.MULTILABEL, np.eye(3)[CLASSES], ("0", "1", "2")),
        (ROWS[:, 0], None, ROWS[:, :1], ("target",)),
        (ROWS[:, :2], None, ROWS[:, :2], ("target 0", "target 1")),
        (CLASSES, Task.REGRESSION, CLASSES[:, None], ("target",)),
    ],
)
def test_targets_say_their_task_and_keep_their_names(y, task, targets, names):
    data = made(y=y, task=task)
    expected = data.y_train.dtype.type(np.asarray(targets))
    np.testing.assert_array_equal(np.concatenate([data.y_train, data.y_test]), expected)
    assert (data.class_names, data.n_classes) == (names, len(names))
    is_number = np.asarray(y).dtype.kind == "f" and not np.isin(y, (0, 1, 2)).all()
    assert data.task is {Task.BINARY: Task.CLASSIFICATION, None: data.task}.get(task, task)
    assert (data.task is Task.REGRESSION) is (is_number or task is Task.REGRESSION)
    assert data.y_train.dtype == (np.float32 if data.task is Task.REGRESSION else np.int64)
    again = from_arrays("own", data.arrays, data.class_names, data.task)
    assert again.digest == data.digest  # what a user's loader gives is checked once more


def test_names_give_the_order_of_text_labels():
    data = made(y=WORDS[CLASSES], class_names=["shoe", "hat", "bag"])
    assert [data.class_names[label] for label in data.y_train] == WORDS[CLASSES[:40]].tolist()
    assert data.class_names[0] == "shoe"
    with pytest.raises(InputError, match="class_names lacks labels of y_train: hat"):
        made(y=WORDS[CLASSES], class_names=["shoe", "bag", "cap"])


def test_a_task_that_the_targets_cannot_be_is_refused():
    with pytest.raises(InputError, match="a binary task has two classes, not 3"):
        made(task=Task.BINARY)
    with pytest.raises(InputError, match=r"labels that are no whole numbers; .*--task regression"):
        made(y=ROWS[:, 0], task=Task.CLASSIFICATION)
    with pytest.raises(InputError, match="y_train must be rows of 0 and 1"):
        made(task=Task.MULTILABEL)
    with pytest.raises(InputError, match="must hold numbers for a regression, not texts"):
        made(y=WORDS[CLASSES], task=Task.REGRESSION)
    with pytest.raises(
        InputError, match=r"y_test has labels .*; for numbers to predict give --task regression"
    ):
        made(y=np.arange(60))
    with pytest.raises(InputError, match="x_train is no array: rows must be of equal length"):
        from_arrays("own", {"x_train": [[1, 2], [3]], "y_train": [0, 1]})


def test_a_data_set_may_have_no_test_part_and_a_validation_part_of_its_own(tmp_path):
    arrays = {"x_train": ROWS[:40], "y_train": CLASSES[:40]}
    data = from_arrays("own", arrays)
    assert not data.has_test
    prepared = prepare(data, seed=0, validation_fraction=0.2, cache=tmp_path)
    assert (prepared.n_train, prepared.n_val, prepared.n_test) == (32, 8, 0)
    assert not Prepared.read(prepared.folder).has_test
    data = from_arrays("own", arrays | {"x_val": ROWS[40:], "y_val": CLASSES[40:]})
    prepared = prepare(data, seed=0, validation_fraction=0.5, cache=tmp_path)
    split = read_split(prepared.folder)
    np.testing.assert_array_equal(split.x_train, ROWS[:40].astype(np.float32))
    np.testing.assert_array_equal(split.y_val, CLASSES[40:])
    with pytest.raises(
        InputError, match="array y_val is missing; save x_val and y_val, or neither"
    ):
        from_arrays("own", arrays | {"x_val": ROWS[40:]})


def test_what_is_prepared_of_images_and_labels_stays_as_earlier_versions_made_it(tmp_path):
    data = from_arrays("old", some_arrays(40, 20, 4, (4, 4)), ["a", "b", "c", "d"])
    prepared = prepare(data, seed=3, validation_fraction=0.25, cache=tmp_path)
    total = hashlib.sha256()
    for folder in (prepared.folder, prepared.test_folder):
        for file in sorted(folder.iterdir()):
            total.update(file.name.encode() + file.read_bytes())
    assert prepared.folder.name == "old-23f6f2727b1d-s3-v0.25"
    assert total.hexdigest().startswith("73069bb256811a0b6b984d24a2fd5f5a")


def test_numbers_and_labels_are_split_by_the_seed(tmp_path):
    n = 400
    x = RNG.normal(size=(n, 3))
    labels = np.stack([np.arange(n) % 4 == 0, np.arange(n) % 2, np.arange(n) == 7], axis=1)
    for y in (x[:, 0], labels):
        data = from_arrays("own", {"x_train": x, "y_train": y})
        splits = [
            read_split(
                prepare(data, seed=s, validation_fraction=0.25, cache=tmp_path / str(i)).folder
            )
            for i, s in enumerate((1, 1, 2))
        ]
        assert len(splits[0].y_val) == 100
        np.testing.assert_array_equal(splits[0].x_val, splits[1].x_val)
        assert (splits[0].x_val != splits[2].x_val).any()
    assert splits[0].y_val.mean(axis=0)[:2].tolist() == [0.25, 0.5]  # by combinations of labels
    back = Prepared.read(
        prepare(data, seed=1, validation_fraction=0.25, cache=tmp_path / "0").folder
    )
    assert (back.task, back.pixel_max, back.n_classes) == (Task.MULTILABEL, None, 3)


def test_class_names_are_kept_where_there_are_no_pictures(tmp_path):
    prepared = prepare(made(y=WORDS[CLASSES]), seed=0, validation_fraction=0.2, cache=tmp_path)
    write_samples(prepared, tmp_path / "samples.npz")
    samples = read_evidence(tmp_path, None).samples
    assert samples.class_names == ("bag", "hat", "shoe")
    assert samples.images.shape[1] == 0


def test_16_bit_images_are_resized_and_shown_and_rows_are_not(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 16).astype(np.uint16), (60, 8, 1))
    small = resized(made(ramp), (8, 4))
    assert (small.x_train.dtype, small.input_shape, small.digest) == (
        np.uint16,
        (4, 8, 1),
        resized(made(ramp), (8, 4)).digest,
    )
    assert np.ptp(small.x_train.astype(int)) > 55_000
    write_samples(
        prepare(small, seed=0, validation_fraction=0.2, cache=tmp_path), tmp_path / "samples.npz"
    )
    assert read_evidence(tmp_path, None).samples.images.max() > 200
    with pytest.raises(InputError, match="float32 of 4, are no images; leave out --resize"):
        resized(made(), (8, 8))
