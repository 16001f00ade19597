"""What commands share."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from search.text import cut, visible
from search.worker.engines import ENGINES

if TYPE_CHECKING:
    from search.study.spec import StudySpec

INTERRUPTED = 130
F = TypeVar("F", bound=Callable[..., Any])


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
    best = "the best setting" if rule.finalists == 1 else f"the {rule.finalists} best settings"
    if rule.finalists is None:
        best = "as many of the best settings as take about as long again as the search"
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


def _all(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


resize_option = click.option(
    "--resize",
    metavar="WIDTHxHEIGHT",
    help="Bring all images to one size, such as 64x64; the same as DATA@64x64.",
)

study_options = _all(
    click.argument("model"),
    click.argument("data"),
    click.option(
        "--n-trials", help="Settings to try in all; more than before goes on with a study."
    ),
    click.option("--epochs", help="The most epochs that a trial may train [the space's largest]."),
    click.option(
        "--timeout", "timeout_s", help="Pause after this many seconds; the same command goes on."
    ),
    click.option(
        "--trial-timeout", "trial_timeout_s", help="Fail a trial that takes more seconds [a day]."
    ),
    click.option("--budget", help="Compute to spend, in full trainings."),
    click.option("--seed", help="Seed of the whole study."),
    click.option("--name", help="The study's name [MODEL-DATA]."),
    click.option("--strategy", help="How settings are chosen and epochs shared out."),
    click.option(
        "--warm-start",
        metavar="STUDY|auto|none",
        help="Begin with the best settings of another study, or of all.",
    ),
    click.option("--precision", help="float32, mixed_bfloat16 or mixed_float16."),
    click.option(
        "--deterministic",
        is_flag=True,
        default=None,
        help="Repeatable operations on GPUs, too; on CPUs all are.",
    ),
    click.option(
        "--finalists",
        help=(
            "The best settings to train again and score on the test set; 0 for none [as many as the"
            " search's own time pays for, and the baseline]."
        ),
    ),
    click.option("--n-replicates", help="Fresh seeds that each finalist is trained on [3]."),
    click.option(
        "--stop-when-flat",
        is_flag=True,
        default=None,
        help="End once more promises less than noise.",
    ),
    resize_option,
    click.option(
        "--space",
        "space_file",
        type=click.Path(path_type=Path),
        help="A space file [spaces/MODEL.yaml].",
    ),
    click.option(
        "--try",
        "tries",
        multiple=True,
        metavar="NAME=VALUE,…",
        help="Run this setting first; repeatable.",
    ),
    click.option(
        "--fix", "fixes", multiple=True, metavar="NAME=VALUE", help="Pin a parameter; repeatable."
    ),
    click.option(
        "--allow-changed-code",
        is_flag=True,
        help="Go on though the model's own files have changed.",
    ),
    click.option("--dry-run", is_flag=True, help="Check everything and show what would be done."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    click.option("--quiet", is_flag=True, help="No progress."),
)
"""What a study is."""

crew_options = _all(
    click.option(
        "--workers", help="Worker processes [one per GPU, or one per CPU core up to four]."
    ),
    click.option("--threads", help="CPU threads per worker."),
    click.option("--gpus", metavar="all|0,2|none", help="The GPUs to use [all that are free]."),
    click.option("--trials-per-gpu", help="Trials on one GPU at the same time [1]."),
    click.option(
        "--share-gpus", is_flag=True, default=None, help="Take GPUs that are in use, too."
    ),
    click.option(
        "--engine",
        type=click.Choice(list(ENGINES)),
        default="local",
        help="Where workers run [local].",
    ),
    click.option("--address", help="With --engine ray: the cluster's head, or auto."),
)
"""Who works on it, and where."""
