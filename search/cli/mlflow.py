"""`gridless sync`, `register` and `ui`: what is mirrored to MLflow."""

import os
import sys
from contextlib import suppress

import click

from search.cli.common import echo
from search.errors import InputError


@click.command()
@click.argument("name")
def sync(name: str) -> int:
    """Send to MLflow what has not arrived there yet of study NAME and its finalists."""
    from search.paths import home, storage_url
    from search.report.study_report import report_study
    from search.study.storage.optuna_storage import LedgerStorage
    from search.tracking.mirror import conclude, send
    from search.words import count

    _check_outbox(name)
    with suppress(InputError):  # an outbox may outlive its study
        conclude(report_study(LedgerStorage(storage_url()), name, home() / name))
    echo("sending to MLflow …", err=True)
    result = send(name)
    echo(
        f"sent {count(result.n_sent, 'event')}, {'?' if result.n_left is None else result.n_left}"
        " left"
    )
    if result.error:
        echo(f"error: not everything was sent: {result.error}", err=True)
        return 1
    return 0


@click.command()
@click.argument("name")
def register(name: str) -> int:
    """Make the network of study NAME's best finalist the model that MLflow serves as
    models:/NAME@champion.
    """
    from search.tracking.mirror import register as registered

    _check_outbox(name)
    echo("loading the network and MLflow …", err=True)
    version, trouble = registered(name)
    echo(
        f"error: {trouble}" if trouble else f"models:/{name}@champion is version {version}",
        err=bool(trouble),
    )
    return 1 if trouble else 0


def _check_outbox(study: str) -> None:
    """Raise InputError where nothing of `study` is kept for MLflow on this machine."""
    from search.paths import home
    from search.tracking.mirror import outboxes_of

    if not outboxes_of(study)[0].is_dir():
        rule = (
            f"study {study!r} has no outbox in {home() / study}, as one that ran with --no-mlflow"
            " or elsewhere"
        )
        raise InputError(f"{rule}; check the name and GRIDLESS_HOME")


@click.command()
@click.option("--port", default="5000", show_default=True, help="Port on this machine.")
def ui(port: str) -> None:
    """Open the MLflow UI on what was tracked here."""
    from search.paths import home
    from search.tracking.uri import default_uri

    arguments = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1"]
    arguments += ["--backend-store-uri", default_uri(home()), "--port", port]
    os.execv(sys.executable, arguments)  # noqa: S606


COMMANDS = (sync, register, ui)
