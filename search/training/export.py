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

logger = logging.getLogger(__name__)


def standalone(
    network: keras.Model, input_shape: tuple[int, ...], scaling: str, outputs: Outputs
) -> keras.Model:
    """`network` behind its scaling: images (n, height, width, channels) of pixels 0…255 →
    probabilities (n, n_classes).

    `scaling` is as in `search.training.scaling`, `outputs` what `network` gives. All layers but the
    network's are Keras' own, so that the file loads in safe mode.
    """
    pixels = keras.Input(input_shape, name="pixels", dtype="float32")
    if scaling == "unit":
        layer = keras.layers.Rescaling(1 / 255, name="scaling", dtype="float32")
    else:
        # Per image, as `scale` does but for its floor of the deviation, which matters to images of
        # one colour only.
        layer = keras.layers.LayerNormalization(
            axis=(1, 2, 3), center=False, scale=False, epsilon=1e-6, name="scaling", dtype="float32"
        )
    outputs_given = _uncompiled(network)(layer(pixels), training=False)
    return keras.Model(pixels, outputs.in_graph(outputs_given), name="model")


def _uncompiled(network: keras.Model) -> keras.Model:
    """The same layers without loss and optimizer, which would be stored with them."""
    if not getattr(network, "inputs", None):
        return network  # a user's own class of network
    return keras.Model(network.inputs[0], network.outputs[0], name=network.name)


def save_network(network: keras.Model, scaling: str, kept: Kept, location: str) -> None:
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
