"""A stratified split by seed that comes out the same on any machine."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search.records import Task


def stratified(labels: ArrayLike, fraction: float, *, seed: int) -> NDArray[np.bool_]:
    """Choose `fraction` (0–1, exclusive) of the items to hold out, the same share of every class.

    `labels`: (n,) integers, at least two of each. Returns a mask (n,), True for what is held out.
    Shares are rounded so that round(fraction·n) are held, except where a class would have none on
    one side: it gets one.
    """
    classes, index, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    exact = counts * fraction
    n_held = np.floor(exact).astype(np.int64)
    n_left = round(float(exact.sum())) - int(n_held.sum())
    n_held[np.argsort(n_held - exact, kind="stable")[:n_left]] += 1  # to the largest remainders
    n_held = np.clip(n_held, 1, counts - 1)
    # Sorting by uniform numbers, not Generator.permutation, whose algorithm NumPy may change one
    # day.
    keys = np.random.default_rng(seed).random(len(index))
    held = np.zeros(len(index), dtype=np.bool_)
    for label in range(len(classes)):
        members = np.flatnonzero(index == label)
        held[members[np.argsort(keys[members], kind="stable")[: n_held[label]]]] = True
    return held


def strata_of(targets: NDArray[np.generic], fraction: float, task: Task) -> NDArray[np.int64]:
    """The group (n,) of each target within which a split takes `fraction` of the items.

    It is the class; of several labels (n, k) their combination, those too rare for a share of their
    own together; of numbers one group for all.
    """
    match task:
        case Task.CLASSIFICATION | Task.BINARY:
            return np.asarray(targets, dtype=np.int64)
        case Task.REGRESSION:
            return np.zeros(len(targets), dtype=np.int64)
        case Task.MULTILABEL:
            _, group, counts = np.unique(targets, axis=0, return_inverse=True, return_counts=True)
            is_rare = counts * min(fraction, 1 - fraction) < 1
            pool = int(counts[is_rare].sum())
            rest = len(counts) if pool > 1 or is_rare.all() else int(counts.argmax())
            return np.where(is_rare[group], rest, group).astype(np.int64)
