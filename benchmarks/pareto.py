"""How much of the Pareto front a search for two objectives finds: `python benchmarks/pareto.py
FOLDER`.

FOLDER holds LCBench's surrogate (YAHPO Gym's model.onnx, config_space.json and encoding.json; needs
`pip install 'gridless[bench]'`). The objectives are validation accuracy and seconds of an epoch.
Gridless pauses and promotes; Optuna's TPE and NSGA-II, which can't prune trials of several
objectives, train every setting to its end. What counts is the hypervolume after 10 and 30 full
trainings' epochs, as a part of what 2,000 settings spread evenly reach at their ends: accuracy from
their median up, the logarithm of the seconds from their largest down. One worker each.
"""

import argparse
import logging
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from search.lab.simulation.lcbench import LCBench
from search.objectives import objectives_of
from search.records import Ending, Epoch, State, TrialRecord
from search.strategies import Decision, make_strategy
from search.strategies.front import hypervolume, nondominated
from search.strategies.optuna_trials import suggest

TASKS = ("7593", "34539", "126025", "126029", "167104", "167149", "168329", "168908")
BUDGETS = (10, 30)
N_SAMPLES = 2000
FIRST, *OTHERS = objectives_of(["accuracy", "epoch_s"])
Points = list[tuple[float, float]]
"""(accuracy, seconds of an epoch) of each setting so far."""
Search = Callable[[LCBench, str, int], dict[int, Points]]


def gridless(surrogate: LCBench, task: str, seed: int) -> dict[int, Points]:
    """The points that the default strategy has after each of BUDGETS."""
    strategy = make_strategy(
        "default", surrogate.space, seed=seed, max_epochs=surrogate.max_epochs, is_single=False
    )
    trials: list[TrialRecord] = []
    points: dict[int, Points] = {}
    spent = 0
    while len(points) < len(BUDGETS):
        number = strategy.promote(trials)
        if number is None:
            number = len(trials)
            params = strategy.ask(trials, number) if number else dict(surrogate.space.document)
            trial = TrialRecord(number, State.RUNNING, params, others=tuple(OTHERS))
            trials.append(replace(trial, total_epochs=surrogate.max_epochs))
        curve = surrogate.curve(task, trials[number].params)
        ending = None
        while ending is None:
            step = trials[number].epochs + 1
            trials[number] = _longer(trials[number], curve[step - 1])
            spent += 1
            for budget in BUDGETS:
                if spent == budget * surrogate.max_epochs:
                    points[budget] = [_point(t) for t in trials if t.curve]
            if step == surrogate.max_epochs:
                ending = Ending.DONE
            elif strategy.is_rung(step):
                decision = strategy.decide(trials, number, step)
                ending = Ending.PAUSE if decision is Decision.PAUSE else None
        trials[number] = _ended(trials[number], ending)
    return points


def _longer(trial: TrialRecord, epoch: Epoch) -> TrialRecord:
    return replace(trial, state=State.RUNNING, paused=False, curve=(*trial.curve, epoch))


def _ended(trial: TrialRecord, ending: Ending) -> TrialRecord:
    if ending is Ending.DONE:
        return replace(trial, state=State.COMPLETE)
    return replace(trial, state=State.WAITING, paused=True)


def _point(trial: TrialRecord) -> tuple[float, float]:
    return trial.value or 0.0, trial.epoch_s or 0.0


def of_optuna(make: Callable[[int], optuna.samplers.BaseSampler]) -> Search:
    """A search by a sampler of Optuna's, each setting trained to its end."""

    def search(surrogate: LCBench, task: str, seed: int) -> dict[int, Points]:
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=make(seed))
        study.enqueue_trial(dict(surrogate.space.document))
        points: Points = []
        taken: dict[int, Points] = {}
        for n in range(1, max(BUDGETS) + 1):
            trial = study.ask()
            params = surrogate.space.setting(_suggested(trial, surrogate))
            curve = surrogate.curve(task, params)
            accuracy = max(epoch.values["val_accuracy"] for epoch in curve)
            points.append((accuracy, sum(epoch.seconds for epoch in curve) / len(curve)))
            study.tell(trial, points[-1])
            if n in BUDGETS:
                taken[n] = list(points)
        return taken

    return search


def _suggested(trial: optuna.Trial, surrogate: LCBench) -> Callable[[str], Any]:
    return lambda name: suggest(trial, name, surrogate.space.params[name])


SYSTEMS: Mapping[str, Search] = {
    "gridless": gridless,
    "Optuna TPE": of_optuna(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "Optuna NSGA-II": of_optuna(lambda seed: optuna.samplers.NSGAIISampler(seed=seed)),
}


class Yardstick:
    """What 2,000 settings of a task reach."""

    def __init__(self, surrogate: LCBench, task: str) -> None:
        settings = surrogate._spread(N_SAMPLES)
        outputs = surrogate._predict(task, settings, [surrogate.max_epochs])[:, 0]
        accuracies = np.clip(outputs[:, 1] / 100, 0.0, 1.0)
        seconds = np.clip(outputs[:, 0], 1e-6, None) / surrogate.max_epochs
        self._low, self._high = float(np.median(accuracies)), float(accuracies.max())
        self._slow, self._fast = float(seconds.max()), float(seconds.min())
        self._whole = 1.0
        self._whole = self.part(list(zip(accuracies.tolist(), seconds.tolist(), strict=True)))

    def part(self, points: Points) -> float:
        """The hypervolume of `points` as a part of theirs."""
        rows = [
            (
                (accuracy - self._low) / (self._high - self._low),
                math.log(self._slow / max(seconds, 1e-9)) / math.log(self._slow / self._fast),
            )
            for accuracy, seconds in points
        ]
        scaled = np.array(rows)
        return hypervolume(scaled[nondominated(scaled)]) / self._whole


def main() -> None:
    """Print a table: each system's mean part with its 95 % interval, and who is ahead of whom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    optuna.logging.set_verbosity(logging.ERROR)
    surrogate = LCBench(options.folder)
    parts: dict[tuple[str, int], list[float]] = {}
    for task in TASKS:
        yardstick = Yardstick(surrogate, task)
        for seed in range(options.seeds):
            for system, search in SYSTEMS.items():
                for budget, points in search(surrogate, task, seed).items():
                    parts.setdefault((system, budget), []).append(yardstick.part(points))
        print(f"task {task} done", flush=True)
    print(f"{platform.machine()}, Python {platform.python_version()}, Optuna {optuna.__version__}")
    for budget in BUDGETS:
        ours = np.array(parts["gridless", budget])
        for system in SYSTEMS:
            values = np.array(parts[system, budget])
            line = f"{budget:3} full trainings  {system:15} {_interval(values)}"
            ahead = (
                "" if system == "gridless" else f"  gridless ahead by {_interval(ours - values)}"
            )
            print(f"{line}{ahead}  n = {len(values)}")


def _interval(values: Any) -> str:
    rng = np.random.default_rng(0)
    means = rng.choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
