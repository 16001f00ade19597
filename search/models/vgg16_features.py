"""A small classifier on the features of VGG16.

Source: M. Guz, K. Pątko, Convolutional neural networks for fashion classification, AGH 2020. The
defaults are the document's values.
"""

import keras
from keras import layers

from search.models.backbone import base_layers
from search.models.blocks import Params, Shape, check_whole, drop, output, style


def build(params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    """Build VGG16 without its top and a head on it: images (n, h, w, 1 or 3) in 0…1 → probabilities
    (n, n_classes).

    Two faults of the document are put right. It makes three channels of a grey image by `dstack`
    and `reshape`, which scrambles the pixels of different images; here the channel is repeated. It
    applies `preprocess_input`, which expects pixels from 0 to 255, after dividing by 255; here it
    sees 0 to 255.

    Reads from `params`: `weights` ("imagenet", the default: the base is frozen and training puts
    published weights into it; "none": it starts fresh and is trained, too), `size` (pixels; images
    are resized to size×size, 48), `units` (width of the hidden layer, 512), `activation` of it
    (relu), `leak` (the slope below 0 of the LeakyReLU after it, 0.1; without effect after relu, as
    in the document), `dropout` (a rate in [0, 1) after that, 0, which adds no layer) and
    `initializer` of the head's kernels (glorot_uniform).

    Raises InputError for a size below 32, and for images with neither 1 nor 3 channels.
    """
    size, look = params.get("size", 48), style(params)
    check_whole("vgg16_features", "size", size, 1)
    chosen = {"weights": params.get("weights", "imagenet")}
    return keras.Sequential(
        [
            *base_layers("vgg16_features", "vgg16", chosen, size=size, input_shape=input_shape),
            layers.GlobalAveragePooling2D(),
            layers.Dense(params.get("units", 512), **look),
            layers.LeakyReLU(negative_slope=params.get("leak", 0.1)),
            *drop(params.get("dropout", 0.0)),
            output(n_classes, look),
        ],
        name="vgg16_features",
    )
