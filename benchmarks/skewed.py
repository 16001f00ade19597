"""Write skewed.npz: Fashion-MNIST with few shirts, `python benchmarks/skewed.py [--part 0.01]`.

Of all other classes 2,000 training and 500 test images each; shirts (class 6) are 1 % of each part.
A network that calls none a shirt loses a point of accuracy and a tenth of macro F1.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from search.datasets import load

SHIRT = 6
SIZES = {"train": 2000, "test": 500}


def chosen(labels: NDArray[np.int64], size: int, part: float) -> NDArray[np.int64]:
    """The first `size` images of each class but shirts, and as many of these as `part` asks for."""
    n_shirts = round(9 * size * part / (1 - part))
    sizes = [n_shirts if label == SHIRT else size for label in range(10)]
    rows = [np.flatnonzero(labels == label)[:n] for label, n in enumerate(sizes)]
    return np.sort(np.concatenate(rows))


def main() -> None:
    """Write the file into the working folder and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", type=float, default=0.01)
    part = parser.parse_args().part
    data = load("fashion")
    train = chosen(np.asarray(data.y_train), SIZES["train"], part)
    test = chosen(np.asarray(data.y_test), SIZES["test"], part)
    np.savez_compressed(
        "skewed.npz",
        x_train=np.asarray(data.x_train)[train],
        y_train=np.asarray(data.y_train)[train],
        x_test=np.asarray(data.x_test)[test],
        y_test=np.asarray(data.y_test)[test],
        class_names=np.array(data.class_names),
    )
    print(f"skewed.npz: {len(train):,} training and {len(test):,} test images")


if __name__ == "__main__":
    main()
