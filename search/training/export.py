"""A trained network as files: raw pixels in, class probabilities out."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from search.artifacts import whole
from search.training.classifier_outputs import Outputs
from search.training.kept_network import FACTS, FILE, WEIGHTS, Kept, write_kept
from search.training.scaling import Scaling

logger = logging.getLogger(__name__)


def standalone(
    network: keras.Model, input_shape: tuple[int, ...], scaling: Scaling, outputs: Outputs
) -> keras.Model:
    """`network` behind its scaling: examples (n, …) as data sets have them, pixels unscaled →
    probabilities (n, n_classes).

    `outputs` is what `network` gives. All layers but the network's are Keras' own, so that the file
    loads in safe mode.
    """
    pixels = keras.Input(input_shape, name="pixels", dtype="float32")
    layer = scaling.layer(len(input_shape))
    scaled = pixels if layer is None else layer(pixels)
    outputs_given = _uncompiled(network)(scaled, training=False)
    return keras.Model(pixels, outputs.in_graph(outputs_given), name="model")


def _uncompiled(network: keras.Model) -> keras.Model:
    """The same layers without loss and optimizer, which would be stored with them."""
    if not getattr(network, "inputs", None):
        return network  # a user's own class of network
    return keras.Model(network.inputs[0], network.outputs[0], name=network.name)


def save_network(network: keras.Model, scaling: Scaling, kept: Kept, location: str) -> None:
    """Write the files of a trained `network`, those of `search.training.kept_network`; `location`,
    a path or a store's URL, is that of the one that ends in .keras.

    What Keras can't write (a layer without a configuration, say) is left out with a warning. The
    network loses its optimizer, which would be three times as large as its weights. Raises OSError.
    """
    network.optimizer = None
    stem, facts = location.removesuffix(FILE), kept.facts
    _save(
        lambda file: standalone(network, facts.input_shape, scaling, Outputs(facts.outputs)).save(
            file
        ),
        stem + FILE,
    )
    _save(network.save_weights, stem + WEIGHTS)
    write_kept(stem + FACTS, kept)


def _save(write: Callable[[Path], Any], location: str) -> None:
    with tempfile.TemporaryDirectory(prefix="gridless-") as folder:
        file = Path(folder, "model" + (WEIGHTS if location.endswith(WEIGHTS) else FILE))
        try:
            write(file)
        except OSError:
            raise
        except (
            Exception
        ) as error:  # whatever a user's layer raises when it is asked for its configuration
            logger.warning("%s can't be written: %s", file.name, error)
            return
        with whole(location) as target:
            target.write(file.read_bytes())
