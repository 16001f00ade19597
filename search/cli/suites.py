"""`gridless bench` and `gridless compare`."""

import json
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from search.cli.common import INTERRUPTED, crew_options, sayer
from search.errors import StudyError

if TYPE_CHECKING:
    from search.report.comparison_page import ComparisonPaths
    from search.study.ledger import Ledger
    from search.worker.local import Workers
    from search.worker.prepare import Plan
    from search.worker.suite import Bench

_EPILOG = """\b
Examples:
  gridless bench documents --epochs 1 --seeds 1 --only mlp
  gridless bench path/to/suite.yaml --workers 2
  gridless compare documents
"""


@click.command(epilog=_EPILOG)
@click.argument("suite")
@click.option("--seeds", type=int, help="Replicates of each system [the suite's].")
@click.option("--epochs", type=int, help="The most epochs that a system may train [the document's].")
@click.option("--seed", type=int, help="Seed of the whole suite.")
@click.option("--precision", help="float32, mixed_bfloat16 or mixed_float16.")
@click.option("--only", multiple=True, metavar="MODEL", help="Run these models of the suite; repeatable.")
@click.option("--skip", multiple=True, metavar="MODEL", help="Leave these models of the suite out; repeatable.")
@crew_options
@click.option("--name", help="Where results are kept [the suite's name].")
@click.option("--dry-run", is_flag=True, help="Check everything and show what would be done.")
@click.option("--no-mlflow", is_flag=True, help="Do not mirror the studies to MLflow.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def bench(
    suite: str,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    dry_run: bool,
    no_mlflow: bool,
    as_json: bool,
    quiet: bool,
    engine: str,
    address: str | None,
    **flags: Any,
) -> int:
    """Train every system of SUITE on several seeds, score each on the right split once, and compare.

    SUITE is a name in studies/ or the path of a suite file. Running it again goes on where it stopped, and with more
    --seeds adds to what is there.
    """
    from search.worker.staff import staffed
    from search.worker.suite import open_suite, prepare_suite

    say = sayer(quiet)
    found = prepare_suite(suite, flags, only, skip, say)
    found.first_plans()  # a study of an earlier command that can't go on is told now
    if dry_run:
        click.echo(json.dumps(found.suite.model_dump(mode="json"), indent=2) if as_json else _describe(found))
        return 0
    say(_describe(found))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C
    end = 0
    try:
        for plans in (found.first_plans, found.final_plans):
            if todo := [plan for plan in plans() if not found.is_done(plan)]:
                with staffed(
                    found.crew, found.settings, found.folder, holder=found.suite.name, say=say, engine=engine,
                    address=address, mlflow=not no_mlflow,
                ) as workers:  # fmt: skip
                    _run(found, todo, workers, mlflow=not no_mlflow, quiet=quiet)
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on where this one stopped", err=True)
        end = INTERRUPTED
    except StudyError as error:
        click.echo(f"error: {error}", err=True)
        end = 1
    open_suite(found, [])
    return end or _compare(found.suite.name, as_json=as_json)


def _run(found: "Bench", plans: "Sequence[Plan]", workers: "Workers", *, mlflow: bool, quiet: bool) -> None:
    from search.live import SuiteView
    from search.study.reading import read_study
    from search.worker.mirror import conclude, introduce, send
    from search.worker.run import run
    from search.worker.suite import open_suite

    ledgers: Sequence[Ledger] = open_suite(found, plans)
    if mlflow:
        for plan, ledger in zip(plans, ledgers, strict=True):
            introduce(plan.spec, ledger.uid, plan.crew.devices[0].name)
    with SuiteView([plan.spec for plan in plans], quiet=quiet) as view:
        run(ledgers, workers, mlflow=mlflow, show=view.update)
    if mlflow:
        for plan in plans:
            conclude(plan.folder / "outbox", read_study(found.storage, plan.spec.name).trials, [])
            if missing := send(plan.folder / "outbox")["error"]:
                remedy = f"`gridless sync {plan.spec.name}` sends the rest"
                click.echo(f"note: MLflow has not everything yet ({missing}); {remedy}", err=True)


@click.command(epilog=_EPILOG)
@click.argument("suite")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def compare(suite: str, as_json: bool) -> int:
    """Write the comparison of a SUITE that was run: documents' figures beside ours, with 95 % intervals.

    It reads what is stored and trains nothing.
    """
    return _compare(suite, as_json=as_json)


def _compare(name: str, *, as_json: bool) -> int:
    from search.places import home, storage_url
    from search.report.comparison_page import write_comparison
    from search.report.suites import comparison_facts, comparison_rows
    from search.study.storage import LedgerStorage
    from search.study.suite import stored_suite, suite_name

    title = suite_name(name)
    suite = stored_suite(home() / title)
    storage = LedgerStorage(storage_url())
    rows = comparison_rows(suite, storage)
    paths = write_comparison(title, rows, home() / title, facts=comparison_facts(suite, storage))
    _print(paths, as_json=as_json)
    return 0 if any(row.values for row in rows) else 1


def _print(paths: "ComparisonPaths", *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({k: str(v) for k, v in paths._asdict().items()}))
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(paths.markdown.read_text(encoding="utf-8"), highlight=False, markup=False, soft_wrap=True)
    for name, path in paths._asdict().items():
        console.print(f"{name:<9} {path}", highlight=False, soft_wrap=True)


def _describe(found: "Bench") -> str:
    lines = [f"suite     {found.suite.name} in {found.folder}"]
    for s in found.chosen:
        label = f" ({s.label})" if s.label else ""
        lines.append(
            f"system    {s.model}{label} on {s.data}: {s.seeds} × {s.epochs} epochs, scored on the {s.evaluate} images"
        )
    lines.append(
        f"workers   {len(found.crew.devices)} × {found.crew.devices[0].name}, {found.crew.threads} threads each"
    )
    return "\n".join(lines)


COMMANDS = (bench, compare)
