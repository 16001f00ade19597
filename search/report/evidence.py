"""What is kept of a trial for people to look at: samples, predictions, its network. Pure."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from search.datasets.dataset import Columns

SPLITS = ("validation", "test", "train")
_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, eq=False)
class Samples:
    """A few training images of each class."""

    images: NDArray[np.uint8]
    """(n_classes, m, height, width, channels), 0–255; m is 0 where examples are no images."""
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    """Training examples of each class, or of each label or number."""
    columns: Columns | None = None
    """Of a table: what an example's numbers are."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a trial's network said of every example of one split."""

    split: str
    """One of `SPLITS`."""
    step: int
    """The epoch whose weights made them."""
    true: NDArray[Any]
    predicted: NDArray[Any]
    """Of the shape of `true`."""
    shares: NDArray[np.float64] | None = field(default=None, kw_only=True)
    """What each example, or group of them, has to the objective's value; None for accuracy, and of
    a trial of the search.
    """

    @property
    def n(self) -> int:
        """Examples."""
        return len(self.true)


@dataclass(frozen=True, eq=False)
class NumberPredictions(Answers):
    """Of numbers: float64 (n, width)."""


@dataclass(frozen=True, eq=False)
class LabelPredictions(Answers):
    """Of several labels: int64 (n, n_labels), 1 where a label holds."""


@dataclass(frozen=True, eq=False)
class Predictions(Answers):
    """Of classes."""

    true: NDArray[np.int64]
    """(n,) labels."""
    predicted: NDArray[np.int64]
    """(n,) labels."""
    confidence: NDArray[np.float64]
    """(n,) probability of the predicted class."""
    wrong_index: NDArray[np.int64]
    """(k,) places in the split of some misclassified examples, the most confident first."""
    wrong_images: NDArray[np.uint8] | None = None
    """(k, height, width, channels), 0–255; None where they are no images."""
    wrong_values: NDArray[np.float64] | None = None
    """(k, width) where they are rows of numbers."""

    @property
    def n_wrong(self) -> int:
        """How many examples were misclassified."""
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
    predictions: Answers | None = None
    network: Network | None = None
    exported: Answers | None = None
    """Of the test set, by the champion's network."""
    is_out_of_reach: bool = False
    """Whether there may be more: the store doesn't answer, or a share isn't mounted."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for every class, label or number that is predicted; its place where none was
        kept.
        """
        names = self.samples.class_names if self.samples else ()
        counts = [len(names)]
        for answers in filter(None, (self.predictions, self.exported)):
            if isinstance(answers, Predictions):
                counts.append(int(max(answers.true.max(), answers.predicted.max())) + 1)
            else:
                counts.append(answers.true.shape[1])
        return names + tuple(str(label) for label in range(len(names), max(counts)))

    @property
    def noun(self) -> str:
        """What an example is called: image, unless it is known that there are none."""
        if self.samples:
            return "image" if self.samples.images.shape[1] else "example"
        answers = self.predictions or self.exported
        is_image = answers is None or getattr(answers, "wrong_images", None) is not None
        return "image" if is_image else "example"
