"""The optimizers that a space may name, one line each."""

from collections.abc import Mapping
from typing import NamedTuple


class Optimizer(NamedTuple):
    """What is known of an optimizer without loading Keras."""

    keras_name: str
    """Its class in keras.optimizers."""
    customary_lr: float
    """The learning rate that is usual with it. SGD's is that of the documents; Adam's and RMSprop's
    are their authors' and Keras' defaults (Kingma and Ba, arXiv:1412.6980), Adadelta's is its
    author's (Zeiler, arXiv:1212.5701).
    """


OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": Optimizer("SGD", 0.1),
    "adam": Optimizer("Adam", 1e-3),
    "adamw": Optimizer("AdamW", 1e-3),
    "rmsprop": Optimizer("RMSprop", 1e-3),
    "adadelta": Optimizer("Adadelta", 1.0),
    "nadam": Optimizer("Nadam", 1e-3),
}
