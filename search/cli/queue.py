"""`gridless status`, `pause`, `resume` and `cancel`: the studies on the queue."""

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from search.cli.common import echo
from search.errors import InputError, RetryLaterError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from search.study.storage.ledger import Ledger
    from search.study.storage.queue import QueueState

N_ENDED = 20
"""Of the studies that are over, so many are shown."""
_REFRESH_S = 2.0


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
    from datetime import UTC, datetime

    from rich.live import Live

    from search.cli.views.console import Console
    from search.cli.views.status import as_dict, render_status
    from search.cli.views.status_reader import StatusReader
    from search.paths import room_problem, storage_url
    from search.retry_limits import grace_s
    from search.study.storage.optuna_storage import LedgerStorage

    if limit is None:
        limit = 0 if as_json else N_ENDED
    reader = StatusReader(LedgerStorage(storage_url()), names, states=states, limit=limit or None)
    if as_json:
        echo(json.dumps(as_dict(reader.read(datetime.now(UTC))), indent=2))
        return 0
    console = Console(width=None if sys.stdout.isatty() else 140)
    if problem := room_problem():
        click.echo(f"note: {problem}", err=True)

    def shown() -> "RenderableType":
        return render_status(reader.read(datetime.now(UTC)), grace_s=grace_s(), width=console.width)

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
    from search.study.storage.study_state import pause as pause_study

    return _steer(name, "pause", lambda ledger: pause_study(ledger, "by gridless pause"))


@click.command()
@click.argument("name", metavar="STUDY")
def resume(name: str) -> int:
    """Put a paused or cancelled STUDY back on the queue."""
    from search.study.storage.study_state import resume as resume_study

    return _steer(name, "resume", resume_study)


@click.command()
@click.argument("name", metavar="STUDY")
def cancel(name: str) -> int:
    """End STUDY: what runs or waits becomes PRUNED, what ended stays, and no new trial is
    started.
    """
    from search.study.storage.study_state import cancel as cancel_study
    from search.worker.trial_files import drop_checkpoints

    def end(ledger: "Ledger") -> "QueueState":
        state = cancel_study(ledger)
        drop_checkpoints(ledger.name, ledger.trials())
        return state

    return _steer(name, "cancel", end)


def _steer(name: str, verb: str, act: "Callable[[Ledger], QueueState]") -> int:
    from search.paths import storage_url
    from search.study.storage.ledger import Ledger, finals_of
    from search.study.storage.optuna_storage import LedgerStorage

    storage = LedgerStorage(storage_url())
    ledgers = [
        Ledger(storage, name),
        *(Ledger(storage, final) for final in finals_of(storage, [name])),
    ]
    states = {ledger.name: act(ledger) for ledger in ledgers}
    for study, state in states.items():
        echo(f"{study}: {state}")
    goal = {"pause": "paused", "resume": "open", "cancel": "cancelled"}[verb]
    if goal not in states.values():
        raise InputError(f"study {name!r} is {states[name]}, so there is nothing to {verb}")
    return 0


COMMANDS = (status, pause, resume, cancel)
