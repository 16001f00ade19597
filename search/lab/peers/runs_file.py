"""The file of runs, as `gridless report` reads it, and beside it what each run spent in all."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from search.errors import InputError
from search.files import write_text
from search.lab.peers.experiment import Setup
from search.lab.peers.meter import Trace
from search.lab.report.reading import COLUMNS, best_file

Row = tuple[str, ...]


@dataclass(frozen=True)
class Runs:
    """Runs of searches that have ended."""

    facts: Mapping[str, Any]
    """What all of them have in common: budget, epochs, images, and what they ran on; under
    `spaces`, the digest of each task's space.
    """
    totals: tuple[Mapping[str, Any], ...] = ()
    """Of each run: strategy, task, seed, n_workers, n_settings, spent (full trainings) and
    seconds.
    """
    rows: tuple[Row, ...] = field(default=(), repr=False)
    """The CSV file's."""

    @property
    def keys(self) -> set[tuple[str, str, int]]:
        """(system, task, seed) of the runs."""
        return {(row[0], row[1], int(row[2])) for row in self.rows}

    def joined(self, setup: Setup, trace: Trace) -> "Runs":
        """These runs and one more, cut off where its budget is spent."""
        task = setup.task
        n = min(len(trace.values), task.max_epochs)
        start = (setup.system, task.name, str(task.seed), "1")
        found = [i for i in trace.improvements() if i[0] <= n]
        rows = [
            (*start, f"{e / task.epochs:.6f}", f"{value:.6f}", f"{s:.1f}") for e, value, s in found
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
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*COLUMNS, "seconds"])
        writer.writerows(self.rows)
        best: dict[str, float] = {}
        for row in self.rows:
            best[row[1]] = max(best.get(row[1], 0.0), float(row[5]))
        # The CSV file last, since it says which runs there are.
        write_text(
            best_file(path),
            json.dumps({**self.facts, "best": best, "runs": self.totals}, indent=1) + "\n",
        )
        write_text(path, text.getvalue())

    @classmethod
    def read(cls, path: Path, facts: Mapping[str, Any]) -> Self:
        """The runs that `path` holds already, none where there is no such file.

        Raises InputError when they were made under other circumstances than `facts`, or can't be
        read.
        """
        beside = best_file(path)
        if not path.exists():
            return cls(facts)
        try:
            found: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
            with path.open(encoding="utf-8", newline="") as file:
                rows = [tuple(row) for row in csv.reader(file) if row][1:]
            there = {(row[0], row[1], int(row[2])) for row in rows}
            totals = [t for t in found["runs"] if (t["strategy"], t["task"], t["seed"]) in there]
            spaces: Mapping[str, str] = {**found["spaces"]}
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise InputError(
                f"--out: {path} holds other things ({error!r}); give another file"
            ) from error
        # Another model may join; the same one must have the same space.
        joined = {**facts, "spaces": {**spaces, **facts["spaces"]}}
        held = {**found, "spaces": {**facts["spaces"], **spaces}}
        if differing := [k for k, v in joined.items() if held.get(k) != v]:
            told = "; ".join(f"{k} was {found.get(k)}, not {facts[k]}" for k in differing)
            raise InputError(f"--out: {path} holds runs made otherwise ({told}); give another file")
        return cls(joined, tuple(totals), tuple(rows))
