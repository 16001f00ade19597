"""Optuna as its tutorial has it: TPE and the median pruner, one process."""

import optuna

from search.lab.peers.fitting import Fits, after_epoch
from search.lab.peers.meter import Meter
from search.lab.peers.task import Task
from search.strategies.optuna_trials import suggest


def search(task: Task, meter: Meter) -> None:
    """`study.optimize` with Optuna's defaults, each epoch reported, until the budget is spent."""
    fits, space = Fits(task, meter), task.search_space

    def objective(trial: optuna.Trial) -> float:
        setting = space.setting(lambda name: suggest(trial, name, space.params[name]))

        def report(step: int, value: float) -> None:
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned

        history = fits.fit(
            fits.build(setting), setting, callbacks=[after_epoch(report)], epochs=task.epochs
        )
        return float(history.history["val_accuracy"][-1])

    sampler = optuna.samplers.TPESampler(seed=task.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial(dict(space.document))
    study.optimize(objective)
