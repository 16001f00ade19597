"""`gridless worker`, `status`, `pause`, `resume`, `cancel` and `storage`: studies on the queue and who serves them."""

import json
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from search.cli.common import crew_options, sayer
from search.errors import InputError, RetryLaterError, StudyError

if TYPE_CHECKING:
    from search.study.ledger import Ledger
    from search.study.queue import QueueState

_EPILOG = """\b
Examples:
  gridless worker                              # one per GPU, or per CPU core, until Ctrl-C or SIGTERM
  gridless worker --until-idle --gpus 0,2
  gridless worker --trials-per-gpu 4
  gridless worker --engine ray --address auto
"""
_TICK_S = 1.0
_REFRESH_S = 2.0


@click.command(epilog=_EPILOG)
@crew_options
@click.option("--study", "studies", multiple=True, metavar="NAME", help="Serve these studies only; repeatable.")
@click.option("--until-idle", is_flag=True, help="End once nothing is left to do.")
@click.option("--no-mlflow", is_flag=True, help="Do not mirror trials to MLflow.")
@click.option("--quiet", is_flag=True, help="No progress.")
def worker(
    studies: tuple[str, ...], until_idle: bool, no_mlflow: bool, quiet: bool, engine: str, address: str | None,
    **flags: Any,
) -> int:  # fmt: skip
    """Serve the studies on the queue, with one worker process per GPU, until told to stop.

    SIGTERM lets every trial end its epoch, gives it back and exits 0 in seconds; another worker goes on with it.
    """
    from search.places import home
    from search.study.database import shown_url
    from search.worker.mirror import DRAIN_WAIT_S, HURRIED_WAIT_S, end_mirror, follow, home_mirror
    from search.worker.order import Order
    from search.worker.staff import staffed

    say = sayer(quiet)
    settings, crew, storage = _checked(flags, studies)
    folder = home() / ".workers" / socket.gethostname()  # several machines or containers may share a home
    mirror = None if no_mlflow else follow(home_mirror(str(home())), folder / "logs" / "mlflow.log")
    drain_s = HURRIED_WAIT_S
    try:
        signal.signal(signal.SIGTERM, _terminate)
        with staffed(
            crew, settings, folder, holder="gridless worker", say=say, engine=engine, address=address,
            mlflow=not no_mlflow, for_ever=not until_idle,
        ) as workers:  # fmt: skip
            workers.go(Order(storage.url, studies or None, until_idle, mlflow=not no_mlflow))
            where = f"{len(crew.devices)} × {crew.devices[0].name}" if engine == "local" else "Ray"
            say(f"serving {shown_url(storage.url)} on {where}; logs in {folder / 'logs'}")
            while workers.check():
                time.sleep(_TICK_S)
            trouble, drain_s = workers.trouble(), DRAIN_WAIT_S
    except _TerminatedError:
        say("stopped")
        return 0
    finally:
        if mirror:
            end_mirror(mirror, drain_s)
    if trouble:
        raise StudyError(trouble)
    return 0


class _TerminatedError(Exception):
    """SIGTERM: for a service the usual way to end."""


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _TerminatedError


def _checked(flags: dict[str, Any], studies: tuple[str, ...]) -> tuple[Any, Any, Any]:
    """Settings, crew and storage; every problem of every part in one error."""
    from search.places import check_artifacts, check_home, storage_url
    from search.study.ledger import Ledger
    from search.study.spec import settings_for
    from search.study.storage import LedgerStorage
    from search.worker.prepare import crew_for

    settings, problems = settings_for("default", flags)
    problems += [p for p in (check_home() or check_artifacts(),) if p]
    if settings is None or problems:
        raise InputError(problems)
    crew, storage = crew_for(settings), LedgerStorage(storage_url())
    for name in studies:
        Ledger(storage, name)
    return settings, crew, storage


@click.command()
@click.argument("names", nargs=-1, metavar="[STUDY]…")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(names: tuple[str, ...], watch: bool, as_json: bool) -> int:
    """Show the studies on the queue, their trials and rates, and the workers."""
    from datetime import datetime

    from rich.console import Console
    from rich.live import Live

    from search.places import storage_url
    from search.status import StatusReader, as_dict, render_status
    from search.study.storage import LedgerStorage
    from search.worker.patience import grace_s

    reader = StatusReader(LedgerStorage(storage_url()), names)
    if as_json:
        click.echo(json.dumps(as_dict(reader.read(datetime.now())), indent=2))
        return 0
    console = Console(width=None if sys.stdout.isatty() else 140)
    if not watch:
        console.print(render_status(reader.read(datetime.now()), grace_s=grace_s()))
        return 0
    with Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                live.update(render_status(reader.read(datetime.now()), grace_s=grace_s()), refresh=True)
            except RetryLaterError as error:
                live.update(f"the storage is out of reach: {error}", refresh=True)
            time.sleep(_REFRESH_S)


@click.command()
@click.argument("name", metavar="STUDY")
def pause(name: str) -> int:
    """Take STUDY off the queue: running trials are given back within seconds, and `resume` goes on with them."""
    return _steer(name, "pause", lambda control, ledger: control.pause(ledger, "by gridless pause"))


@click.command()
@click.argument("name", metavar="STUDY")
def resume(name: str) -> int:
    """Put a paused or cancelled STUDY back on the queue."""
    return _steer(name, "resume", lambda control, ledger: control.resume(ledger))


@click.command()
@click.argument("name", metavar="STUDY")
def cancel(name: str) -> int:
    """End STUDY: what runs or waits becomes PRUNED, what ended stays, and no new trial is started."""
    return _steer(name, "cancel", lambda control, ledger: control.cancel(ledger))


def _steer(name: str, verb: str, act: "Callable[[Any, Ledger], QueueState]") -> int:
    from search.places import storage_url
    from search.study import control
    from search.study.ledger import Ledger
    from search.study.storage import LedgerStorage

    state = act(control, Ledger(LedgerStorage(storage_url()), name))
    click.echo(f"{name}: {state}")
    wanted = {"pause": "paused", "resume": "open", "cancel": "cancelled"}[verb]
    if state != wanted:
        raise InputError(f"study {name!r} is {state}, so there is nothing to {verb}")
    return 0


@click.group()
def storage() -> None:
    """The studies' database."""


@storage.command()
def upgrade() -> None:
    """Carry studies of earlier versions over to this one, after a copy of an SQLite database was made."""
    from search.places import storage_url
    from search.study.upgrade import upgrade as carry_over

    for line in carry_over(storage_url()):
        click.echo(line)


COMMANDS = (worker, status, pause, resume, cancel, storage)
