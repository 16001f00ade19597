"""The command line: parses, prints, exits. Results go to stdout, progress and notices to stderr.

One module per group of commands; each command imports what it needs, so that `--help` is quick.
"""

import logging
import sys

import click

from search.cli import (
    bench,
    bench_peers,
    catalogue,
    compare,
    delete,
    imports,
    predict,
    queue,
    reports,
    reproduce,
    simulate,
    storage,
    studies,
    trackers,
    worker,
)
from search.cli.common import INTERRUPTED, echo
from search.errors import GridlessError, InputError
from search.registry import keep_folder_last
from search.secret import hide_environment
from search.text import visible
from search.training.memory import LEAST_ADDRESS_SPACE_MB, address_space_mb

_EPILOG = """\b
Examples:
  gridless study mlp digits
  gridless study convNN fashion --n-trials 40 --epochs 10
  gridless study convNN path/to/own.npz --fix optimizer=sgd --try lr=0.1,units=200
  gridless space check spaces/convNN.yaml --data fashion
"""


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted.

    A worker with --until-idle that is told to stop exits 143, so that a scheduler starts it again
    elsewhere.
    """
    hide_environment()
    keep_folder_last()
    if logging.lastResort:
        logging.lastResort.setFormatter(_Visible())
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except InputError as error:
        for problem in error.problems:
            echo(f"error: {problem}", err=True)
        sys.exit(2)
    except GridlessError as error:
        echo(f"error: {error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


class _Visible(logging.Formatter):
    """Of warnings that quote names from files."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


@click.group(
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="gridless", prog_name="gridless")
def cli() -> None:
    """Hyperparameter search and benchmarking for Keras image classifiers, without the grid."""
    limit_mb = address_space_mb()
    if limit_mb is not None and limit_mb < LEAST_ADDRESS_SPACE_MB:
        rule = (
            f"`ulimit -v` allows a process {limit_mb:,.0f} MB, and {LEAST_ADDRESS_SPACE_MB:,} MB is"
            " the least"
        )
        raise InputError(
            f"{rule} that the frameworks can be loaded in: raise it, to `unlimited` best"
        )


GROUPS = (
    studies,
    reports,
    queue,
    worker,
    storage,
    bench,
    compare,
    delete,
    predict,
    imports,
    simulate,
    bench_peers,
    reproduce,
    trackers,
    catalogue,
)
"""Modules with COMMANDS."""
for group in GROUPS:
    for command in group.COMMANDS:
        cli.add_command(command)
