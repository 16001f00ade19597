"""A study's network from its files, and what it says of images."""

import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A person who asks for a class does not ask for what TensorFlow found of the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from search.errors import InputError
from search.failure_reason import reason_of
from search.pickled import source_of
from search.training import augment, recipe
from search.training.classifier_outputs import Outputs, is_random
from search.training.export import standalone
from search.training.kept_network import FACTS, FILE, WEIGHTS, Kept, Verdict, kept_in, read_kept
from search.training.network import build_whole
from search.training.scaling import Scaling

OUR_LAYERS = (augment.Augmentation, recipe.SmoothedCrossentropy)
"""Registered with Keras by being imported: a file names them."""
_BATCH = 256
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RuntimeError,
    zipfile.BadZipFile,
)
"""What Keras and the packages that it reads with raise where a file is damaged."""


def open_network(folder: Path, model: str) -> keras.Model:
    """The network whose files are in `folder`: examples (n, …) as data sets have them, pixels
    unscaled → probabilities, of a regression numbers.

    From its .keras file, else built again by `model`, the name of its builder. Raises InputError
    when neither works, or when it does not repeat what it said as it was trained.
    """
    network = _opened(folder, model)
    kept = kept_in(folder)
    if kept is not None and not _is_itself(network, kept):
        raise InputError(
            f"the network in {folder} does not repeat what it said as it was trained: the code of"
            f" {model or 'its model'} has changed since; bring that back as it was"
        )
    return network


def _opened(folder: Path, model: str) -> keras.Model:
    try:
        return load_network(folder / f"model{FILE}", model)
    except InputError:
        if not (folder / f"model{WEIGHTS}").is_file():
            raise
    return rebuild(folder, model)


def load_network(path: Path, model: str) -> keras.Model:
    """The network in the .keras file at `path`: examples (n, …) as data sets have them, pixels
    unscaled → probabilities, of a regression numbers.

    It is loaded in Keras' safe mode: what a file brings along is never run as code. `model` is the
    name of its builder, which is imported for the layers that it may have registered. Raises
    InputError when the file can't be loaded, or takes or gives anything else.
    """
    with suppress(InputError):  # most networks need nothing but Keras
        source_of(model)
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
        takes, gives = network.input_shape, network.output_shape
    except _UNREADABLE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        rule = f"{path} can't be loaded: {reason}"
        raise InputError(
            f"{rule}; write it again by `gridless report`, with the module of its model in reach"
        ) from error
    shapes = (takes, gives)
    is_one_each = all(isinstance(shape, tuple) for shape in shapes) and len(gives) == 2
    if not is_one_each or len(takes) < 2 or None in takes[1:]:
        rule = f"{path} is no network from examples of one shape to a row of numbers each"
        raise InputError(f"{rule}: it takes {takes} and gives {gives}")
    return network


def rebuild(folder: Path, model: str) -> keras.Model:
    """The network whose weights are in `folder`, built by the builder of `model` with the params
    kept there.

    Raises InputError when the builder can't be imported, or makes a network that the weights don't
    fit.
    """
    weights, policy = folder / f"model{WEIGHTS}", keras.config.dtype_policy()
    try:
        facts = read_kept((folder / f"model{FACTS}").read_bytes()).facts
        keras.config.set_dtype_policy(facts.precision)
        network, _ = build_whole(
            model, facts.params, facts.input_shape, facts.n_classes, facts.task
        )
        network.optimizer = None  # Keras would warn that its state is not in the file
        network.load_weights(weights)
        scaling = Scaling(**(facts.scaling or {"how": facts.params.get("scaling", "unit")}))
        return standalone(network, facts.input_shape, scaling, Outputs(facts.outputs))
    except Exception as error:  # whatever a builder raises, or Keras of weights that don't fit
        rule = (
            f"{weights} can't be put into the network of {model or 'its model'}: {reason_of(error)}"
        )
        raise InputError(
            f"{rule}; bring the module of its model into reach, as it was when the study ran"
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)


def verified(folder: Path, model: str) -> Verdict:
    """How the network in `folder` can be used, in a process that knows no layers but Keras' own."""
    facts, file = folder / f"model{FACTS}", folder / f"model{FILE}"
    kept = read_kept(facts.read_bytes()) if facts.is_file() else None
    ways: dict[str, Callable[[], keras.Model]] = {
        "alone": lambda: load_network(file, ""),
        "module": lambda: load_network(file, model),
        "weights": lambda: rebuild(folder, model),
    }
    problem = ""
    for how, load in ways.items():
        try:
            network = load()
            if _is_itself(network, kept):
                return Verdict(how, problem)
            problem = "it does not repeat what the network said as it was trained"
            if kept and is_random(network, kept.pixels.astype(np.float32)):
                problem = (
                    "it is random outside training, too, and gives another answer each time it is"
                    " asked"
                )
        except InputError as error:
            problem = str(error)
    return Verdict(None, problem)


def _is_itself(network: keras.Model, kept: Kept | None) -> bool:
    """Whether `network` says what was kept; without that, whether it gives probabilities at all."""
    if kept is not None:
        return kept.is_repeated_by(probabilities(network, kept.pixels))
    noise = np.random.default_rng(0).integers(0, 256, (4, *network.input_shape[1:]), np.uint8)
    return bool(np.abs(probabilities(network, noise).sum(axis=1) - 1).max() < 0.02)


def probabilities(network: keras.Model, examples: NDArray[Any]) -> NDArray[np.float32]:
    """What `network` says of examples (n, …): probabilities (n, n_classes), or numbers."""
    return np.asarray(network.predict(examples, batch_size=_BATCH, verbose=0), dtype=np.float32)
