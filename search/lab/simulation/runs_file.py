"""The CSV file of simulated runs, and what is known beside it."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from search.files import write_text
from search.lab.report.reading import COLUMNS, best_file
from search.lab.simulation.run import Run


def write_runs(path: Path, runs: Iterable[Run], *, budget: float, best: Mapping[str, float]) -> int:
    """Write `runs`, a row per improvement, and beside them the budget and the best value known of
    each task.

    Each file is written in one step. Returns the number of rows. Raises OSError.
    """
    rows = [
        (
            r.setup.strategy,
            r.setup.task,
            r.setup.seed,
            r.setup.n_workers,
            f"{spent:.6f}",
            f"{value:.6f}",
        )
        for r in runs
        for spent, value in r.improvements
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_text(best_file(path), json.dumps({"budget": budget, "best": dict(best)}, indent=1) + "\n")
    write_text(path, text.getvalue())
    return len(rows)
