"""Which images a job trains on, validates on and evaluates on, and in which order."""

import math
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.in_use import Use
from search.datasets.split import read_split, read_test
from search.errors import InputError, StudyError
from search.records import Task
from search.training.job import Job
from search.training.train_loop import Chunk, Images, Labels

CHUNK_BYTES = 64 * 2**20
"""Images handed to the network at once: enough to make the call cheap, little beside the data."""


@dataclass(frozen=True, eq=False)
class Part:
    """Images and their labels."""

    images: Images
    labels: Labels
    weights: NDArray[np.float32] | None = None
    """(n,): what each example's loss counts in training; None: all the same."""


def rows_of(images: Images, rows: NDArray[np.int64]) -> NDArray[Any]:
    """`images[rows]`. Of a mapped file just these rows are read, and all of them at once.

    Page by page as they are copied, the kernel would read megabytes around each, which are gone
    again before they are asked for, where the file is larger than memory.
    """
    file = getattr(images, "base", None)
    is_long = images.dtype.itemsize * math.prod(images.shape) > CHUNK_BYTES
    if is_long and isinstance(images, np.memmap) and isinstance(file, mmap.mmap):
        size = images.strides[0]
        file.madvise(mmap.MADV_RANDOM)
        for begin in (images.offset + rows * size).tolist():
            page = begin - begin % mmap.PAGESIZE
            file.madvise(mmap.MADV_WILLNEED, page, begin + size - page)
        chosen = np.asarray(images[rows])
        file.madvise(mmap.MADV_NORMAL)
        return chosen
    return np.asarray(images[rows])


class Joined:
    """Arrays of examples one after the other, read by rows as one array is: nothing is copied, as
    they may be more than fits into memory.
    """

    def __init__(self, parts: Sequence[NDArray[Any]]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.dtype = parts[0].dtype
        self.shape = (int(self._starts[-1]), *parts[0].shape[1:])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        chosen = np.arange(len(self))[rows]
        if chosen.ndim == 0:
            return np.asarray(self[chosen[None]][0])
        examples = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for part, start in zip(self._parts, self._starts[:-1], strict=True):
            inside = (chosen >= start) & (chosen < start + len(part))
            examples[inside] = rows_of(part, chosen[inside] - start)
        return examples


@dataclass(frozen=True, eq=False)
class Feed:
    """The parts that a job may see."""

    train: Part
    validation: Part | None
    """None when the job trains on these, too."""
    use: Use | None = None
    """Keeps others from removing the files, those to evaluate on as well, while it lives."""


def read_feed(job: Job) -> Feed:
    """Map the arrays of `job`. Raises StudyError when they can't be read."""
    use = Use(*(Path(folder) for folder in (job.data, job.test_data) if folder))
    split = read_split(Path(job.data))
    if job.train_on == "train":
        weights = _weights(job, split.y_train, split.w_train)
        train = Part(split.x_train, split.y_train, weights)
        return Feed(train, Part(split.x_val, split.y_val), use)
    images = Joined([split.x_train, split.x_val])
    labels = np.concatenate([split.y_train, split.y_val])
    of_examples = None
    if split.w_train is not None and split.w_val is not None:
        of_examples = np.concatenate([split.w_train, split.w_val])
    return Feed(Part(images, labels, _weights(job, labels, of_examples)), None, use)


def _weights(
    job: Job, labels: Labels, of_examples: NDArray[np.float32] | None
) -> NDArray[np.float32] | None:
    """What each example's loss counts: its own weight, by that of its class where params say so.

    Balanced classes count the same in all, and an example 1 on average, as scikit-learn has it.
    """
    if job.params.get("class_weight", "none") == "none":
        return of_examples
    if job.task not in {Task.CLASSIFICATION, Task.BINARY}:
        raise InputError(f"class_weight: classes can't be balanced in a task of {job.task}")
    counts = np.bincount(labels, minlength=job.n_classes)
    of_classes = (len(labels) / (job.n_classes * np.maximum(counts, 1)))[labels]
    return (of_classes if of_examples is None else of_classes * of_examples).astype(np.float32)


def read_evaluation(job: Job, feed: Feed) -> Part:
    """The images that `job.evaluate` names. Raises StudyError when the job was not given them."""
    if job.evaluate == "train":
        return feed.train
    if job.evaluate == "validation" and feed.validation is not None:
        return feed.validation
    if job.evaluate == "test" and job.test_data is not None:
        return Part(*read_test(Path(job.test_data)))
    raise StudyError(
        f"this job can't be evaluated on {job.evaluate}: it was not given these images"
    )


def n_updates(n_images: int, batch_size: int, *, drop: bool) -> int:
    """Optimizer steps in an epoch; `drop` leaves out a last, partial batch, never the only one."""
    return max(1, n_images // batch_size) if drop else -(-n_images // batch_size)


def epoch_order(
    n_images: int, batch_size: int, *, seed: int, step: int, drop: bool
) -> NDArray[np.int64]:
    """The images of epoch `step` in order: a permutation by (seed, step)."""
    order = np.random.default_rng([seed, step]).permutation(n_images)
    return order[: n_updates(n_images, batch_size, drop=True) * batch_size] if drop else order


def chunks(
    part: Part, order: NDArray[np.int64], batch_size: int, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Chunk]:
    """The images of `part` in `order`, whole batches at a time, about `chunk_bytes` each."""
    n_bytes = batch_size * part.images[0].nbytes
    size = batch_size * max(1, chunk_bytes // n_bytes)
    for begin in range(0, len(order), size):
        rows = order[begin : begin + size]
        chunk = rows_of(part.images, rows), part.labels[rows]
        yield chunk if part.weights is None else (*chunk, part.weights[rows])
