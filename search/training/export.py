"""A trained network as a file that stands alone: raw pixels in, class probabilities out."""

import logging
import tempfile
from pathlib import Path

import keras

from search.artifacts import whole

logger = logging.getLogger(__name__)


def standalone(
    network: keras.Model, input_shape: tuple[int, ...], scaling: str, *, logits: bool = False
) -> keras.Model:
    """`network` behind its scaling: images (n, height, width, channels) of pixels 0…255 → probabilities (n, n_classes).

    Softmax follows where it gives `logits`.

    `scaling` is as in `search.training.scaling`; all layers are Keras' own, so that the file loads in safe mode.
    """
    pixels = keras.Input(input_shape, name="pixels", dtype="float32")
    if scaling == "unit":
        layer = keras.layers.Rescaling(1 / 255, name="scaling", dtype="float32")
    else:
        # Per image, as `scale` does but for its floor of the deviation, which matters to images of one colour only.
        layer = keras.layers.LayerNormalization(
            axis=(1, 2, 3), center=False, scale=False, epsilon=1e-6, name="scaling", dtype="float32"
        )
    outputs = _uncompiled(network)(layer(pixels), training=False)
    if logits:
        outputs = keras.layers.Softmax(name="probabilities", dtype="float32")(outputs)
    return keras.Model(pixels, outputs, name="model")


def _uncompiled(network: keras.Model) -> keras.Model:
    """The same layers without loss and optimizer, which would be stored with them."""
    if not getattr(network, "inputs", None):
        return network  # a user's own class of network
    return keras.Model(network.inputs, network.outputs, name=network.name)


def save_model(model: keras.Model, location: str) -> None:
    """Write `model` to `location`, a path or a store's URL that ends in .keras, in one step.

    A network that Keras can't write (a user's own layer that isn't registered) is left out with a warning. Raises
    OSError.
    """
    with tempfile.TemporaryDirectory(prefix="gridless-") as folder:
        file = Path(folder) / "model.keras"
        try:
            model.save(file)
        except (TypeError, ValueError, NotImplementedError, RuntimeError) as error:
            logger.warning("the network can't be written as a file: %s", error)
            return
        with whole(location) as target:
            target.write(file.read_bytes())
