"""What a study's network says of examples: its file, its classes' names and the examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.artifacts import join
from search.datasets.batch import Batch, read_batch
from search.paths import artifacts
from search.records import Task
from search.report.champion_network import builder_name, model_file
from search.report.evidence import Samples
from search.report.read_evidence import read_evidence
from search.training.kept_network import Kept, kept_in


@dataclass(frozen=True)
class Guess:
    """A class and its probability."""

    label: int
    name: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What the network says of one example."""

    image: str
    """Where it is from."""
    guesses: tuple[Guess, ...] = ()
    """Of classes, the most probable first."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Of several labels the probability of each, of a regression the numbers, by their names."""


def load(study: str) -> Any:
    """A study's best finalist's network, a keras.Model. Raises InputError without a usable one."""
    from search.training.inference import open_network  # noqa: PLC0415  # loads the framework

    return open_network(model_file(study).parent, builder_name(study))


def predict(study: str, files: Sequence[str], *, top: int) -> tuple[list[Answer], list[str]]:
    """What the network says of every example in `files`, of classes the `top` most probable, and
    notices of what was done to images.

    Files are read as `search.datasets.batch` says. Raises InputError with everything that is wrong
    with any file.
    """
    kept = kept_in(model_file(study).parent)
    samples = read_evidence(join(artifacts(study), "evidence"), None).samples
    dtype = np.dtype(np.uint8) if kept is None else kept.pixels.dtype
    # The framework takes seconds to load: where the examples' shape is known without it, they are
    # looked at before.
    shape = _shape(kept, samples)
    columns = samples.columns if samples else None
    batch = read_batch(files, shape, dtype, columns) if shape else None
    network = load(study)
    if batch is None or shape != network.input_shape[1:]:
        batch = read_batch(files, network.input_shape[1:], dtype, columns)
    predicted = _predicted(network, batch)
    names = _class_names(samples, predicted.shape[1])
    task = kept.facts.task if kept else Task.CLASSIFICATION
    if task in {Task.REGRESSION, Task.MULTILABEL}:
        answers = [
            Answer(image, values=dict(zip(names, row.tolist(), strict=True)))
            for image, row in zip(batch.names, predicted, strict=True)
        ]
    else:
        answers = _guesses(batch.names, predicted, names, top)
    return answers, batch.notices(batch.images[0].shape)


def _shape(kept: Kept | None, samples: Samples | None) -> tuple[int, ...] | None:
    """The shape of an example as far as files say it."""
    if kept is not None:
        return kept.facts.input_shape
    return samples.images.shape[2:] if samples else None


def _guesses(
    images: Sequence[str], probabilities: NDArray[np.float32], names: Sequence[str], top: int
) -> list[Answer]:
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        Answer(image, tuple(Guess(int(i), names[i], float(row[i])) for i in best))
        for image, row, best in zip(images, probabilities, order, strict=True)
    ]


def _predicted(network: Any, batch: Batch) -> NDArray[np.float32]:
    from search.training.inference import probabilities  # noqa: PLC0415  # loads the framework

    return probabilities(network, batch.pixels)


def _class_names(samples: Samples | None, n: int) -> Sequence[str]:
    """The names that the data set has for `n` classes, their numbers where it has none."""
    names = samples.class_names if samples else ()
    return names if len(names) == n else tuple(str(label) for label in range(n))
