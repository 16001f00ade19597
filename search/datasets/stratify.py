"""A stratified split by seed that comes out the same on any machine."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
