"""Which images a job sees, in which order, and how they are handed over."""

import mmap
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.datasets.dataset import from_arrays
from search.datasets.in_use import unused
from search.datasets.split import Prepared, prepare, read_split, read_test
from search.errors import InputError, StudyError
from search.records import Task
from search.training import feed
from search.training.feed import (
    Joined,
    Part,
    chunks,
    epoch_order,
    n_updates,
    read_evaluation,
    read_feed,
    rows_of,
)
from search.training.job import Job

LABELS = np.arange(130)
IMAGES = np.repeat(LABELS[:, None], 6, axis=1).reshape(130, 2, 3, 1).astype(np.uint8)
PART = Part(IMAGES, LABELS)


@pytest.fixture
def job(digits: Prepared) -> Callable[..., Job]:
    def make(**changes: Any) -> Job:
        plain = Job(
            model="mlp",
            params={},
            seed=0,
            total_epochs=1,
            data=str(digits.folder),
            input_shape=digits.input_shape,
            n_classes=10,
            checkpoint="",
            evidence="",
        )
        return replace(plain, **changes)

    return make


def same(part: Part | None, images: Any, labels: Any) -> bool:
    return (
        part is not None
        and np.array_equal(part.images[:], images)
        and np.array_equal(part.labels, labels)
    )


def test_every_epoch_has_an_order_of_its_own_that_repeats() -> None:
    orders = [
        epoch_order(130, 50, seed=s, step=e, drop=False)
        for s, e in ((1, 1), (1, 2), (2, 1), (1, 1))
    ]
    assert all(sorted(o) == list(range(130)) for o in orders)
    assert np.array_equal(orders[0], orders[3])
    assert not any(np.array_equal(orders[0], o) for o in orders[1:3])
    assert sum(orders[0] == np.arange(130)) < 10  # shuffled, not sorted


@pytest.mark.parametrize(
    ("n", "kept", "dropped"), [(130, 3, 2), (100, 2, 2), (51, 2, 1), (49, 1, 1), (1, 1, 1)]
)
def test_updates_of_an_epoch_with_and_without_its_remainder(
    n: int, kept: int, dropped: int
) -> None:
    """A remainder that is all there is stays: an epoch never has no step."""
    assert [n_updates(n, 50, drop=d) for d in (False, True)] == [kept, dropped]
    full = epoch_order(n, 50, seed=3, step=1, drop=False)
    assert len(full) == n
    assert np.array_equal(epoch_order(n, 50, seed=3, step=1, drop=True), full[: dropped * 50])


@pytest.mark.parametrize("n_bytes", [1, 5 * 6, 50 * 6 - 1, 50 * 6, 110 * 6, 10**9])
def test_chunks_hold_all_images_in_order_and_whole_batches(n_bytes: int) -> None:
    order = epoch_order(130, 50, seed=1, step=1, drop=False)
    parts = list(chunks(PART, order, 50, n_bytes))
    assert [len(labels) % 50 for _, labels in parts[:-1]] == [0] * (len(parts) - 1)
    assert len(parts) == {10**9: 1, 110 * 6: 2}.get(n_bytes, 3)
    assert np.array_equal(np.concatenate([labels for _, labels in parts]), LABELS[order])
    for images, labels in parts:
        assert np.array_equal(images[:, 1, 2, 0], labels)


def test_a_job_that_is_watched_trains_on_training_images_alone(
    job: Callable[..., Job], digits: Prepared
) -> None:
    feed_read, split = read_feed(job()), read_split(digits.folder)
    assert same(feed_read.train, split.x_train, split.y_train)
    assert same(feed_read.validation, split.x_val, split.y_val)


def test_a_replicate_trains_on_training_and_validation_images_and_has_none_to_watch(
    job: Callable[..., Job], digits: Prepared
) -> None:
    assert digits.test_folder is not None
    feed_read, split = read_feed(job(train_on="all")), read_split(digits.folder)
    assert same(
        feed_read.train, np.r_[split.x_train, split.x_val], np.r_[split.y_train, split.y_val]
    )
    assert feed_read.validation is None
    seen = {image.tobytes() for image in feed_read.train.images}
    assert not seen & {image.tobytes() for image in read_test(digits.test_folder)[0]}


def test_a_job_is_scored_on_the_images_that_it_names(
    job: Callable[..., Job], digits: Prepared
) -> None:
    split, test = read_split(digits.folder), str(digits.test_folder)
    watched, whole = read_feed(job()), read_feed(job(train_on="all"))
    assert same(read_evaluation(job(evaluate="validation"), watched), split.x_val, split.y_val)
    assert same(read_evaluation(job(evaluate="train"), watched), split.x_train, split.y_train)
    everything = np.r_[split.x_train, split.x_val]
    assert same(
        read_evaluation(job(evaluate="train"), whole), everything, np.r_[split.y_train, split.y_val]
    )
    assert same(
        read_evaluation(job(evaluate="test", test_data=test), whole), *read_test(Path(test))
    )


@pytest.mark.parametrize(
    ("train_on", "evaluate"),
    [("all", "validation"), ("all", "test"), ("train", "test"), ("train", None)],
)
def test_a_job_can_not_be_scored_on_images_that_it_was_not_given(
    job: Callable[..., Job], train_on: str, evaluate: str | None
) -> None:
    """Nor on validation images that it trained on: that would be no validation."""
    scored_job = job(train_on=train_on, evaluate=evaluate)
    with pytest.raises(StudyError, match=f"evaluated on {evaluate}"):
        read_evaluation(scored_job, read_feed(scored_job))


def test_data_that_are_gone_stop_the_study(
    job: Callable[..., Job], digits: Prepared, tmp_path: Path
) -> None:
    shutil.copytree(digits.folder, tmp_path / "copy")
    (tmp_path / "copy" / "y_val.npy").unlink()
    with pytest.raises(StudyError, match="can't be read"):
        read_feed(job(data=str(tmp_path / "copy")))
    scored_job = job(evaluate="test", test_data=str(tmp_path / "gone"))
    with pytest.raises(StudyError, match="can't be read"):
        read_evaluation(scored_job, read_feed(scored_job))


@pytest.mark.parametrize("train_on", ["train", "all"])
def test_nobody_removes_the_data_of_a_job_while_it_trains(
    digits: Prepared, job: Callable[..., Job], tmp_path: Path, train_on: str
) -> None:
    data, test_data = tmp_path / "data", tmp_path / "test"
    shutil.copytree(digits.folder, data)
    shutil.copytree(str(digits.test_folder), test_data)
    held = read_feed(
        job(train_on=train_on, evaluate="test", data=str(data), test_data=str(test_data))
    )
    assert not any(is_unused(folder) for folder in (data, test_data))
    del held
    assert all(is_unused(folder) for folder in (data, test_data))


def is_unused(folder: Path) -> bool:
    with unused(folder) as answer:
        return answer


@pytest.fixture
def weighed(tmp_path: Path) -> Prepared:
    """Of two classes, 30 and 90 training examples; the first 20 of all count twice."""
    rows = np.arange(120.0)[:, None]
    data = from_arrays(
        "own",
        {
            "x_train": rows,
            "y_train": rows[:, 0] >= 30,
            "sample_weight_train": np.where(rows[:, 0] < 20, 2, 1),
        },
    )
    return prepare(data, seed=0, validation_fraction=1 / 3, cache=tmp_path)


def test_weights_are_those_of_examples_and_of_balanced_classes(
    job: Callable[..., Job], weighed: Prepared
) -> None:
    places = {"data": str(weighed.folder), "n_classes": 2}
    given = read_feed(job(**places)).train
    assert given.weights is not None
    np.testing.assert_array_equal(given.weights, np.where(given.images[:, 0] < 20, 2, 1))
    for train_on in ("train", "all"):
        balanced = job(**places, params={"class_weight": "balanced"}, train_on=train_on)
        part = read_feed(balanced).train
        assert part.weights is not None
        own = np.where(part.images[:][:, 0] < 20, 2, 1)
        of_classes = part.weights / own
        np.testing.assert_allclose(of_classes, np.where(part.labels == 0, 2, 2 / 3), rtol=1e-6)
    with pytest.raises(InputError, match="can't be balanced in a task of regression"):
        read_feed(replace(balanced, task=Task.REGRESSION))
    assert read_feed(job()).train.weights is None


def test_joined_arrays_are_read_by_rows_as_one() -> None:
    whole = np.arange(60).reshape(20, 3)
    joined = Joined([whole[:13], whole[13:14], whole[14:]])
    assert (joined.shape, joined.dtype, len(joined)) == (whole.shape, whole.dtype, 20)
    for rows in (np.array([19, 0, 13, 12, 0]), slice(11, 16), slice(-2, None), np.arange(0), 13):
        np.testing.assert_array_equal(joined[rows], whole[rows])


@pytest.mark.parametrize("shape", [(), (7,), (1500, 3)])
def test_of_a_long_mapped_array_the_rows_are_read_and_not_what_is_around_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    asked: list[tuple[int, int]] = []
    kinds: list[int] = []

    class Watched(mmap.mmap):
        def madvise(self, option: int, start: int = 0, length: int | None = None) -> None:
            if length is None:
                super().madvise(option)
                kinds.append(option)
                return
            super().madvise(option, start, length)
            asked.append((start, start + length))

    monkeypatch.setattr(mmap, "mmap", Watched)
    whole = np.random.default_rng(0).normal(size=(50, *shape))
    np.save(tmp_path / "x.npy", whole)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows = np.array([49, 0, 7, 7])
    np.testing.assert_array_equal(rows_of(mapped, rows), whole[rows])
    assert not asked + kinds  # all of it is no more than is handed over at once
    monkeypatch.setattr(feed, "CHUNK_BYTES", 100)
    np.testing.assert_array_equal(rows_of(mapped, rows), whole[rows])
    joined = Joined([mapped, mapped])
    np.testing.assert_array_equal(joined[rows], whole[rows])
    begins = [mapped.offset + row * whole[0].nbytes for row in rows]
    for (start, end), begin in zip(asked, [*begins, *begins], strict=True):
        assert begin - mmap.PAGESIZE < start <= begin
        assert end == begin + whole[0].nbytes
    # Or the kernel would read ahead of each row.
    assert kinds == [mmap.MADV_RANDOM, mmap.MADV_NORMAL] * 3
