"""From a program's own builder, arrays and space to a request that is checked as a command's is."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from search.actions.check_study import Checked, Request
from search.actions.plan_study import Plan, make_plan, open_study
from search.datasets import npz, with_options
from search.datasets.dataset import ARRAYS, VALIDATION, Dataset, from_arrays
from search.datasets.options import Options
from search.datasets.tf_data import from_tf_data
from search.errors import InputError
from search.files import unwritable
from search.paths import cache, check_home, home, storage_url
from search.pickled import Pickled, difference, pickled
from search.records import Task
from search.registry import nearest
from search.space.space import Space
from search.study.environment import environment
from search.study.read_settings import settings_for
from search.study.storage.builders import store_builder, stored_builder
from search.study.storage.ledger import Ledger
from search.study.storage.read import open_library
from search.user_code import user_code
from search.worker.data import model_problem
from search.worker.engines import engine
from search.worker.engines.protocol import Workers
from search.worker.engines.started_workers import started_workers

T = TypeVar("T")
_NO_DATA = (np.zeros((4, 1), np.float32), np.array([0, 1, 0, 1]))
"""What stands for the data of a loop that brings its own."""
_KEYS = {2: ARRAYS[:2], 4: ARRAYS, 6: (*ARRAYS, *VALIDATION)}
_DATA = "a data set's name, a path, (x, y), (x, y, x_test, y_test), or a tf.data.Dataset"


class Asked(NamedTuple):
    """A program's arguments, as `search.optimize` describes them."""

    build: Any
    data: Any
    space: Any
    baseline: Mapping[str, Any] | None
    task: str | None
    settings: Mapping[str, Any]
    """Those of `Settings`; None where not given."""
    allow_changes: bool
    loop: bool = False
    """Whether `build` trains by itself."""


class Ready(NamedTuple):
    """The same, to be checked as a command's request."""

    request: Request
    builder: Pickled | None
    """None for the name of a model."""


def ready(asked: Asked) -> Ready:
    """The request of a program's arguments, with arrays and builder where its workers find them.

    Raises InputError with every problem of every argument.
    """
    problems: list[str] = []

    def attempt(part: Callable[[], T]) -> T | None:
        try:
            return part()
        except InputError as error:
            problems.extend(error.problems)
            return None

    builder = (
        None
        if isinstance(asked.build, str)
        else attempt(lambda: pickled(asked.build, loop=asked.loop))
    )
    model = builder.model if builder else str(asked.build)
    task = attempt(lambda: _task(asked.task))
    data = _NO_DATA if asked.loop and asked.data is None else asked.data
    source = attempt(lambda: _source_of(data, task))
    space = attempt(lambda: _space_of(asked.space, asked.baseline, model))
    if asked.settings.get("epochs") is not None and _has_epochs(space):
        problems.append("epochs: it is an argument, and in the space, too; leave one of them out")
    if problems:
        raise InputError([*problems, *settings_for("default", asked.settings)[1]])
    if builder:
        builder.keep()
    request = Request(
        model,
        str(source),
        asked.settings,
        space,
        other_code=asked.allow_changes,
        loop=asked.loop,
    )
    return Ready(request, builder)


def planned(asked: Ready, checked: Checked, say: Callable[[str], None]) -> Plan:
    """The plan of what was asked. Raises InputError as `make_plan` does, with how a builder differs
    from that of the stored study.
    """
    try:
        return make_plan(checked, say)
    except InputError as error:
        stored = stored_builder(checked.storage, checked.name)
        changes = difference(stored, asked.builder) if stored and asked.builder else ""
        is_told = any("code of its model" in problem for problem in error.problems)
        if not changes or not is_told:
            raise
        raise InputError([*error.problems, f"how the builder differs:\n{changes}"]) from None


def opened(asked: Ready, plan: Plan, checked: Checked) -> Ledger:
    """The study of `plan` on the queue, and its builder stored with it."""
    ledger = open_study(plan, checked.storage)
    if asked.builder:
        store_builder(checked.storage, plan.spec.name, asked.builder)
    return ledger


@contextmanager
def resuming(
    name: str, settings: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[tuple[Ledger, Workers]]:
    """The stored study `name` on the queue again, with what of `settings` is not None, and workers
    for it.

    Raises InputError when it can't go on here.
    """
    storage = open_library(storage_url())
    stored = Ledger(storage, name).spec
    given = {"n_trials": stored.n_trials} | {k: v for k, v in settings.items() if v is not None}
    chosen, problems = settings_for(name, given)
    problems += [p for p in (model_problem(stored.model), check_home()) if p]
    if chosen is None or problems:
        raise InputError(problems)
    crew = engine("local").crew(chosen)
    asked_for = {"n_trials": chosen.n_trials, "timeout_s": chosen.timeout_s}
    hands = {"workers": len(crew.devices), "threads": crew.threads}
    spec = stored.model_copy(update={**asked_for, **hands})
    here = environment(crew.devices[0].name, threads=crew.threads, code=user_code(spec.model))
    with started_workers(crew, chosen, home() / name, holder=name, say=say) as workers:
        yield Ledger.open(storage, spec, here), workers


def _task(task: str | None) -> Task | None:
    if task is not None and task not in set(Task):
        raise InputError(f"task: {task!r} is not known; {nearest(task, Task)}")
    return None if task is None else Task(task)


def _source_of(data: Any, task: Task | None) -> str:
    """What loads `data`; arrays are kept in the cache, by their content."""
    if isinstance(data, str | Path):
        return with_options(str(data), Options(task=task))
    dataset = _dataset(data, task)
    content = f"{dataset.digest}{dataset.class_names}".encode()
    path = cache() / "arrays" / f"arrays-{hashlib.sha256(content).hexdigest()[:8]}.npz"
    try:
        if not path.exists():
            npz.save(path, dataset)
    except OSError as error:
        raise InputError(unwritable(path.parent, error)) from error
    return with_options(str(path), Options(task=dataset.task))


def _dataset(data: Any, task: Task | None) -> Dataset:
    if isinstance(data, Dataset):
        return data
    parts = list(data) if isinstance(data, tuple | list) else [data]
    if parts and all(hasattr(part, "element_spec") for part in parts):
        if len(parts) > 3:
            raise InputError(f"data: give one tf.data.Dataset, or (train, test), not {len(parts)}")
        return from_tf_data("data", *parts, task=task)
    if all(isinstance(part, tuple | list) and len(part) == 2 for part in parts):
        parts = [array for pair in parts for array in pair]  # as Keras' load_data() gives them
    if not isinstance(data, tuple | list) or len(parts) not in _KEYS:
        raise InputError(f"data: must be {_DATA}, not {_shown(data)}")
    return from_arrays("data", dict(zip(_KEYS[len(parts)], parts, strict=True)), task=task)


def _shown(data: Any) -> str:
    kind = type(data).__name__
    return f"a {kind} of {len(data)}" if isinstance(data, tuple | list) else kind


def _space_of(space: Any, baseline: Mapping[str, Any] | None, model: str) -> Path | Space | None:
    """What can vary: a mapping has names and ranges, as a space file has, or values that stay."""
    if baseline is not None and not isinstance(space, Mapping):
        raise InputError(
            "baseline: it goes with a space given as a dict; other spaces have their own"
        )
    if space is None or isinstance(space, Space | Path):
        return space
    if isinstance(space, str):
        return Path(space)
    if not isinstance(space, Mapping):
        raise InputError(f"space: must be a dict, a file or a Space, not {type(space).__name__}")
    params = {
        name: param if isinstance(param, Mapping) else {"type": "constant", "value": param}
        for name, param in space.items()
    }
    try:
        made = Space.from_dict({"model": model, "params": params})
        if baseline is None:
            return made
        return Space.from_dict({**made.as_dict(), "document": made.complete(baseline)})
    except InputError as error:
        raise InputError([f"space: {problem}" for problem in error.problems]) from error


def _has_epochs(space: Path | Space | None) -> bool:
    return isinstance(space, Space) and "epochs" in space.params
