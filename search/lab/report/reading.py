"""Runs of searches, simulated or real, from a CSV file, and the best values beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search.errors import InputError
from search.lab.runs_file import COLUMNS, Key, best_file

_TYPES = {
    "strategy": "string",
    "task": "string",
    "seed": "int64",
    "n_workers": "int64",
    "spent": "float64",
}


@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """One run: the best value so far steps up to value[i] at spent[i]."""

    strategy: str
    task: str
    seed: int
    n_workers: int
    spent: NDArray[np.float64]
    """Full trainings, rising."""
    value: NDArray[np.float64]
    """Validation accuracies, fractions, rising."""

    def at(self, spent: NDArray[np.float64]) -> NDArray[np.float64]:
        """The best value after so many full trainings; NaN before the first."""
        place = np.searchsorted(self.spent, spent + 1e-6, side="right")
        return np.concatenate([[np.nan], self.value])[place]

    @property
    def final(self) -> float:
        """The best value of the run."""
        return float(self.value[-1])


class Total(NamedTuple):
    """What a real search took in all."""

    spent: float
    """Full trainings."""
    seconds: float
    n_settings: int
    """Settings that were trained, if only for an epoch."""


@dataclass(frozen=True)
class Simulated:
    """The runs of a file."""

    runs: tuple[SimulatedRun, ...]
    best: Mapping[str, float]
    """By task, the best value known: of any run, or found by sampling."""
    budget: float
    """Full trainings that a run may spend."""
    is_budget_known: bool
    """False without a file beside the runs: `budget` is then the most spent to get better."""
    totals: Mapping[Key, Total]
    """By strategy, task and seed, what real runs took in all; empty for simulated ones."""
    made_on: str | None
    """The machine and versions of real runs."""
    n_validation: int | None
    """The images that accuracies of real runs are of."""

    def spent_by(self, run: SimulatedRun) -> float:
        """The full trainings that `run` spent in all."""
        total = self.totals.get((run.strategy, run.task, run.seed))
        return total.spent if total else self.budget


def read_runs(path: Path) -> Simulated:
    """The runs in the CSV file `path`, with what `best_file` says if it is there.

    Raises InputError with everything that is wrong.
    """
    frame = _frame(path)
    runs = tuple(_run(group) for _, group in frame.groupby(list(COLUMNS[:4]), sort=False))
    if bad := [r for r in runs if (np.diff(r.spent) <= 0).any() or (np.diff(r.value) < 0).any()]:
        named = "; ".join(f"{r.strategy} on {r.task}, seed {r.seed}" for r in bad[:3])
        raise InputError(
            f"{path}: spent and value must rise within each run ({named}); write the file again"
        )
    beside = _beside(best_file(path))
    highest = {r.task: max(o.final for o in runs if o.task == r.task) for r in runs}
    best = {
        task: max(value, beside.get("best", {}).get(task, 0.0)) for task, value in highest.items()
    }
    last = max(float(r.spent[-1]) for r in runs)
    totals, made_on = beside.get("totals", {}), beside.get("made_on")
    return Simulated(
        runs,
        best,
        max(float(beside.get("budget", 0.0)), last),
        "budget" in beside,
        totals,
        made_on,
        beside.get("n_validation"),
    )


def _frame(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(
            path, dtype={"strategy": "string", "task": "string"}, keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} can't be read as CSV ({error}); give a file of `gridless simulate`"
        ) from error
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise InputError(
            f"{path} lacks the columns {', '.join(missing)}; give a file of `gridless simulate`"
        )
    if frame.empty:
        raise InputError(f"{path} holds no runs; `gridless simulate` writes them")
    try:
        frame = frame.astype({**_TYPES, "value": "float64"})
    except ValueError as error:
        raise InputError(
            f"{path} holds what is no number ({error}); write the file again"
        ) from error
    if not (
        frame["value"].between(0, 1).all()
        and frame["spent"].between(0, np.inf, inclusive="neither").all()
    ):
        raise InputError(
            f"{path}: value must be from 0 to 1, and spent above 0; write the file again"
        )
    return frame


def _run(group: pd.DataFrame) -> SimulatedRun:
    head = group.iloc[0]
    return SimulatedRun(
        str(head["strategy"]),
        str(head["task"]),
        int(head["seed"]),
        int(head["n_workers"]),
        group["spent"].to_numpy(float),
        group["value"].to_numpy(float),
    )


def _beside(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        totals = {
            (str(r["strategy"]), str(r["task"]), int(r["seed"])): Total(
                float(r["spent"]), float(r["seconds"]), int(r["n_settings"])
            )
            for r in content.get("runs", ())
        }
        best = {t: float(v) for t, v in content["best"].items()}
        return {
            "budget": float(content["budget"]),
            "best": best,
            "totals": totals,
            "made_on": content.get("made_on"),
            "n_validation": content.get("n_validation"),
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} can't be read ({error!r}); write it again, or remove it"
        ) from error


def by_workers(runs: Sequence[SimulatedRun]) -> dict[int, list[SimulatedRun]]:
    """Runs with the same number of workers, the fewest first."""
    return {n: [r for r in runs if r.n_workers == n] for n in sorted({r.n_workers for r in runs})}
