"""What is known of the built-in data sets without loading them."""

from typing import NamedTuple


class Facts(NamedTuple):
    """Shape (height, width, channels) and counts of a data set."""

    input_shape: tuple[int, int, int]
    n_classes: int
    n_train: int
    """Images to train and validate on, before the split."""
    n_test: int
    source: str


FACTS = {
    "cifar10": Facts((32, 32, 3), 10, 50_000, 10_000, "Keras"),
    "digits": Facts((8, 8, 1), 10, 1_437, 360, "bundled with scikit-learn"),
    "fashion": Facts((28, 28, 1), 10, 60_000, 10_000, "Keras, or Debian's dataset-fashion-mnist"),
    "mnist": Facts((28, 28, 1), 10, 60_000, 10_000, "Keras"),
}
