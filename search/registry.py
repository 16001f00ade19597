"""Name → builder or loader, and the folders where spaces and studies are found.

Built-in models and data sets are entry points of this package, found the way a user's own are: the
groups `gridless.models` and `gridless.datasets`. A model may also be named
`package.module:function`, and be a function or class for KerasTuner. Nothing is imported until it
is asked for.
"""

import difflib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeGuard

from search.errors import InputError
from search.text import message_of

MODELS = "gridless.models"
DATASETS = "gridless.datasets"
TRACKERS = "gridless.trackers"

_BUILDER = (
    "build(params, *, input_shape, n_classes) -> keras.Model, or for KerasTuner as build(hp) or a"
    " HyperModel"
)
_HP = ("hp", "hps", "hyperparameters", "hyper_parameters")
"""What the one argument of a function for KerasTuner is called."""
_MEASURE = "function(y_true, y_pred) -> float"
_OBJECTIVES = "gridless.objectives"
_LOADER = "load() -> Dataset"
_SAFE_PATH, _BY_US = "PYTHONSAFEPATH", "gridless"


_PICKLED = re.compile(r"pickled\.([0-9a-f]{12}):\w+")


def pickled_digest(model: str) -> str | None:
    """The digest of its source that the name of a pickled builder has; None for other models."""
    match = _PICKLED.fullmatch(model)
    return match[1] if match else None


def meant(name: str, choices: Iterable[str]) -> str | None:
    """A phrase naming the choice most like `name`; None when none is close."""
    folded = {choice.lower(): choice for choice in sorted(choices)}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return f"did you mean {folded[close[0]]!r}?" if close else None


def nearest(name: str, choices: Iterable[str]) -> str:
    """A phrase naming the choice most like `name`, or all of them when none is close."""
    choices = sorted(choices)
    return meant(name, choices) or f"known: {', '.join(choices) or 'none'}"


def points(group: str) -> Sequence[EntryPoint]:
    """The entry points of `group`, as installed on the path of now."""
    return _points(group, tuple(sys.path))


@cache
def _points(group: str, _path: tuple[str, ...]) -> Sequence[EntryPoint]:
    return tuple(entry_points(group=group))


def names(group: str) -> list[str]:
    """The registered names of `group`, sorted."""
    return sorted({point.name for point in points(group)})


def check_name(group: str, name: str) -> str | None:
    """Why `name` is no member of `group`, without importing anything; None if it is."""
    if name in names(group):
        return None
    if group == MODELS:
        if EntryPoint.pattern.fullmatch(name) and ":" in name:
            return None
        kind, remedy = "MODEL", "package.module:function"
    else:
        kind, remedy = "DATA", "a path: file.npz, or a folder of images by class"
    nearby = nearest(name, names(group))
    return f"{kind}: {name!r} is not known; {nearby} or your own as {remedy}"


def load_builder(name: str) -> Callable[..., Any]:
    """The builder of model `name`, its signature checked; `takes_hp` tells whether it is written
    for KerasTuner.

    Raises InputError when the name is unknown, its module can't be imported or the signature is not
    the contract's.
    """
    return _load(MODELS, name, _BUILDER, _is_builder)


def check_builder(place: str, source: object) -> None:
    """Raise InputError, which begins with `place`, when `source` is no builder."""
    if not _is_builder(source):
        raise InputError(f"{place}: it must be callable as {_BUILDER}")


def check_loop(place: str, source: object) -> None:
    """Raise InputError, which begins with `place`, when `source` is no training loop."""
    if not _fits(source, 1, ()):
        raise InputError(f"{place}: it must be callable as train(trial)")


def load_loader(name: str) -> Callable[[], Any]:
    """The loader of data set `name`, its signature checked. Raises as `load_builder`."""
    return _load(DATASETS, name, _LOADER, lambda source: _fits(source, 0, ()))


def load_function(name: str) -> Callable[..., Any]:
    """The function `package.module:function` of two arguments. Raises as `load_builder`."""
    point = EntryPoint("objective", name, _OBJECTIVES)
    return _loaded(point, _MEASURE, lambda source: _fits(source, 2, ()))


SHAPE_NAMES = ("input_shape",)
CLASS_NAMES = ("classes", "n_classes", "num_classes")
"""What users' functions and classes call the facts of their data."""
_REST = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


def is_hypermodel(source: object) -> bool:
    """Whether `source` is a HyperModel, class or instance; told without loading KerasTuner."""
    return callable(getattr(source, "build", None)) and hasattr(source, "declare_hyperparameters")


def takes_hp(source: object) -> bool:
    """Whether `source` is a HyperModel or a function `build(hp)`, which KerasTuner's users know."""
    if is_hypermodel(source):
        return True
    if not _is_function(source):
        return False
    parameters = list(inspect.signature(source).parameters.values())
    if not parameters or not (
        parameters[0].name in _HP or "HyperParameters" in str(parameters[0].annotation)
    ):
        return False
    return _fits(source, 1, ())


def takes_facts(source: object) -> bool:
    """Whether `source` is a function that needs at most the data's facts: a network without
    hyperparameters.
    """
    if not _is_function(source) or _takes_params(source):
        return False
    return needed(inspect.signature(source).parameters) <= {*SHAPE_NAMES, *CLASS_NAMES}


def _is_function(source: object) -> TypeGuard[Callable[..., Any]]:
    """Whether `source` is a function of Python's, or an object that is called as one."""
    if isinstance(source, partial):
        return _is_function(source.func)
    if isinstance(source, type):
        return False
    called = getattr(type(source), "__call__", None)  # noqa: B004  # written in Python, or not
    return hasattr(source, "__code__") or inspect.isfunction(called)


def needed(parameters: Mapping[str, inspect.Parameter]) -> set[str]:
    """The names of those that have no default."""
    return {
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and parameter.kind not in _REST
    }


def _takes_params(source: object) -> bool:
    facts = ("input_shape", "n_classes")
    return _fits(source, 1, facts) or _fits(source, 1, (*facts, "task"))


def _is_builder(source: object) -> bool:
    return _takes_params(source) or takes_hp(source) or takes_facts(source)


def _load(
    group: str, name: str, contract: str, fits: Callable[[object], bool]
) -> Callable[..., Any]:
    if problem := check_name(group, name):
        raise InputError(problem)
    return _loaded(_entry_point(group, name), contract, fits)


def _loaded(point: EntryPoint, contract: str, fits: Callable[[object], bool]) -> Callable[..., Any]:
    called = point.value if point.name == point.value else f"{point.name}: {point.value}"
    try:
        with _importing():
            function = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may raise whatever it likes
        is_absent = isinstance(error, ImportError | AttributeError)
        check = "check the name and PYTHONPATH" if is_absent else "mend the module"
        remedy = _hidden(point.module) or _missing(point) or check
        raise InputError(f"{called} can't be imported ({_reason(error)}); {remedy}") from error
    if not fits(function):
        hidden = _hidden(point.module)
        rule = f"{called} must be callable as {contract}"
        raise InputError(f"{rule}; {hidden}" if hidden else rule)
    return function  # type: ignore[no-any-return]


def _missing(point: EntryPoint) -> str | None:
    """What a module has that is named most like `point`, if it could be imported."""
    module = sys.modules.get(point.module)
    if module is None or hasattr(module, point.attr):
        return None
    return meant(point.attr, [name for name, value in vars(module).items() if callable(value)])


def _entry_point(group: str, name: str) -> EntryPoint:
    return next(
        (point for point in points(group) if point.name == name), EntryPoint(name, name, group)
    )


def module_of(model: str) -> str:
    """The dotted name of the module that holds the builder of `model`."""
    return _entry_point(MODELS, model).module


def spec_of(top: str) -> ModuleSpec | None:
    """Where the top-level module `top` would be imported from, without importing it; None where
    there is none.

    A module of the working folder counts last, so that no file there hides one that is installed.
    """
    try:
        spec = find_spec(top)
    except ValueError:  # a program's own __main__
        spec = None
    return spec or PathFinder.find_spec(top, [str(Path.cwd())])


def keep_folder_last() -> None:
    """Let no Python that this process starts put the working folder before all others."""
    os.environ |= folder_last()


def folder_last() -> dict[str, str]:
    """The variable that says so, for one process that is started."""
    return {_SAFE_PATH: os.environ.get(_SAFE_PATH, _BY_US)}


def become_users() -> None:
    """Make this process, which runs a user's code, one without arguments or rules of ours."""
    del sys.argv[1:]
    if os.environ.get(_SAFE_PATH) == _BY_US:
        del os.environ[_SAFE_PATH]


@contextmanager
def _importing() -> Iterator[None]:
    """Modules of the working folder are found, after all others; to a script that parses them,
    there are no arguments.

    The folder stays on the path: a builder may import more when it is called.
    """
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)
    arguments = sys.argv
    sys.argv = arguments[:1]
    try:
        yield
    finally:
        sys.argv = arguments


def _hidden(module: str) -> str | None:
    """What to tell of a module of the working folder that another of its name hides."""
    top = module.partition(".")[0]
    here, spec = PathFinder.find_spec(top, [str(Path.cwd())]), spec_of(top)
    if here is None or spec is None or here.origin == spec.origin:
        return None
    return f"{spec.origin} comes before {here.origin or top}: rename that"


def _reason(error: BaseException) -> str:
    message = message_of(error)
    if isinstance(error, SystemExit):
        remedy = "a script that parses arguments must not at import"
        return f"it ends the program, SystemExit: {message}; {remedy}"
    return message if isinstance(error, ImportError) else f"{type(error).__name__}: {message}"


def _fits(function: object, n_positional: int, keywords: tuple[str, ...]) -> bool:
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*([None] * n_positional), **dict.fromkeys(keywords))
    except TypeError:
        return False
    return True


def data_folders(kind: str) -> list[Path]:
    """Folders that may hold `kind` ("spaces" or "studies"), the user's before the shipped."""
    package = Path(str(importlib.import_module("search").__file__)).parent
    candidates = [Path.cwd() / kind, package / "_data" / kind, package.parent / kind]
    return list(dict.fromkeys(c for c in candidates if c.is_dir()))
