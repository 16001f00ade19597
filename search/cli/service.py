"""`gridless worker`, `status`, `pause`, `resume`, `cancel`, `storage`: queue and workers."""

import json
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.cli.common import echo, sayer
from search.cli.options import CrewOptions, crew_options, quiet_option
from search.errors import InputError, RetryLaterError, StudyError
from search.secret import masked

if TYPE_CHECKING:
    from rich.console import RenderableType

    from search.study.storage.ledger import Ledger
    from search.study.storage.queue import QueueState
    from search.worker.engines.protocol import Workers

_EPILOG = """\b
Examples:
  gridless worker             # one per GPU, or per CPU core, until Ctrl-C or SIGTERM
  gridless worker --until-idle --gpus 0,2
  gridless worker --trials-per-gpu 4
  gridless worker --engine ray --address auto
"""
TERMINATED = 128 + signal.SIGTERM
"""Exit code of a worker that SIGTERM ended before the queue was empty, for Kubernetes' Job."""
N_ENDED = 20
"""Of the studies that are over, so many are shown."""
TICK_S = 1.0
"""Seconds between two looks at the workers."""
_REFRESH_S = 2.0


@click.command(epilog=_EPILOG)
@crew_options
@click.option(
    "--study",
    "studies",
    multiple=True,
    metavar="NAME",
    help="Serve these studies only; repeatable.",
)
@click.option("--until-idle", is_flag=True, help="End once nothing is left to do.")
@click.option("--no-mlflow", is_flag=True, help="Do not mirror trials to MLflow.")
@quiet_option
def worker(
    options: CrewOptions,
    *,
    studies: tuple[str, ...],
    until_idle: bool,
    no_mlflow: bool,
    quiet: bool,
) -> int:
    """Serve the studies on the queue, with one worker process per GPU, until told to stop.

    SIGTERM lets every trial end its epoch, gives it back and exits 0 in seconds, or 143 with
    --until-idle, since something is left to do; another worker goes on with it.
    """
    from search.paths import home
    from search.worker.engines.order import Order
    from search.worker.engines.start import mirrored, staffed

    say = sayer(quiet)
    settings, crew, storage = _checked(options, studies)
    folder = (
        home() / ".workers" / socket.gethostname()
    )  # several machines or containers may share a home
    shared: dict[str, Any] = {"mlflow": not no_mlflow, "for_ever": not until_idle}
    try:
        signal.signal(signal.SIGTERM, _terminate)
        with (
            mirrored(folder, **shared) as keep_mirror,
            staffed(
                crew,
                settings,
                folder,
                holder="gridless worker",
                say=say,
                engine=options.engine,
                address=options.address,
                **shared,
            ) as workers,
        ):
            tell_ended = _teller(storage)
            workers.go(
                Order(storage.url, studies or None, until_idle, mlflow=not no_mlflow, reports=True)
            )
            where = (
                f"{len(crew.devices)} × {crew.devices[0].name}"
                if options.engine == "local"
                else "Ray"
            )
            say(f"serving {masked(storage.url)} on {where}; logs in {folder / 'logs'}")
            _watch(workers, keep_mirror, tell_ended)
            trouble = workers.trouble()
    except _TerminatedError:
        say("stopped")
        return TERMINATED if until_idle else 0
    if trouble:
        raise StudyError(trouble)
    return 0


def _watch(
    workers: "Workers", keep_mirror: Callable[[], None], tell_ended: Callable[[], None]
) -> None:
    """Keep `workers` and the mirror going; say what troubles them, and which studies end."""
    reported = None
    while workers.check():
        keep_mirror()
        tell_ended()
        if (trouble := workers.trouble()) and trouble != reported:
            echo(f"note: {trouble}", err=True)
            reported = trouble
        time.sleep(TICK_S)
    tell_ended()


def _teller(storage: Any) -> Callable[[], None]:
    """A function that prints which studies have ended since its last call, and their results."""
    from search.study.storage.queue import places

    before = {name: place.report for name, place in places(storage).items()}

    def tell() -> None:
        with suppress(RetryLaterError):
            now = {name: place.report for name, place in places(storage).items()}
            for name, report in now.items():
                if report and report != before.get(name):
                    echo(f"{name} is over: {_results(report)}")
            before.update(now)

    return tell


def _results(report: str) -> str:
    """Where leaderboard, report and model of a study are, by `Place.report`."""
    from search.training.kept import FILE, WEIGHTS

    host, _, folder = report.partition(":")
    if host != socket.gethostname():
        return (
            f"leaderboard, report and model are in {folder} on {host}; `gridless report` writes"
            " them here, too"
        )
    files = [
        Path(folder, name)
        for name in ("leaderboard.csv", "report.html", f"model{FILE}", f"model{WEIGHTS}")
    ]
    return ", ".join(str(file) for file in files if file.is_file())


class _TerminatedError(Exception):
    """SIGTERM: for a service the usual way to end."""


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _TerminatedError


def _checked(options: CrewOptions, studies: tuple[str, ...]) -> tuple[Any, Any, Any]:
    """Settings, crew and storage; every problem of every part in one error."""
    from search.limits import limit_problems
    from search.paths import check_artifacts, check_home, storage_url
    from search.study.settings import settings_for
    from search.study.storage.ledger import Ledger
    from search.study.storage.optuna_storage import LedgerStorage
    from search.worker.engines import engine as engine_called

    settings, problems = settings_for("default", options.settings)
    problems += [p for p in (check_home() or check_artifacts(),) if p] + limit_problems()
    if settings is None or problems:
        raise InputError(problems)
    crew = engine_called(options.engine).crew(settings)
    storage = LedgerStorage(storage_url())
    for name in studies:
        Ledger(storage, name)
    return settings, crew, storage


@click.command()
@click.argument("names", nargs=-1, metavar="[STUDY]…")
@click.option(
    "--state",
    "states",
    multiple=True,
    metavar="STATE",
    type=click.Choice(["open", "paused", "done", "cancelled"]),
    help="Only studies in this one; repeatable.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="The last N of the studies that are over; 0 for all [20; all with --json].",
)
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(
    names: tuple[str, ...], states: tuple[str, ...], limit: int | None, watch: bool, as_json: bool
) -> int:
    """Show the studies on the queue, their trials and rates, and the workers.

    A STUDY may be a pattern in quotes: 'mlp-*'. Rates are those of the last hour, of a study that
    is over those of its last; retries are trials taken back from lost workers. On less than 120
    columns less is shown.
    """
    from datetime import datetime

    from rich.live import Live

    from search.cli.views.console import Console
    from search.cli.views.status import StatusReader, as_dict, render_status
    from search.limits import grace_s
    from search.paths import room_problem, storage_url
    from search.study.storage.optuna_storage import LedgerStorage

    if limit is None:
        limit = 0 if as_json else N_ENDED
    reader = StatusReader(LedgerStorage(storage_url()), names, states=states, limit=limit or None)
    if as_json:
        echo(json.dumps(as_dict(reader.read(datetime.now())), indent=2))
        return 0
    console = Console(width=None if sys.stdout.isatty() else 140)
    if problem := room_problem():
        click.echo(f"note: {problem}", err=True)

    def shown() -> "RenderableType":
        return render_status(reader.read(datetime.now()), grace_s=grace_s(), width=console.width)

    if not watch:
        console.print(shown())
        return 0
    with Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                live.update(shown(), refresh=True)
            except RetryLaterError as error:
                live.update(f"the storage is out of reach: {error}", refresh=True)
            time.sleep(_REFRESH_S)


@click.command()
@click.argument("name", metavar="STUDY")
def pause(name: str) -> int:
    """Take STUDY off the queue: running trials are given back within seconds, and `resume` goes on
    with them.
    """
    return _steer(name, "pause", lambda control, ledger: control.pause(ledger, "by gridless pause"))


@click.command()
@click.argument("name", metavar="STUDY")
def resume(name: str) -> int:
    """Put a paused or cancelled STUDY back on the queue."""
    return _steer(name, "resume", lambda control, ledger: control.resume(ledger))


@click.command()
@click.argument("name", metavar="STUDY")
def cancel(name: str) -> int:
    """End STUDY: what runs or waits becomes PRUNED, what ended stays, and no new trial is
    started.
    """
    from search.worker.trial_files import drop_checkpoints

    def end(control: Any, ledger: "Ledger") -> "QueueState":
        state: QueueState = control.cancel(ledger)
        drop_checkpoints(ledger.name, ledger.trials())
        return state

    return _steer(name, "cancel", end)


def _steer(name: str, verb: str, act: "Callable[[Any, Ledger], QueueState]") -> int:
    from search.paths import storage_url
    from search.study.storage import steering as control
    from search.study.storage.ledger import Ledger, finals_of
    from search.study.storage.optuna_storage import LedgerStorage

    storage = LedgerStorage(storage_url())
    ledgers = [
        Ledger(storage, name),
        *(Ledger(storage, final) for final in finals_of(storage, [name])),
    ]
    states = {ledger.name: act(control, ledger) for ledger in ledgers}
    for study, state in states.items():
        echo(f"{study}: {state}")
    goal = {"pause": "paused", "resume": "open", "cancel": "cancelled"}[verb]
    if goal not in states.values():
        raise InputError(f"study {name!r} is {states[name]}, so there is nothing to {verb}")
    return 0


@click.group()
def storage() -> None:
    """The studies' database."""


@storage.command()
def upgrade() -> None:
    """Carry studies of earlier versions over to this one, after a copy of an SQLite database was
    made.
    """
    from search.paths import storage_url
    from search.study.storage.upgrade import upgrade as carry_over

    for line in carry_over(storage_url()):
        echo(line)


COMMANDS = (worker, status, pause, resume, cancel, storage)
