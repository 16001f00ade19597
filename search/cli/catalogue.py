"""`gridless models`, `datasets` and `space check`: what there is to search."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from search.cli.common import echo
from search.cli.options import resize_option
from search.errors import InputError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def models(as_json: bool) -> None:
    """List the models: parameters at the document's setting, its data set and its published
    accuracy.
    """
    from search.training.catalogue import model_rows

    _print_rows(model_rows(lambda text: echo(text, err=True)), as_json)


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


COMMANDS = (models, datasets, space)
