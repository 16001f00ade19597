"""`gridless study` and `gridless report`."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from search.cli.common import INTERRUPTED, sayer
from search.errors import StudyError

if TYPE_CHECKING:
    from search.study.records import StudyRecord
    from search.worker.local import LocalWorkers
    from search.worker.prepare import Checked, Plan

_EPILOG = """\b
Examples:
  gridless study mlp digits
  gridless study convNN fashion --n-trials 40 --epochs 10
  gridless study convNN path/to/own.npz --fix optimizer=sgd --try lr=0.1,units=200
  gridless study lab_cnn path/to/folder --precision mixed_bfloat16
"""


@click.command(epilog=_EPILOG)
@click.argument("model")
@click.argument("data")
@click.option("--n-trials", help="Settings to try in all; more than before goes on with a study.")
@click.option("--epochs", help="The most epochs that a trial may train [the space's largest].")
@click.option("--timeout", "timeout_s", help="Pause after this many seconds; the same command goes on.")
@click.option("--trial-timeout", "trial_timeout_s", help="Fail a trial that takes more seconds [a day].")
@click.option("--budget", help="Compute to spend, in full trainings.")
@click.option("--workers", help="Worker processes [one per GPU, or one per CPU core up to four].")
@click.option("--threads", help="CPU threads per worker.")
@click.option("--seed", help="Seed of the whole study.")
@click.option("--name", help="The study's name [MODEL-DATA].")
@click.option("--strategy", help="How settings are chosen and epochs shared out.")
@click.option("--precision", help="float32, mixed_bfloat16 or mixed_float16.")
@click.option("--space", "space_file", type=click.Path(path_type=Path), help="A space file [spaces/MODEL.yaml].")
@click.option("--try", "tries", multiple=True, metavar="NAME=VALUE,…", help="Run this setting first; repeatable.")
@click.option("--fix", "fixes", multiple=True, metavar="NAME=VALUE", help="Pin a parameter; repeatable.")
@click.option("--dry-run", is_flag=True, help="Check everything and show what would be done.")
@click.option("--no-mlflow", is_flag=True, help="Do not mirror the study to MLflow.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def study(
    model: str, data: str, space_file: Path | None, tries: tuple[str, ...], fixes: tuple[str, ...],
    dry_run: bool, no_mlflow: bool, as_json: bool, quiet: bool, **flags: str | None,
) -> int:  # fmt: skip
    """Search MODEL's settings on DATA, or go on with a search, and write its leaderboard and report.

    MODEL is a name of `gridless models` or your own package.module:function; DATA is a name of
    `gridless datasets`, or the path of an .npz file or of a folder of images by class.
    """
    from search.worker.local import LocalWorkers
    from search.worker.prepare import Request, check, make_plan

    say = sayer(quiet)
    checked = check(Request(model, data, flags, space_file, tries, fixes), say)
    if dry_run:
        plan = make_plan(checked, say)
        for notice in plan.notices:
            say(f"note: {notice}")
        click.echo(json.dumps(plan.spec.model_dump(mode="json"), indent=2) if as_json else _describe(plan))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C
    workers = LocalWorkers(checked.folder, checked.devices, checked.threads)
    workers.start()  # they load their framework while the plan is made
    try:
        return _search(checked, workers, say, mlflow=not no_mlflow, as_json=as_json, quiet=quiet)
    finally:
        workers.stop()


def _search(
    checked: "Checked", workers: "LocalWorkers", say: Callable[[str], None], *, mlflow: bool, as_json: bool, quiet: bool
) -> int:
    from search.live import LiveView
    from search.report import write_report
    from search.study.reading import read_study
    from search.worker.prepare import make_plan, open_study
    from search.worker.run import DRAIN_WAIT_S, HURRIED_WAIT_S, End, Mirror, run

    plan = make_plan(checked, say)
    for notice in plan.notices:
        say(f"note: {notice}")
    ledger = open_study(plan, checked.storage)
    say(_describe(plan))
    mirror = Mirror.start(plan, ledger.uid) if mlflow else None
    end, trouble = None, None
    try:
        with LiveView(plan.spec, quiet=quiet) as view:
            limit_s = plan.spec.timeout_s
            show = view.update
            end = run([plan], [ledger], workers, mlflow=mlflow, show=lambda found: show(found[0]), timeout_s=limit_s)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    except StudyError as error:
        trouble = str(error)
    record = read_study(ledger.storage, plan.spec.name)
    paths = write_report(record, plan.folder)
    _print_result(record, paths, as_json=as_json, again=end is not End.DONE)
    if mirror:
        wait_s = DRAIN_WAIT_S if end else HURRIED_WAIT_S
        artifacts = [paths.leaderboard, paths.page, *([paths.classes] if paths.classes else [])]
        missing = mirror.finish(record.trials, artifacts, wait_s=wait_s)
        if missing:
            remedy = f"`gridless sync {record.name}` sends the rest"
            click.echo(f"note: MLflow has not everything yet ({missing}); {remedy}", err=True)
    if trouble:
        click.echo(f"error: {trouble}", err=True)
        return 1
    if end is None:
        return INTERRUPTED
    return 0 if end is End.TIMEOUT or any(t.val_accuracy is not None for t in record.trials) else 1


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def report(name: str, as_json: bool) -> None:
    """Write leaderboard.csv, report.html and figures/ of study NAME again."""
    from search.places import home, storage_url
    from search.report import write_report
    from search.study.reading import read_study
    from search.study.storage import LedgerStorage

    record = read_study(LedgerStorage(storage_url()), name)
    _print_result(record, write_report(record, home() / name), as_json=as_json, again=False)


def _print_result(record: "StudyRecord", paths: Any, *, as_json: bool, again: bool) -> None:
    from rich.console import Console

    from search.report import leaderboard_table

    if as_json:
        click.echo(json.dumps({"study": record.name, **{k: str(v) for k, v in paths._asdict().items() if v}}))
        return
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(leaderboard_table(record))
    console.print(f"leaderboard  {paths.leaderboard}", highlight=False, soft_wrap=True)
    console.print(f"report       {paths.page}", highlight=False, soft_wrap=True)
    console.print("MLflow UI    gridless ui", highlight=False)
    if again:
        click.echo("the same command goes on where this one stopped", err=True)


def _describe(plan: "Plan") -> str:
    spec, data = plan.spec, plan.data
    n_params = len(spec.space["params"])
    limits = [f"{spec.n_trials} trials", f"up to {spec.epochs} epochs each"]
    limits += [f"{spec.timeout_s:g} s"] if spec.timeout_s else []
    limits += [f"{spec.budget:g} full trainings"] if spec.budget else []
    shape = "×".join(map(str, data.input_shape))
    rows = {
        "study": f"{spec.name} ({'goes on' if plan.resumes else 'new'}) in {plan.folder}",
        "model": spec.model,
        "data": f"{spec.data}: {data.n_train:,} training, {data.n_val:,} validation and {data.n_test:,} test images "
        f"of {shape}, {data.n_classes} classes",
        "space": f"{n_params} parameters, {plan.spec.search_space.n_combinations:,} combinations in a full grid",
        "budget": ", ".join(limits),
        "strategy": f"{spec.strategy}, seed {spec.seed}",
        "workers": f"{spec.workers} × {plan.devices[0].name}, {spec.threads} threads each",
    }
    return "\n".join(f"{name:<9} {text}" for name, text in rows.items())


COMMANDS = (study, report)
