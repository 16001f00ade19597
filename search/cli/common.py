"""What commands share."""

import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from search.text import cut, visible

if TYPE_CHECKING:
    from search.study.spec import StudySpec

INTERRUPTED = 130


def sayer(quiet: bool) -> Callable[[str], None]:
    """A function that tells the user what is going on, or nobody."""
    return (lambda _text: None) if quiet else (lambda text: echo(cut(text), err=True))


def echo(text: object = "", *, err: bool = False) -> None:
    """Print `text` without anything in it that steers the terminal."""
    click.echo(visible(str(text)), err=err)


def finalists_words(spec: "StudySpec") -> str:
    """Which settings will be trained again after a search, and what that takes."""
    from search.study.finalist_costs import Rule
    from search.words import count

    rule = Rule.of(dict(spec))
    if rule.finalists == 0:
        return "none are trained again: no test accuracy, and no gain over the baseline is claimed"
    if not spec.has_test:
        return "the best setting is trained again once on all examples, for its network"
    front = " of the front" if len(spec.objective) > 1 else ""
    best = f"the {rule.finalists} best settings{front}"
    if rule.finalists == 1:
        best = f"the best setting{front}"
    if rule.finalists is None:
        best = f"as many of the best settings{front} as take about as long again as the search"
    epochs = f" for its {count(rule.baseline_epochs, 'epoch')}" if rule.baseline_epochs else ""
    return f"{best}, and the baseline{epochs}: {count(rule.n_replicates, 'fresh seed')} each"


def command(verb: str, study: str = "") -> str:
    """How the caller would start `verb`, for `study` if given: by make, or as gridless.

    The Makefile says by GRIDLESS_MAKE which verbs it has a target for.
    """
    if verb in os.environ.get("GRIDLESS_MAKE", "").split():
        return f"make {verb} NAME={study}" if study else f"make {verb}"
    program = "gridless" if shutil.which("gridless") else sys.argv[0]
    return " ".join(filter(None, (program, verb, study)))
