"""What a study's network says of images: its file, its classes' names and the images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.artifacts import join
from search.datasets.batch import Batch, Shape, read_batch
from search.paths import artifacts
from search.report.champion_network import builder_name, model_file
from search.report.evidence import Samples
from search.report.read_evidence import read_evidence


@dataclass(frozen=True)
class Guess:
    """A class and its probability."""

    label: int
    name: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What the network says of one image, the most probable class first."""

    image: str
    guesses: tuple[Guess, ...]


def load(study: str) -> Any:
    """A study's best finalist's network, a keras.Model. Raises InputError without a usable one."""
    from search.training.inference import open_network  # noqa: PLC0415  # loads the framework

    return open_network(model_file(study).parent, builder_name(study))


def predict(study: str, files: Sequence[str], *, top: int) -> tuple[list[Answer], list[str]]:
    """The `top` most probable classes of every image in `files`, and notices of what was done to
    images.

    Files are read as `search.datasets.batch` says. Raises InputError with everything that is wrong
    with any file.
    """
    model_file(study)
    samples = read_evidence(join(artifacts(study), "evidence"), None).samples
    # The framework takes seconds to load: where the images' shape is known without it, they are
    # looked at before.
    batch = read_batch(files, samples.images.shape[2:]) if samples else None
    network = load(study)
    shape: Shape = network.input_shape[1:]
    if batch is None or batch.images[0].shape != shape:
        batch = read_batch(files, shape)
    probabilities = _probabilities(network, batch)
    names = _class_names(samples, probabilities.shape[1])
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    answers = [
        Answer(image, tuple(Guess(int(i), names[i], float(row[i])) for i in best))
        for image, row, best in zip(batch.names, probabilities, order, strict=True)
    ]
    return answers, batch.notices(shape)


def _probabilities(network: Any, batch: Batch) -> NDArray[np.float32]:
    from search.training.inference import probabilities  # noqa: PLC0415  # loads the framework

    return probabilities(network, batch.pixels)


def _class_names(samples: Samples | None, n: int) -> Sequence[str]:
    """The names that the data set has for `n` classes, their numbers where it has none."""
    names = samples.class_names if samples else ()
    return names if len(names) == n else tuple(str(label) for label in range(n))
