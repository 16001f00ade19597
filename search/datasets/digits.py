"""Scikit-learn's handwritten digits: 1,437 + 360 images, 8×8 grey; they come with the library.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (its test part).
"""

from importlib.metadata import distribution

import numpy as np

from search.datasets.dataset import Arrays, Dataset
from search.datasets.facts import Facts
from search.datasets.lookup import Source, first
from search.datasets.stratify import stratified
from search.errors import InputError

NAME = "digits"
FACTS = Facts((8, 8, 1), 10, 1_437, 360, "bundled with scikit-learn")
CLASS_NAMES = tuple("0123456789")
DIGEST = "bc28611645fe905bc9275c20d2759db17c66d497824bcec803a9278d3a81dcfe"
N_TEST = 360


def load() -> Dataset:
    """Load it: uint8 (n, 8, 8, 1), the library's 0–16 scaled to 0–255. The test part is fixed and
    stratified.

    Raises InputError when the library's data is not the known one.
    """
    return first(
        NAME, FACTS, (Source("scikit-learn", _read),), digest=DIGEST, class_names=CLASS_NAMES
    )


def _read() -> Arrays:
    # The library's own loader takes a second: it imports most of the library.
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    try:
        table = np.loadtxt(str(file), delimiter=",")
    except OSError as error:
        raise InputError(f"{file} can't be read: {error}") from error
    images, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    scaled = np.rint(images * (255 / 16)).astype(np.uint8)
    test = stratified(labels, N_TEST / len(labels), seed=0)
    return {
        "x_train": scaled[~test],
        "y_train": labels[~test],
        "x_test": scaled[test],
        "y_test": labels[test],
    }
