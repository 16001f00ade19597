"""`gridless bench-peers`."""

import os
import signal
from pathlib import Path

import click

from search.cli.common import INTERRUPTED, echo, sayer
from search.cli.options import quiet_option, resize_option

_EPILOG = """\b
Examples:
  gridless bench-peers --out peers.csv
  gridless bench-peers --models mlp --budget 48 --seeds 3 --fix batch_size=100 --out mlp.csv
  gridless bench-peers --systems gridless,GridSearchCV --out grid.csv
  gridless report peers.csv
"""


@click.command("bench-peers", epilog=_EPILOG)
@click.option("--models", default="mlp,convNN", help="Models, with commas between [mlp,convNN].")
@click.option("--data", default="fashion", help="The data [fashion].")
@resize_option
@click.option("--systems", default="all", help="Systems, with commas between [all].")
@click.option("--images", default="10000", help="Training images, validation's among them [10000].")
@click.option("--epochs", default="6", help="Epochs of a full training [6].")
@click.option("--budget", default="12", help="Full trainings that a search may spend [12].")
@click.option("--seeds", default="1", help="Searches of each system on each model [1].")
@click.option(
    "--fix",
    "fixes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Pin a parameter where there is one.",
)
@click.option("--threads", default="1", help="CPU threads of a search [1].")
@click.option("--jobs", default=None, help="Searches at a time [one per CPU core].")
@click.option(
    "--out",
    required=True,
    metavar="FILE.csv",
    type=click.Path(path_type=Path),
    help="Where runs are kept.",
)
@quiet_option
def bench_peers(
    models: str,
    data: str,
    resize: str | None,
    systems: str,
    images: str,
    epochs: str,
    budget: str,
    seeds: str,
    fixes: tuple[str, ...],
    threads: str,
    jobs: str | None,
    out: Path,
    quiet: bool,
) -> int:
    """Search by this and by other systems: same space, images, split, budget and machine.

    Compute is counted alike for all, in epochs over the same training images. Runs are kept as they
    end, and the same command goes on with those that are missing. About an hour on 2 cores as it
    stands.
    """
    from search.datasets import sized
    from search.errors import InputError
    from search.files import locked, unwritable
    from search.lab.peers.experiment import Done, Searches
    from search.lab.peers.request import Request, check
    from search.words import count

    # What tells a service or a time limit to end is to end the searches, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    say = sayer(quiet)
    say(f"loading {data} …")
    counts = {
        "images": images,
        "epochs": epochs,
        "seeds": seeds,
        "threads": threads,
        "jobs": jobs or str(os.cpu_count() or 1),
    }
    experiment = check(Request(models, sized(data, resize), systems, fixes, budget, counts, out))
    runs = experiment.runs
    n_failed = 0
    if n := len(runs.keys):
        say(f"{out} holds {count(n, 'run')} already")

    def keep(done: Done) -> None:
        nonlocal runs, n_failed
        name = " ".join(map(str, done.setup.key[:2])) + f", seed {done.setup.key[2]}"
        if done.trace is None or not done.trace.values:
            n_failed += 1
            echo(f"failed: {name}: {done.reason or 'no epoch was trained'}", err=True)
            return
        runs = runs.joined(done.setup, done.trace)
        try:
            runs.write(out)
        except OSError as error:
            raise InputError(unwritable(out.parent, error)) from error
        best = max(done.trace.values)
        seconds = done.trace.seconds[-1]
        say(f"{name}: {best:.4f} with {count(done.trace.n_settings, 'setting')} in {seconds:.0f} s")

    say(f"{count(len(experiment.setups), 'run')} to do …")
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(out.with_suffix(".lock"), wait=False) as is_mine:
        if not is_mine:
            raise InputError(
                f"--out: another command writes {out} right now; wait for it, or give another file"
            )
        is_whole = Searches(experiment.jobs).run(experiment.setups, keep)
    if not is_whole:
        echo(
            f"stopped: {out} holds {count(len(runs.keys), 'run')}; the same command goes on",
            err=True,
        )
        return INTERRUPTED
    echo(str(out))
    return 1 if n_failed else 0


COMMANDS = (bench_peers,)
