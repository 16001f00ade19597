"""A study's network from its file, and what it says of images."""

import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# A person who asks for a class does not ask for what TensorFlow found of the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from search.errors import InputError
from search.registry import load_builder
from search.training import augment, recipe

OWN_LAYERS = (augment.Augmentation, recipe.SmoothedCrossentropy)
"""Registered with Keras by being imported: a file names them."""
_BATCH = 256
_UNREADABLE = (
    OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RuntimeError, zipfile.BadZipFile,
)  # fmt: skip
"""What Keras raises, and the packages that it reads with, where a file is damaged: h5py's RuntimeError, say."""


def load_network(path: Path, model: str) -> keras.Model:
    """The network in the .keras file at `path`: raw pixels (n, height, width, channels) → class probabilities.

    It is loaded in Keras' safe mode: what a file brings along is never run as code. `model` is the name of its
    builder, which is imported for the layers that it may have registered. Raises InputError when the file can't be
    loaded, or takes or gives anything else.
    """
    with suppress(InputError):  # most networks need nothing but Keras
        load_builder(model)
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
        takes, gives = network.input_shape, network.output_shape
    except _UNREADABLE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        rule = f"{path} can't be loaded: {reason}"
        raise InputError(
            f"{rule}; write it again by `gridless report`, with the module of its model in reach"
        ) from error
    if len(takes) != 4 or None in takes[1:] or len(gives) != 2:
        raise InputError(f"{path} is no classifier of images: it takes {takes} and gives {gives}")
    return network


def probabilities(network: keras.Model, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Class probabilities (n, n_classes) of images uint8 (n, height, width, channels), 0–255."""
    return np.asarray(network.predict(pixels, batch_size=_BATCH, verbose=0), dtype=np.float32)
