"""Name → builder or loader, and the folders where spaces and studies are found.

Built-in models and data sets are entry points of this package, found the way a user's own are: the groups
`gridless.models` and `gridless.datasets`. A model may also be named `package.module:function`, and be a function or
class for KerasTuner.
Nothing is imported until it is asked for.
"""

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from search.errors import InputError

MODELS = "gridless.models"
DATASETS = "gridless.datasets"

_BUILDER = "build(params, *, input_shape, n_classes) -> keras.Model, or for KerasTuner as build(hp) or a HyperModel"
_HP = ("hp", "hps", "hyperparameters", "hyper_parameters")
"""What the one argument of a function for KerasTuner is called."""
_LOADER = "load() -> ImageData"


def nearest(name: str, known: Iterable[str]) -> str:
    """A phrase naming the known name most like `name`, or all of them when none is close."""
    names = sorted(known)
    folded = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return f"did you mean {folded[close[0]]!r}?" if close else f"known: {', '.join(names) or 'none'}"


def names(group: str) -> list[str]:
    """The registered names of `group`, sorted."""
    return sorted({e.name for e in entry_points(group=group)})


def check_name(group: str, name: str) -> str | None:
    """What is wrong with `name` as a member of `group`, without importing anything; None if it is known."""
    if name in names(group) or (group == MODELS and ":" in name):
        return None
    what = "MODEL" if group == MODELS else "DATA"
    own = (
        " or your own as package.module:function"
        if group == MODELS
        else " or your own as a path: file.npz, or a folder of images by class"
    )
    return f"{what}: {name!r} is not known; {nearest(name, names(group))}{own}"


def load_builder(name: str) -> Callable[..., Any]:
    """The builder of model `name`, its signature checked; `takes_hp` tells whether it is written for KerasTuner.

    Raises InputError when the name is unknown, its module can't be imported or the signature is not the contract's.
    """
    return _load(MODELS, name, _BUILDER, _is_builder)


def load_loader(name: str) -> Callable[[], Any]:
    """The loader of data set `name`, its signature checked. Raises InputError as `load_builder` does."""
    return _load(DATASETS, name, _LOADER, lambda found: _fits(found, 0, ()))


def is_hypermodel(found: object) -> bool:
    """Whether `found` is KerasTuner's HyperModel, a class or an instance; told without loading KerasTuner."""
    return callable(getattr(found, "build", None)) and hasattr(found, "declare_hyperparameters")


def takes_hp(found: object) -> bool:
    """Whether `found` is a HyperModel or a function `build(hp)`, which KerasTuner's users know."""
    if is_hypermodel(found):
        return True
    if not inspect.isfunction(found):
        return False
    parameters = list(inspect.signature(found).parameters.values())
    if not parameters or not (parameters[0].name in _HP or "HyperParameters" in str(parameters[0].annotation)):
        return False
    return _fits(found, 1, ())


def _is_builder(found: object) -> bool:
    return takes_hp(found) or _fits(found, 1, ("input_shape", "n_classes"))


def _load(group: str, name: str, contract: str, fits: Callable[[object], bool]) -> Callable[..., Any]:
    if problem := check_name(group, name):
        raise InputError(problem)
    found = [e for e in entry_points(group=group) if e.name == name]
    point = found[0] if found else EntryPoint(name, name, group)
    try:
        function = point.load()
    except Exception as error:  # a user's module may raise whatever it likes
        raise InputError(f"{point.value} can't be imported ({error}); check the name and PYTHONPATH") from error
    if not fits(function):
        raise InputError(f"{name}: {point.value} must be callable as {contract}")
    return function  # type: ignore[no-any-return]


def _fits(function: object, n_positional: int, keywords: tuple[str, ...]) -> bool:
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*([None] * n_positional), **dict.fromkeys(keywords))
    except TypeError:
        return False
    return True


def data_folders(kind: str) -> list[Path]:
    """Folders that may hold `kind` ("spaces" or "studies"), the user's first: working folder, then what is shipped."""
    package = Path(str(importlib.import_module("search").__file__)).parent
    candidates = [Path.cwd() / kind, package / "_data" / kind, package.parent / kind]
    return list(dict.fromkeys(c for c in candidates if c.is_dir()))
