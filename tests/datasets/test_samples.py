"""What is kept of a data set for people to look at, and the test images that only some jobs are
given.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from search.datasets.image_data import from_arrays
from search.datasets.samples import PER_CLASS, write_samples
from search.datasets.split import Prepared, prepare, read_split, read_test
from search.errors import StudyError
from search.report.read_evidence import read_evidence
from tests.datasets.conftest import some_arrays


@pytest.fixture
def prepared(tmp_path: Path):
    """A data set whose classes 0, 1, 2 have 20, 40 and 12 training images."""
    labels = np.repeat([0, 1, 2], [25, 50, 15])
    arrays = some_arrays(n_train=90, n_test=30, n_classes=3, shape=(6, 5, 3)) | {"y_train": labels}
    data = from_arrays("three", arrays, ("shirt", "shoe", "bag"))
    return prepare(data, seed=0, validation_fraction=0.2, cache=tmp_path / "cache")


@pytest.mark.parametrize("root", ["", "memory://"])
def test_the_first_training_images_of_every_class_are_kept_and_read_back(
    prepared: Prepared, tmp_path: Path, root: str
) -> None:
    folder = f"{root}{tmp_path}/study/evidence"
    write_samples(prepared, f"{folder}/samples.npz")
    samples = read_evidence(folder, None).samples
    split = read_split(prepared.folder)
    assert samples is not None
    assert samples.class_names == ("shirt", "shoe", "bag")
    assert samples.counts == (20, 40, 12)
    assert samples.images.dtype == np.uint8
    for label in range(3):
        np.testing.assert_array_equal(
            samples.images[label], split.x_train[split.y_train == label][:PER_CLASS]
        )


def test_the_smallest_class_decides_how_many_are_kept(tmp_path: Path) -> None:
    arrays = some_arrays(n_train=44, n_classes=2) | {"y_train": np.repeat([0, 1], [40, 4])}
    data = prepare(
        from_arrays("two", arrays, ()), seed=0, validation_fraction=0.25, cache=tmp_path / "cache"
    )
    write_samples(data, tmp_path / "samples.npz")
    with np.load(tmp_path / "samples.npz") as kept:
        assert kept["images"].shape == (2, 3, 28, 28, 1)
        assert kept["counts"].tolist() == [30, 3]


def test_samples_are_written_once_and_not_at_all_when_the_data_are_gone(
    prepared: Prepared, tmp_path: Path
) -> None:
    write_samples(prepared, tmp_path / "samples.npz")
    before = (tmp_path / "samples.npz").stat()
    shutil.rmtree(prepared.folder)
    write_samples(prepared, tmp_path / "samples.npz")
    after = (tmp_path / "samples.npz").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    with pytest.raises(StudyError, match="start the study again"):
        write_samples(prepared, tmp_path / "other" / "samples.npz")
    assert not list(tmp_path.glob("other/*"))


def test_test_images_are_read_as_they_were_given_and_can_not_be_changed(prepared: Prepared) -> None:
    assert prepared.test_folder is not None
    images, labels = read_test(prepared.test_folder)
    given = some_arrays(n_train=90, n_test=30, n_classes=3, shape=(6, 5, 3))
    np.testing.assert_array_equal(images, given["x_test"])
    np.testing.assert_array_equal(labels, given["y_test"])
    assert (images.dtype, labels.dtype, images.flags.writeable) == (np.uint8, np.int64, False)


@pytest.mark.parametrize("damage", ["x_test.npy", "y_test.npy", None])
def test_test_images_that_are_gone_or_torn_stop_the_study(
    prepared: Prepared, damage: str | None
) -> None:
    folder = prepared.test_folder
    assert folder is not None
    if damage is None:
        (folder / "x_test.npy").write_bytes(b"\x93NUMPY torn")
    else:
        (folder / damage).unlink()
    with pytest.raises(StudyError, match="start the study again"):
        read_test(folder)
