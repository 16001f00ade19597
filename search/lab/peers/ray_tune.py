"""Ray Tune's ASHA over random settings."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from search.lab.peers.meter import BudgetSpentError, Meter
from search.lab.peers.task import Task
from search.space.space import ChoiceParam, ConstantParam, FloatParam, IntParam, Param, Space
from search.strategies.grid import points

_SEED = "seed of its weights"
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}
_ALIKE = {"RAY_worker_niceness": "0"}
"""Ray would train with the lowest priority but four, and starve beside any other search."""


def search(task: Task, meter: Meter) -> None:
    """ASHA with Ray's defaults, one trial at a time, until the budget is spent."""
    os.environ.update(_QUIET | _ALIKE)
    # One more than the one trial needs: an actor that ends must not stand in the way of the next.
    ray_here = ray.init(
        "local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    try:
        space = task.search_space
        params = {name: domain(param) for name, param in space.params.items()}
        first = {
            n: v
            for n, v in space.document.items()
            if not isinstance(space.params[n], ConstantParam)
        }
        scheduler = tune.schedulers.ASHAScheduler(max_t=task.epochs)
        config = tune.TuneConfig(
            metric="val_accuracy",
            mode="max",
            scheduler=scheduler,
            num_samples=-1,
            max_concurrent_trials=1,
            # Each loads TensorFlow again; but Ray 2.60 now and then waits for ever for an actor
            # that it reuses.
            reuse_actors=False,
            search_alg=tune.search.BasicVariantGenerator(
                [first], random_state=task.seed, max_concurrent=1
            ),
        )
        # Each trial's weights begin from a seed of its own.
        params |= {_SEED: tune.randint(0, 2**31 - 1)}
        run = tune.RunConfig(
            storage_path=str(Path.cwd() / "ray"),
            stop=_Budget(meter),
            verbose=0,
            callbacks=[_Counting(space, meter)],
            failure_config=tune.FailureConfig(fail_fast="raise"),
        )
        trainable = tune.with_parameters(train, task=task)
        tune.Tuner(trainable, param_space=params, tune_config=config, run_config=run).fit()
    finally:
        ray.shutdown()
        shutil.rmtree(ray_here.address_info["session_dir"], ignore_errors=True)


def train(config: Mapping[str, Any], task: Task) -> None:
    """One trial, in a process of Ray's: reports each epoch, and is ended by the scheduler."""
    from search.lab.peers.fitting import (  # noqa: PLC0415  # the driver needs no framework
        Fits,
        after_epoch,
    )

    setting = task.search_space.setting(config.__getitem__)
    # Its own meter bounds nothing; the driver's counts what arrives there.
    fits = Fits(replace(task, seed=int(config[_SEED])), Meter(None))
    fits.fit(fits.build(setting), setting, callbacks=[after_epoch(_report)], epochs=task.epochs)


def _report(_step: int, value: float) -> None:
    tune.report({"val_accuracy": value})


class _Counting(tune.Callback):  # type: ignore[misc]  # ray is not followed
    def __init__(self, space: Space, meter: Meter) -> None:
        self._space, self._meter = space, meter

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **_info: Any) -> None:  # noqa: ARG002  # Ray's
        self._meter.begin(self._space.setting(trial.config.__getitem__))


class _Budget(tune.Stopper):  # type: ignore[misc]
    """Counts every result, and stops all once the budget is spent."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._is_spent = False

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:  # noqa: ARG002
        if not self._is_spent:
            try:
                self._meter.epoch(float(result["val_accuracy"]))
            except BudgetSpentError:
                self._is_spent = True
        return self._is_spent

    def stop_all(self) -> bool:
        return self._is_spent


def domain(param: Param) -> Any:
    """The values of `param` as Ray draws them."""
    match param:
        case ConstantParam():
            return param.value
        case ChoiceParam():
            return tune.choice(list(param.choices))
        case IntParam(step=None):
            return (tune.lograndint if param.log else tune.randint)(param.low, param.high + 1)
        case FloatParam(step=None):
            return (tune.loguniform if param.log else tune.uniform)(param.low, param.high)
        case _:
            return tune.choice(list(points(param)))
