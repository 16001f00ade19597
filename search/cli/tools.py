"""The smaller commands: what there is, spaces, and MLflow."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from search.cli.common import echo
from search.cli.options import resize_option
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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def models(as_json: bool) -> None:
    """List the models: parameters at the document's setting, its data set and its published
    accuracy.
    """
    from search.training.catalogue import model_rows

    echo("building every network to count its parameters …", err=True)
    _print_rows(model_rows(), as_json)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def datasets(as_json: bool) -> None:
    """List the data sets."""
    from search.training.catalogue import dataset_rows

    _print_rows(dataset_rows(), as_json)


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    from rich.table import Table

    from search.cli.views.console import Console

    if as_json:
        echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(
            name, justify="right" if isinstance(rows[0][name], int | float) else "left"
        )
    for row in rows:
        table.add_row(*(_cell(v) for v in row.values()))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['value']:.4f} on {value['split']}"
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)


@click.group()
def space() -> None:
    """Search spaces."""


@space.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--data", default=None, help="Build on this data set [the space's own shape, 28×28×1]."
)
@resize_option
def check(file: Path, data: str | None, resize: str | None) -> int:
    """Lint a space FILE, and build its model at the space's corners."""
    from search.datasets import sized
    from search.training.catalogue import check_space

    if resize and not data:
        raise InputError("--resize: there is no data to be resized; give --data")
    lines, sound = check_space(file, data and sized(data, resize))
    for line in lines:
        echo(line)
    return 0 if sound else 2


COMMANDS = (sync, register, ui, models, datasets, space)
