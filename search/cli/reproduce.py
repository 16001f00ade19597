"""`gridless reproduce`."""

import json
import signal
import sys
from math import isfinite
from typing import TYPE_CHECKING, Any

import click

from search.cli.common import echo, sayer
from search.cli.options import json_option, quiet_option
from search.records import State

if TYPE_CHECKING:
    from rich.table import Table

    from search.actions.recorded_trial import Recorded
    from search.actions.reproduce import Reproduced
    from search.analysis.reproduction import Compared, Deviation

_EPILOG = """\b
Examples:
  gridless reproduce mlp-digits 3
  gridless reproduce convNN-fashion 12 --replicate 0
  gridless reproduce convNN-fashion.final 4 --tolerance 0.1 --json
"""
_UNKNOWN = "–"


@click.command(epilog=_EPILOG)
@click.argument("study")
@click.argument("trial", type=int)
@click.option(
    "--replicate",
    type=int,
    metavar="K",
    help="The trial's replicate K, from 0, instead of the trial.",
)
@click.option(
    "--tolerance",
    type=float,
    default=None,
    metavar="POINTS",
    help="How far apart numbers may be and still pass for equal, in percentage points [0.5].",
)
@click.option(
    "--gpus",
    metavar="all|0,2|none",
    help="The GPU to use [one like the recorded, if it was on one].",
)
@click.option("--share-gpus", is_flag=True, help="Take a GPU that is in use, too.")
@json_option
@quiet_option
def reproduce(
    study: str,
    trial: int,
    replicate: int | None,
    tolerance: float | None,
    gpus: str | None,
    share_gpus: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Train TRIAL of STUDY again from its record, and say whether the same numbers come out.

    Params, seed, split, precision and the number of epochs are those that are stored; the data must
    be the same to the last bit. Nothing stored is changed. Exit codes: 0 bit-equal or equal within
    the tolerance, 1 different, 2 the input was wrong.
    """
    from search.actions.recorded_trial import find_recorded
    from search.actions.reproduce import reproduce as train_again
    from search.analysis.reproduction import TOLERANCE_POINTS, Verdict
    from search.paths import storage_url
    from search.study.storage.read import open_library

    say = sayer(quiet)
    recorded = find_recorded(open_library(storage_url()), study, trial, replicate)
    say(_describe(recorded))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C
    done = train_again(
        recorded,
        tolerance=TOLERANCE_POINTS if tolerance is None else tolerance,
        gpus=gpus,
        share_gpus=share_gpus,
        show=lambda part: say(f"{part.what} of {recorded.trial.epochs}: {part.verdict}"),
    )
    _print(done, as_json=as_json)
    is_same = done.comparison.verdict is not Verdict.DIFFERENT
    if not is_same and done.again.state == State.FAIL and done.again.log_tail:
        say(f"the last that its process printed:\n{done.again.log_tail.rstrip()}")
    return 0 if is_same else 1


def _describe(recorded: "Recorded") -> str:
    from search.words import count

    trial = recorded.trial
    spec = recorded.spec
    epochs = f"{trial.epochs} of at most {count(trial.total_epochs or 0, 'epoch')}"
    return (
        f"trial {trial.number} of {spec.name} once more: {spec.model} on {spec.data}, {epochs},"
        f" seed {trial.seed}"
    )


def _print(done: "Reproduced", *, as_json: bool) -> None:
    if as_json:
        echo(json.dumps(_as_dict(done), indent=2, allow_nan=False))
        return
    from search.cli.views.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140)
    if done.comparison.parts:
        console.print(_numbers(done))
    for line in _verdict(done):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if done.changes:
        console.print("not here as it was there:", highlight=False)
        console.print(_changes(done))


def _verdict(done: "Reproduced") -> list[str]:
    from search.user_code import code_difference, code_in

    comparison = done.comparison
    recorded = done.recorded
    title = f"trial {recorded.trial.number} of {recorded.spec.name}: {comparison.verdict}"
    lines = [f"{title} (tolerance {comparison.tolerance:g} points)"]
    if comparison.largest:
        what, deviation = comparison.largest
        lines.append(f"largest difference: {_points(deviation)} in {deviation.metric} of {what}")
    if comparison.drifts:
        lines.append(
            "it begins with the last digits and grows by the epoch, as other rounding does; see"
            " what differs"
        )
    lines += comparison.problems
    if recorded.n_environments > 1:
        lines.append(
            f"it was trained in parts, on {recorded.n_environments} different environments; the"
            " last counts here"
        )
    here = {c.name: c.here for c in done.changes if c.here}
    if changes := code_difference(
        code_in({c.name: c.recorded for c in done.changes if c.recorded}), code_in(here)
    ):
        lines.append(f"the code of the model is not what the trial ran with ({changes})")
    if not done.changes:
        lines.append("the environment is the recorded one: packages, code, CPU, threads, device")
    return lines


def _numbers(done: "Reproduced") -> "Table":
    from rich.table import Table

    trial = done.recorded.trial
    again = done.again
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("", "accuracy", "again", "val_accuracy", "again", "largest difference", "verdict"):
        table.add_column(name, justify="left" if name in {"", "verdict"} else "right")
    for part, then, now in zip(done.comparison.parts, trial.curve, again.curve, strict=False):
        names = ("accuracy", "val_accuracy")
        values: list[float | None] = []
        for name in names:
            values += [then.values.get(name), now.values.get(name)]
        table.add_row(part.what, *map(_percent, values), *_verdict_cells(part))
    if trial.evaluation and again.evaluation:
        values = [trial.evaluation.accuracy, again.evaluation.accuracy, None, None]
        part = done.comparison.parts[-1]
        table.add_row(f"{part.what} images", *map(_percent, values), *_verdict_cells(part))
    return table


def _verdict_cells(part: "Compared") -> tuple[str, str]:
    deviation = _UNKNOWN
    if part.largest:
        deviation = f"{_points(part.largest)} ({part.largest.metric})"
    return deviation, str(part.verdict)


def _changes(done: "Reproduced") -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("", "recorded", "here"):
        table.add_column(name, overflow="fold")
    for change in done.changes:
        table.add_row(change.name, change.recorded or "none recorded", change.here or _UNKNOWN)
    return table


def _points(deviation: "Deviation") -> str:
    return f"{deviation.points:.2g} points"


def _percent(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{100 * value:.2f} %"


def _as_dict(done: "Reproduced") -> dict[str, Any]:
    comparison = done.comparison
    recorded = done.recorded
    largest = comparison.largest
    return {
        "study": recorded.spec.name,
        "trial": recorded.trial.number,
        "state": recorded.trial.state,
        "verdict": str(comparison.verdict),
        "drifts": comparison.drifts,
        "tolerance_points": comparison.tolerance,
        "largest": {"what": largest[0], **_deviation(largest[1])} if largest else None,
        "parts": [
            {
                "what": p.what,
                "verdict": str(p.verdict),
                "deviations": [_deviation(d) for d in p.deviations],
            }
            for p in comparison.parts
        ],
        "problems": list(comparison.problems),
        "environment": [
            {"name": c.name, "recorded": c.recorded, "here": c.here} for c in done.changes
        ],
        "seed": recorded.trial.seed,
        "precision": recorded.spec.precision,
        "data_digest": recorded.spec.data_digest,
    }


def _deviation(deviation: "Deviation") -> dict[str, Any]:
    values = {"recorded": deviation.recorded, "again": deviation.again, "points": deviation.points}
    # What is no number has no place in JSON.
    return {"metric": deviation.metric} | {
        k: v if v is None or isfinite(v) else None for k, v in values.items()
    }


COMMANDS = (reproduce,)
