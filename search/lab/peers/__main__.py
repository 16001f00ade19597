"""One search of one system: `python -m search.lab.peers SYSTEM TASK.json TRACE.json`."""

import importlib
import sys
from contextlib import suppress
from pathlib import Path

from search.lab.peers.meter import BudgetSpentError, Meter
from search.lab.peers.systems import GRID, SYSTEMS
from search.lab.peers.task import Task


def main(name: str, task_file: str, trace_file: str) -> None:
    """Search until the budget is spent, and write what was spent."""
    task = Task.read(Path(task_file))
    system = SYSTEMS[name]
    # A grid is walked to its end, which the budget pays for.
    meter = Meter(None if name == GRID else task.max_epochs)
    with suppress(BudgetSpentError):
        getattr(importlib.import_module(f"search.lab.peers.{system.module}"), system.function)(
            task, meter
        )
    meter.write(Path(trace_file))


main(*sys.argv[1:])
