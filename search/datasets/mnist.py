"""MNIST: 60,000 + 10,000 handwritten digits, 28×28 grey (Y. LeCun, C. Cortes, CC BY-SA 3.0)."""

from pathlib import Path

from search.datasets import fetch, npz
from search.datasets.dataset import Dataset
from search.datasets.facts import Facts
from search.datasets.lookup import Source, first, keras_home

NAME = "mnist"
FACTS = Facts((28, 28, 1), 10, 60_000, 10_000, "Keras")
CLASS_NAMES = tuple("0123456789")
DIGEST = "1ab36173c5442eefac1052e16cd4f6fadab376babf2649f6ff42f84b978b3824"


def load() -> Dataset:
    """Load it: uint8 (n, 28, 28, 1). Raises InputError, naming every source tried."""
    kept_by_keras = Path("datasets") / "mnist.npz"
    cached = keras_home() / kept_by_keras
    sources = (
        Source("Keras' cache", lambda: npz.read(cached)),
        Source(
            "Keras' download",
            lambda: fetch.keras("mnist", lambda home: npz.read(home / kept_by_keras)),
            keep=True,
        ),
    )
    return first(NAME, FACTS, sources, digest=DIGEST, class_names=CLASS_NAMES)
