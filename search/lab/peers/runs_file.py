"""The file of runs, as `gridless report` reads it, and beside it what each run spent in all."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from search.errors import InputError
from search.lab.peers.experiment import Setup
from search.lab.peers.meter import Trace
from search.lab.runs_file import COLUMNS, SECONDS, Key, Row, best_file, key_of, row_of, write_runs


@dataclass(frozen=True)
class Runs:
    """Runs of searches that have ended."""

    facts: Mapping[str, Any]
    """What they have in common: budget, epochs, images, machine, and the digests of `spaces`."""
    totals: tuple[Mapping[str, Any], ...] = ()
    """Each run's strategy, task, seed, n_workers, n_settings, spent (full trainings), seconds."""
    rows: tuple[Row, ...] = field(default=(), repr=False)
    """The CSV file's."""

    @property
    def keys(self) -> set[Key]:
        """The runs that are there."""
        return set(map(key_of, self.rows))

    def joined(self, setup: Setup, trace: Trace) -> "Runs":
        """These runs and one more, cut off where its budget is spent."""
        task = setup.task
        n = min(len(trace.values), task.max_epochs)
        rows = [
            (*row_of(setup.key, 1, epochs / task.epochs, value), f"{seconds:.1f}")
            for epochs, value, seconds in trace.improvements()
            if epochs <= n
        ]
        total = {
            "strategy": setup.system,
            "task": task.name,
            "seed": task.seed,
            "n_workers": 1,
            "n_settings": trace.n_settings,
            "spent": n / task.epochs,
            "seconds": round(trace.seconds[n - 1], 1) if n else 0.0,
        }
        return replace(self, totals=(*self.totals, total), rows=(*self.rows, *rows))

    def write(self, path: Path) -> None:
        """Write the CSV file and the one beside it, each in one step. Raises OSError."""
        best: dict[str, float] = {}
        for row in self.rows:
            best[row[1]] = max(best.get(row[1], 0.0), float(row[5]))
        beside = {**self.facts, "best": best, "runs": self.totals}
        write_runs(path, (*COLUMNS, SECONDS), self.rows, beside)

    @classmethod
    def read(cls, path: Path, facts: Mapping[str, Any]) -> Self:
        """The runs that `path` holds already, none where there is no such file.

        Raises InputError when they were made under other circumstances than `facts`, or can't be
        read.
        """
        if not path.exists():
            return cls(facts)
        try:
            beside: dict[str, Any] = json.loads(best_file(path).read_text(encoding="utf-8"))
            with path.open(encoding="utf-8", newline="") as file:
                rows = [tuple(row) for row in csv.reader(file) if row][1:]
            keys = set(map(key_of, rows))
            totals = [t for t in beside["runs"] if (t["strategy"], t["task"], t["seed"]) in keys]
            spaces: Mapping[str, str] = {**beside["spaces"]}
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise InputError(
                f"--out: {path} holds other things ({error!r}); give another file"
            ) from error
        # Another model may join; the same one must have the same space.
        joined = {**facts, "spaces": {**spaces, **facts["spaces"]}}
        held = {**beside, "spaces": {**facts["spaces"], **spaces}}
        if differing := [k for k, v in joined.items() if held.get(k) != v]:
            reasons = "; ".join(f"{k} was {beside.get(k)}, not {facts[k]}" for k in differing)
            rule = f"--out: {path} holds runs made otherwise ({reasons}); give another file"
            raise InputError(rule)
        return cls(joined, tuple(totals), tuple(rows))
