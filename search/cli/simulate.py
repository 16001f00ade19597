"""`gridless simulate`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from search.cli.common import INTERRUPTED, echo, sayer
from search.cli.options import quiet_option

_EPILOG = """\b
Examples:
  gridless simulate --surrogate lcbench --tasks 7593,34539 --strategies random,tpe --out runs.csv
  gridless simulate --surrogate lcbench --workers 8 --budget 60 --out parallel.csv
  gridless simulate --replay mlp-fashion --strategies random,tpe --seeds 20 --out replayed.csv
  gridless report runs.csv
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--surrogate",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder with LCBench's surrogate.",
)
@click.option("--replay", metavar="STUDY", help="Or a study whose recorded curves are replayed.")
@click.option("--tasks", default="all", help="The surrogate's tasks, with commas between [all].")
@click.option("--strategies", default="all", help="Names, with commas between [all].")
@click.option("--seeds", default="5", help="Runs of each strategy on each task [5].")
@click.option("--workers", default="1", help="Workers that train at the same time [1].")
@click.option("--budget", default="30", help="Full trainings that a run may spend [30].")
@click.option(
    "--lose", default="0", help="Chance that a whole training loses its worker on the way [0]."
)
@click.option(
    "--samples",
    default="20000",
    help="Settings to look at for a task's best value [20000]; 0 for none.",
)
@click.option(
    "--out",
    required=True,
    metavar="FILE.csv",
    type=click.Path(path_type=Path),
    help="Where runs are kept.",
)
@click.option("--jobs", default=None, help="Processes [one per CPU core].")
@quiet_option
def simulate(
    surrogate: Path | None,
    replay: str | None,
    tasks: str,
    strategies: str,
    seeds: str,
    workers: str,
    budget: str,
    lose: str,
    samples: str,
    out: Path,
    jobs: str | None,
    quiet: bool,
) -> int:
    """Run whole studies against predicted or recorded learning curves, under a simulated clock.

    Strategies claim, pause, resume and end trials by the code of real studies; only training is
    left out. The same command writes the same FILE.csv: a row per improvement, and beside it
    FILE.best.json with the best values known.
    """
    from search.errors import InputError
    from search.files import unwritable
    from search.lab.runs_file import COLUMNS, write_runs
    from search.lab.simulation.experiment import run_experiment
    from search.lab.simulation.request import Request, check
    from search.words import count

    counts = {
        "seeds": seeds,
        "workers": workers,
        "samples": samples,
        "jobs": jobs or str(os.cpu_count() or 1),
    }
    experiment, n_jobs = check(
        Request(surrogate, replay, tasks, strategies, out, budget, lose, counts)
    )
    say = sayer(quiet)
    if left_out := getattr(experiment.surrogate, "n_left_out", 0):
        say(
            f"note: left out {count(left_out, 'trial')} that were not trained to their end, or"
            " repeat a setting"
        )
    n_setups = len(experiment.setups)
    with _progress(n_setups + len(experiment.tasks), quiet=quiet) as advance:
        results = run_experiment(experiment, jobs=n_jobs, done=advance)
    try:
        beside = {"budget": experiment.budget, "best": results.best}
        write_runs(out, COLUMNS, results.rows, beside)
    except OSError as error:
        raise InputError(unwritable(out.parent, error)) from error
    if not results.is_whole:
        echo(f"stopped: {out} holds {len(results.runs)} of {n_setups} runs", err=True)
        return INTERRUPTED
    counted = f"{count(len(results.runs), 'run')}, {len(results.rows):,} improvements"
    say(f"{counted}; `gridless report {out}` compares them")
    echo(str(out))
    return 0


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on stderr; yields what moves it on by one."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from search.cli.views.console import Console

    columns = (
        TextColumn("runs, and tasks’ best values"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task("runs", total=total)
        yield lambda: bar.advance(task)


COMMANDS = (simulate,)
