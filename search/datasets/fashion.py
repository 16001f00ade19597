"""Fashion-MNIST: 60,000 + 10,000 clothes, 28×28 grey, ten classes (Zalando, MIT licence)."""

from pathlib import Path

from search.datasets import fetch, idx
from search.datasets.dataset import Dataset
from search.datasets.facts import Facts
from search.datasets.lookup import Source, first, keras_home

NAME = "fashion"
FACTS = Facts((28, 28, 1), 10, 60_000, 10_000, "Keras, or Debian's dataset-fashion-mnist")
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DIGEST = "e82adc0c97c6273e3db09f058ebe2cde03fe9e1df16f9d9054d558032e2a0f39"
PACKAGE = "dataset-fashion-mnist"
PACKAGE_FOLDER = Path("usr/share/datasets/fashion-mnist")
ROOT = Path("/")
"""Where Debian's packages are installed."""


def load() -> Dataset:
    """Load it: uint8 (n, 28, 28, 1). Raises InputError, naming every source tried."""
    kept_by_keras = Path("datasets") / "fashion-mnist"
    cached = keras_home() / kept_by_keras
    sources = (
        Source("Keras' cache", lambda: idx.read_folder(cached)),
        Source(
            f"Debian's package {PACKAGE}, installed", lambda: idx.read_folder(ROOT / PACKAGE_FOLDER)
        ),
        Source(
            "Keras' download",
            lambda: fetch.keras(
                "fashion_mnist", lambda home: idx.read_folder(home / kept_by_keras)
            ),
            keep=True,
        ),
        Source(
            f"Debian's package {PACKAGE}, downloaded",
            lambda: fetch.debian(PACKAGE, lambda root: idx.read_folder(root / PACKAGE_FOLDER)),
            keep=True,
        ),
    )
    remedy = f", or on Debian `apt-get install {PACKAGE}`"
    return first(NAME, FACTS, sources, digest=DIGEST, class_names=CLASS_NAMES, remedy=remedy)
