"""Dense layers for examples of any shape: rows of a table, sequences, images, all taken flat."""

import keras
from keras import layers

from search.models.blocks import Params, drop, style
from search.records import Task

_NORMALISATIONS = {"batch": layers.BatchNormalization, "layer": layers.LayerNormalization}
_ENDS = {
    Task.CLASSIFICATION: "softmax",
    Task.BINARY: "sigmoid",
    Task.MULTILABEL: "sigmoid",
    Task.REGRESSION: "linear",
}


def build(
    params: Params,
    *,
    input_shape: tuple[int, ...],
    n_classes: int,
    task: Task = Task.CLASSIFICATION,
) -> keras.Model:
    """Build the network, uncompiled: examples (n, …) → probabilities (n, n_classes), or numbers
    where the `task` is a regression.

    Reads from `params`: `depth` (hidden layers, 2), `units` (width of each, 128), `normalisation`
    (none, batch or layer, before each activation; none), `activation` of all hidden layers (relu),
    `dropout` (a rate in [0, 1) after each, 0, which adds no layer) and `initializer` of all kernels
    (glorot_uniform).
    """
    look = style(params)
    initializer = look["kernel_initializer"]
    stack = [keras.Input(input_shape)]
    if len(input_shape) > 1:
        stack.append(layers.Flatten())
    normalisation = _NORMALISATIONS.get(params.get("normalisation", "none"))
    for _ in range(params.get("depth", 2)):
        stack.append(layers.Dense(params.get("units", 128), kernel_initializer=initializer))
        if normalisation is not None:
            stack.append(normalisation())
        stack.append(layers.Activation(look["activation"]))
        stack += drop(params.get("dropout", 0.0))
    n_outputs = 1 if task is Task.BINARY else n_classes
    stack.append(layers.Dense(n_outputs, activation=_ENDS[task], kernel_initializer=initializer))
    return keras.Sequential(stack, name="dense")
