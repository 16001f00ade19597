"""scikit-learn's GridSearchCV over scikeras' KerasClassifier, as in the document."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search.lab.peers.fitting import Fits, scaling_of
from search.lab.peers.meter import Meter
from search.lab.peers.task import Task
from search.space.params import n_points
from search.space.space import ChoiceParam, ConstantParam, FloatParam, IntParam, Space
from search.strategies.grid import combinations, points

ORDER = ("lr", "optimizer", "units", "filters", "dropout", "batch_size")
"""Who gets points first, as far as a space has them; then the others, as the space has them."""


def grid_settings(space: Space, n: int) -> list[dict[str, Any]]:
    """The settings of a full grid of at most `n` (≥ 1), the last parameter changing fastest.

    A second point is given to one parameter after the other, then a third, as long as the grid is
    not too large: a person's way with a small grid. Points of a number lie in the middle of equal
    parts of its range, of its logarithm where the space searches that, and so away from the ends,
    which are seldom good; unless all of its values are taken. Of choices the document's comes
    first, and the others follow as the space has them. A parameter with one point has the
    document's value.
    """
    names = [n for n in ORDER if n in space.params] + [n for n in space.order if n not in ORDER]
    counts = dict.fromkeys(names, 1)
    settings = _product(space, counts)
    while True:
        before = dict(counts)
        for name in names:
            wider = counts | {name: counts[name] + 1}
            if len(_points(space, name, wider[name])) < wider[name]:
                continue
            larger = _product(space, wider)
            # A point of a parameter that is active nowhere makes no setting.
            if len(settings) < len(larger) <= n:
                counts, settings = wider, larger
        if counts == before:
            return settings


def cells(space: Space, n: int) -> list[dict[str, Any]]:
    """The document's setting, and the largest grid that `n` (≥ 1) trainings leave room for."""
    document = dict(space.document)
    grid = grid_settings(space, n)
    if document not in grid:
        grid = grid_settings(space, max(1, n - 1))
    return [document, *(s for s in grid if s != document)]


def _product(space: Space, counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return list(
        combinations(space, {name: _points(space, name, counts[name]) for name in space.order})
    )


def _points(space: Space, name: str, n: int) -> list[Any]:
    if n == 1 and name in space.document:
        return [space.document[name]]
    match param := space.params[name]:
        case ConstantParam():
            return [param.value]
        case ChoiceParam():
            return sorted(param.choices, key=lambda c: c != space.document.get(name))[:n]
        case FloatParam(step=None):
            return list(dict.fromkeys(_even(param, n)))
        case _ if n >= n_points(param):
            return list(points(param))
        case IntParam() | FloatParam():
            return list(dict.fromkeys(_stepped(param, v) for v in _even(param, n)))


def _even(param: FloatParam | IntParam, n: int) -> list[float]:
    parts = (np.arange(n) + 0.5) / n
    if param.log:
        return [float(v) for v in param.low * (param.high / param.low) ** parts]
    return [float(v) for v in param.low + (param.high - param.low) * parts]


def _stepped(param: FloatParam | IntParam, value: float) -> float:
    step = param.step or 1
    # Halves go up, all of them, so that points a step apart stay apart.
    place = min(math.floor((value - param.low) / step + 0.5), n_points(param) - 1)
    return min(param.low + place * step, param.high)


def search(task: Task, meter: Meter) -> None:
    """Try the largest grid that the budget pays for, each setting for all epochs.

    Cross-validation has one fold, the validation images that all systems have.
    """
    from scikeras.wrappers import KerasClassifier  # noqa: PLC0415
    from sklearn.model_selection import GridSearchCV, PredefinedSplit  # noqa: PLC0415

    fits = Fits(task, meter)
    settings = cells(task.search_space, int(task.budget))
    train, validation = fits.parts(scaling_of(settings[0]))
    images = np.concatenate([train[0], validation[0]])
    labels = np.concatenate([train[1], validation[1]])

    def build(setting: Mapping[str, Any]) -> Any:
        return fits.build(setting)

    classifier = KerasClassifier(
        model=build, epochs=task.epochs, verbose=0, callbacks=[fits.metering()]
    )
    grid: Sequence[Mapping[str, Any]] = [
        {"model__setting": [s], "batch_size": [int(s.get("batch_size", 32))]} for s in settings
    ]
    fold = PredefinedSplit([-1] * len(train[1]) + [0] * len(validation[1]))
    search_cv = GridSearchCV(
        classifier, grid, cv=fold, scoring="accuracy", refit=False, error_score="raise"
    )
    search_cv.fit(images, labels, validation_data=validation)
