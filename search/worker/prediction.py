"""What a study's network says of images: its file, its classes' names and the images brought together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.artifacts import join
from search.datasets.batch import Batch, Shape, read_batch
from search.errors import InputError
from search.places import artifacts, home, storage_url
from search.report.evidence import Samples, read_evidence
from search.report.model import why_unusable
from search.study.library import check_name, open_library, stored_studies
from search.study.spec import read_settings
from search.training.kept import FILE, WEIGHTS


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


def model_file(study: str) -> Path:
    """The network of a study's best finalist, or its weights where it has no file of its own.

    Raises InputError when there is none, or no such study.
    """
    check_name(study)
    places = [home() / study / f"model{kind}" for kind in (FILE, WEIGHTS)]
    if path := next((path for path in places if path.is_file()), None):
        return path
    stored_studies(open_library(storage_url()), study)
    if problem := why_unusable(home() / study):
        rule = f"the network of study {study!r} can't be used: {problem}"
        raise InputError(f"{rule}; once that is mended, `gridless report {study}` tries it again")
    rule = f"study {study!r} has no network yet ({places[0]}); its finalists make one"
    raise InputError(f"{rule}: give its `gridless study` command again with --finalists 1 or more")


def load(study: str) -> Any:
    """The network of a study's best finalist, a keras.Model. Raises InputError when there is none that can be used."""
    from search.training.inference import open_network  # noqa: PLC0415  # loads the framework

    return open_network(model_file(study).parent, builder_name(study))


def predict(study: str, files: Sequence[str], *, top: int) -> tuple[list[Answer], list[str]]:
    """The `top` most probable classes of every image in `files`, and notices of what was done to images.

    Files are read as `search.datasets.batch` says. Raises InputError with everything that is wrong with any file.
    """
    model_file(study)
    samples = read_evidence(join(artifacts(study), "evidence"), None).samples
    # The framework takes seconds to load: where the images' shape is known without it, they are looked at before.
    batch = read_batch(files, samples.images.shape[2:]) if samples else None
    network = load(study)
    shape: Shape = network.input_shape[1:]
    if batch is None or batch.images[0].shape != shape:
        batch = read_batch(files, shape)
    found = _probabilities(network, batch)
    names = _class_names(samples, found.shape[1])
    order = np.argsort(-found, axis=1, kind="stable")[:, :top]
    answers = [
        Answer(image, tuple(Guess(int(i), names[i], float(row[i])) for i in best))
        for image, row, best in zip(batch.names, found, order, strict=True)
    ]
    return answers, batch.notices(shape)


def _probabilities(network: Any, batch: Batch) -> NDArray[np.float32]:
    from search.training.inference import probabilities  # noqa: PLC0415  # loads the framework

    return probabilities(network, batch.pixels)


def _class_names(samples: Samples | None, n: int) -> Sequence[str]:
    """The names that the data set has for `n` classes, their numbers where it has none."""
    names = samples.class_names if samples else ()
    return names if len(names) == n else tuple(str(label) for label in range(n))


def builder_name(study: str) -> str:
    """The name of the study's model, empty where its folder doesn't say: most networks need nothing but Keras."""
    path = home() / study / "study.yaml"
    return str(read_settings(path).get("model", "")) if path.is_file() else ""
