"""A tuner's search, as that of a loop."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import keras_tuner

from search.api import Study, optimize
from search.cli.common import sayer
from search.errors import InputError
from search.keras_tuner.exploring import Found, explored
from search.keras_tuner.stored_call import stored
from search.keras_tuner.training import logged, train
from search.keras_tuner.trials import trial_of
from search.paths import storage_url
from search.retry_limits import grace_s
from search.space.space import FloatParam, Space
from search.strategies.grid import walk
from search.study.storage.read import open_library, read_study, search_names
from search.study.storage.removal import remove, take_off
from search.study.storage.removal_plan import plan_removal

_MOST = 1_000_000


def searched(
    tuner: Any, args: Sequence[Any], kwargs: Mapping[str, Any], *, overwrites: bool
) -> Study:
    """The study of `tuner`, searched. Raises as `Tuner.search` says."""
    given = tuner.arguments.given
    progress = kwargs.get("verbose") not in {0, "0"}
    if given.get("max_epochs"):
        kwargs = {**kwargs, "epochs": given["max_epochs"]}
    call, problems = _call(args, kwargs)
    found = explored(tuner, args, kwargs)
    problems += _problems(tuner, found, kwargs)
    if problems:
        raise InputError(problems)
    say = sayer(not progress)
    for notice in found.notices:
        say(f"note: {notice}")
    space = found.space(tuner.project_name)
    total = 1 if tuner.executions_per_trial > 1 else int(kwargs.get("epochs", 1))
    recipe = {
        **tuner.recipe,
        **call,
        "names": [each.name for each in found.hypers],
        "goes_on": found.goes_on,
        "total": total,
    }
    if overwrites:
        _delete(tuner.project_name)
    objective = tuner.oracle.objective
    settings = {
        "name": tuner.project_name,
        "objective": f"{logged(objective.name)}:{objective.direction}",
        "strategy": tuner.strategy if found.goes_on else tuner.whole,
        "seed": given["seed"],
        "n_trials": _n_trials(tuner, space, total),
        "epochs": None if "epochs" in space.params else total,
    }
    raw = space.as_dict()
    return optimize(
        train=partial(train, recipe),
        space=raw["params"],
        baseline=raw["document"],
        progress=progress,
        **{**settings, **tuner.arguments.settings},
    )


def stored_trials(tuner: Any) -> list[Any]:
    """KerasTuner's trials of the study of `tuner`, in their order; none without a study."""
    try:
        record = read_study(open_library(storage_url()), tuner.project_name)
    except InputError:
        return []
    names = [parameter.name for parameter in tuner.oracle.hyperparameters.space]
    return [trial_of(trial, names, tuner.arguments.instead) for trial in record.trials]


def _call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments of `search`, kept for trials, and what is wrong with them."""
    kept: dict[Any, Any] = {}
    problems: list[str] = []
    for name, value in [*enumerate(args), *kwargs.items()]:
        try:
            kept[name] = stored(str(name), value)
        except InputError as error:
            problems += error.problems
    # How much is printed makes no other trial.
    names = {name: kept.get(name) for name in kwargs if name != "verbose"}
    return {"args": [kept.get(i) for i in range(len(args))], "kwargs": names}, problems


def _problems(tuner: Any, found: Found, kwargs: Mapping[str, Any]) -> list[str]:
    problems = []
    if found.goes_on and tuner.oracle.objective.name == "default_objective":
        problems.append("objective: fit() logs several; give one, such as objective='val_loss'")
    if "initial_epoch" in kwargs:
        problems.append("initial_epoch: where a trial goes on is known here; leave it out")
    if "epochs" in kwargs and any(each.name == "epochs" for each in found.hypers):
        problems.append("epochs: an argument of search(), and a hyperparameter; leave one out")
    if "max_epochs" in tuner.arguments.given and not found.goes_on:
        rule = "Hyperband pauses trials, and these could not go on"
        causes = "executions_per_trial is above 1, or fit() or run_trial() trains in its own way"
        problems.append(f"{rule}, as {causes}: take RandomSearch, or pass **kwargs on to model.fit")
    return problems


def _n_trials(tuner: Any, space: Space, total: int) -> int:
    """How many settings KerasTuner would try, as far as there are so many."""
    given = tuner.arguments.given
    if "max_epochs" in given:
        iterations = given["hyperband_iterations"]
        theirs = keras_tuner.oracles.HyperbandOracle(max_epochs=given["max_epochs"])
        brackets = range(theirs._get_num_brackets())
        most = iterations * sum(theirs._get_size(bracket, 0) for bracket in brackets)
    else:
        most = given["max_trials"] or _MOST
    open_ended = any(isinstance(p, FloatParam) and not p.step for p in space.params.values())
    if open_ended and tuner.strategy != "grid":
        return int(most)
    return sum(1 for _ in islice(walk(space, total), most))


def _delete(name: str) -> None:
    """Delete the study `name`, if there is one. Raises InputError while workers train it."""
    try:
        storage = open_library(storage_url())
    except InputError:
        return
    if name in search_names(storage):
        removal = plan_removal(storage, name, grace_s=grace_s())
        take_off(storage, removal, grace_s=grace_s())
        remove(storage, removal)
