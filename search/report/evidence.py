"""What is kept of a trial for people to look at: samples, predictions, its network. Pure."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

SPLITS = ("validation", "test", "train")
_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, eq=False)
class Samples:
    """A few training images of each class."""

    images: NDArray[np.uint8]
    """(n_classes, m, height, width, channels), 0–255."""
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    """Training images of each class."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a trial's network said of every image of one split."""

    split: str
    """One of `SPLITS`."""
    step: int
    """The epoch whose weights made them."""
    true: NDArray[np.int64]
    """(n,) labels."""
    predicted: NDArray[np.int64]
    """(n,) labels."""
    confidence: NDArray[np.float64]
    """(n,) probability of the predicted class."""
    wrong_index: NDArray[np.int64]
    """(k,) places in the split of some misclassified images, the most confident first."""
    wrong_images: NDArray[np.uint8]
    """(k, height, width, channels), 0–255."""

    @property
    def n_wrong(self) -> int:
        """How many images were misclassified."""
        return int(np.count_nonzero(self.true != self.predicted))


@dataclass(frozen=True)
class Layer:
    """One layer of a network; a frozen base model counts as one."""

    name: str
    type: str
    output_shape: tuple[int | None, ...]
    """Without the batch axis; None where any size goes."""
    n_params: _Count
    trainable: bool
    inputs: tuple[str, ...]
    """Names of the layers that it reads."""


@dataclass(frozen=True)
class Network:
    """A network's layers in an order in which each comes after those that it reads."""

    layers: tuple[Layer, ...]
    n_params: _Count
    n_trainable: _Count


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was kept of a study beside its numbers; None for what was not."""

    samples: Samples | None = None
    predictions: Predictions | None = None
    network: Network | None = None
    exported: Predictions | None = None
    """Of the test set, by the champion's network."""
    is_out_of_reach: bool = False
    """Whether there may be more: the store doesn't answer, or a share isn't mounted."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for every label of predictions and samples; its number where none was kept."""
        names = self.samples.class_names if self.samples else ()
        labels = []
        for predictions in filter(None, (self.predictions, self.exported)):
            labels += [predictions.true.max(), predictions.predicted.max()]
        n = max(len(names), int(max(labels, default=-1)) + 1)
        return names + tuple(str(label) for label in range(len(names), n))
