"""`gridless storage upgrade`."""

import click

from search.cli.common import echo


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


COMMANDS = (storage,)
