"""Images as PNG data URIs, in grids of samples per class and of mistakes. Pure."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.report.evidence import Evidence, Predictions

SIDE = 64
"""The most pixels of the longer side as shown."""
N_CLASSES = 30
_N_IMAGES = 120
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Picture:
    """An image as the page shows it, with its size in CSS pixels."""

    src: str
    width: int
    height: int


@dataclass(frozen=True)
class ClassSamples:
    """Some training images of one class, of `count` in all."""

    name: str
    count: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Mistake:
    """One misclassified image and its place in the split."""

    true: str
    predicted: str
    confidence: float
    index: int
    picture: Picture


def picture(image: NDArray[np.uint8]) -> Picture:
    """An image, uint8 (height, width, channels), as a PNG data URI.

    Small images keep their pixels and are shown enlarged by a whole factor; those of more than
    `SIDE` pixels are reduced to it. Channels: 1 grey, 3 RGB, 4 RGBA; of any other number the mean
    is shown.
    """
    channels = image.shape[-1]
    if channels not in _MODES:
        image = image.mean(axis=-1, keepdims=True).astype(np.uint8)
    drawn = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    drawn.thumbnail((SIDE, SIDE))
    scale = SIDE // max(drawn.size)
    file = io.BytesIO()
    drawn.save(file, "PNG", optimize=True)
    content = base64.b64encode(file.getvalue()).decode()
    return Picture(f"data:image/png;base64,{content}", scale * drawn.width, scale * drawn.height)


def class_samples(evidence: Evidence) -> tuple[ClassSamples, ...]:
    """Training images of the first `N_CLASSES` classes, fewer of each where classes are many."""
    samples = evidence.samples
    if samples is None or not samples.images.shape[1]:
        return ()
    rows = list(zip(samples.class_names, samples.counts, samples.images, strict=True))[:N_CLASSES]
    most = max(1, _N_IMAGES // max(1, len(rows)))
    return tuple(
        ClassSamples(name, n, tuple(picture(i) for i in images[:most])) for name, n, images in rows
    )


def mistakes(predictions: Predictions, names: Sequence[str]) -> tuple[Mistake, ...]:
    """The misclassified images that were kept, the most confident first."""
    if predictions.wrong_images is None:
        return ()
    return tuple(
        Mistake(
            names[predictions.true[i]],
            names[predictions.predicted[i]],
            float(predictions.confidence[i]),
            int(i),
            picture(image),
        )
        for i, image in zip(predictions.wrong_index, predictions.wrong_images, strict=True)
    )
