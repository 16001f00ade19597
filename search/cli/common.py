"""What commands share."""

from collections.abc import Callable

import click

INTERRUPTED = 130


def sayer(quiet: bool) -> Callable[[str], None]:
    """A function that tells the user what is going on, or nobody."""
    return (lambda _text: None) if quiet else (lambda text: click.echo(text, err=True))
