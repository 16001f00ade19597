"""`gridless worker`: serves the studies on the queue."""

import signal
import socket
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
TICK_S = 1.0
"""Seconds between two looks at the workers."""


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
@click.option("--no-mlflow", is_flag=True, help="Mirror no studies from here.")
@click.option(
    "--allow-pickled",
    is_flag=True,
    help="Run builders that Python programs stored with their studies: trust all that write there.",
)
@quiet_option
def worker(
    options: CrewOptions,
    *,
    studies: tuple[str, ...],
    until_idle: bool,
    no_mlflow: bool,
    allow_pickled: bool,
    quiet: bool,
) -> int:
    """Serve the studies on the queue, with one worker process per GPU, until told to stop.

    SIGTERM lets every trial end its epoch, gives it back and exits 0 in seconds, or 143 with
    --until-idle, since something is left to do; another worker goes on with it.
    """
    from search.paths import home
    from search.worker.engines.started_mirror import started_mirror
    from search.worker.engines.started_workers import started_workers
    from search.worker.engines.work_order import WorkOrder

    say = sayer(quiet)
    settings, crew, storage = _checked(options, studies)
    folder = (
        home() / ".workers" / socket.gethostname()
    )  # several machines or containers may share a home
    try:
        signal.signal(signal.SIGTERM, _terminate)
        with (
            started_mirror(
                storage.url, folder, wanted=not no_mlflow, for_ever=not until_idle
            ) as keep_mirror,
            started_workers(
                crew,
                settings,
                folder,
                holder="gridless worker",
                say=say,
                engine=options.engine,
                address=options.address,
                for_ever=not until_idle,
            ) as workers,
        ):
            tell_ended = _teller(storage)
            mirrors = not no_mlflow
            workers.go(
                WorkOrder(
                    storage.url,
                    studies or None,
                    until_idle,
                    reports=True,
                    mirrors=mirrors,
                    allows_pickled=allow_pickled,
                )
            )
            device = crew.devices[0].name
            where = f"{len(crew.devices)} × {device}" if options.engine == "local" else device
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
    from search.training.kept_network import FILE, WEIGHTS

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
    from search.paths import check_artifacts, check_home, storage_url
    from search.retry_limits import limit_problems
    from search.study.read_settings import settings_for
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


COMMANDS = (worker,)
