"""`gridless bench`: runs a suite."""

import json
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from search.cli.common import INTERRUPTED, echo, finalists_words, sayer
from search.cli.options import (
    CrewOptions,
    crew_options,
    dry_run_option,
    given_trackers,
    json_option,
    no_mlflow_option,
    quiet_option,
    setting_option,
)
from search.cli.trackers import tell_missing
from search.errors import InputError, StudyError
from search.study.settings import FINAL

if TYPE_CHECKING:
    from search.actions.plan_study import Plan
    from search.actions.plan_suite import Bench
    from search.actions.run import End
    from search.study.storage.ledger import Ledger
    from search.worker.engines.protocol import Workers

_EPILOG = """\b
Examples:
  gridless bench documents --epochs 1 --seeds 1 --only mlp
  gridless bench quick                      # searches of four models, compared
  gridless bench path/to/suite.yaml --workers 2
"""


@click.command(epilog=_EPILOG)
@click.argument("suite")
@click.option("--seeds", type=int, help="Replicates of each system or finalist [the suite's].")
@click.option(
    "--epochs", type=int, help="The most epochs that a system or trial may train [the document's]."
)
@click.option("--seed", type=int, help="Seed of the whole suite.")
@click.option("--precision", help="float32, mixed_bfloat16 or mixed_float16.")
@click.option(
    "--only", multiple=True, metavar="MODEL", help="Run these models of the suite; repeatable."
)
@click.option(
    "--skip",
    multiple=True,
    metavar="MODEL",
    help="Leave these models of the suite out; repeatable.",
)
@crew_options
@click.option("--name", help="Where results are kept [the suite's name].")
@dry_run_option
@setting_option("tracker")
@no_mlflow_option
@json_option
@quiet_option
def bench(
    crew: CrewOptions,
    *,
    suite: str,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    dry_run: bool,
    tracker: tuple[str, ...],
    no_mlflow: bool,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Train every system of SUITE on several seeds, score each on the right split once, and
    compare.

    SUITE is a name in studies/ or the path of a suite file. Systems have fixed settings or are
    searched. Running it again goes on where it stopped, and with more --seeds adds to what is
    there.
    """
    from search.actions.check_suite import prepare_suite
    from search.actions.plan_suite import open_suite
    from search.tracking.load import check_ready
    from search.worker.engines.started_workers import started_workers

    say = sayer(quiet)
    flags |= {**crew.settings, "tracker": given_trackers(tracker, no_mlflow)}
    bench = prepare_suite(suite, flags, only, skip, say, crew.engine)
    bench.first_plans()  # a study of an earlier command that can't go on is told now
    if dry_run:
        echo(
            json.dumps(bench.suite.model_dump(mode="json"), indent=2)
            if as_json
            else _describe(bench)
        )
        return 0
    check_ready(bench.settings.tracker or (), bench.storage)
    say(_describe(bench))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C
    ends: list[End] = []
    code = 0
    try:
        for plans in (bench.first_plans, bench.final_plans):
            for batch in bench.batches(plans()):
                with started_workers(
                    bench.crew,
                    bench.settings,
                    bench.folder,
                    holder=bench.suite.name,
                    say=say,
                    engine=crew.engine,
                    address=crew.address,
                ) as workers:
                    ends.append(_run(bench, batch, workers, quiet=quiet))
    except KeyboardInterrupt:
        echo("stopped; the same command goes on where this one stopped", err=True)
        code = INTERRUPTED
    except StudyError as error:
        echo(f"error: {error}", err=True)
        code = 1
    open_suite(bench, [])
    return code or _result(bench, ends, as_json=as_json)


def _run(bench: "Bench", plans: "Sequence[Plan]", workers: "Workers", *, quiet: bool) -> "End":
    """Serve the studies of `plans` to their end; searches have reports then, however it comes."""
    from search.actions.plan_suite import open_suite
    from search.actions.run import run
    from search.cli.views.live import SuiteView
    from search.report.study_report import report_study
    from search.study.storage.due_reports import note_report
    from search.worker.engines.started_mirror import Mirroring

    ledgers: Sequence[Ledger] = open_suite(bench, plans)
    names = sorted({ledger.name.removesuffix(FINAL) for ledger in ledgers})
    is_tracked = any(ledger.place().trackers for ledger in ledgers)
    mirroring = Mirroring(bench.storage.url, bench.folder, names) if is_tracked else None
    end = None
    try:
        with SuiteView(quiet=quiet) as view:
            end = run(ledgers, workers, show=view.update, warn=view.warn)
    finally:
        for plan in plans:
            if plan.spec.name in bench.searches:
                report_study(bench.storage, plan.spec.name, plan.folder)
            else:  # the suite's own comparison is all that is wanted of it
                note_report(bench.storage, plan.spec.name, "")
        if mirroring:
            tell_missing("", mirroring.finish(in_haste=end is None))
    return end


def _result(bench: "Bench", ends: "Sequence[End]", *, as_json: bool) -> int:
    from search.actions.run import End
    from search.cli.compare import print_comparison

    if any(end is not End.DONE for end in ends):
        echo(
            "not all studies came to their end; the same command goes on where this one stopped",
            err=True,
        )
    try:
        return print_comparison([bench.suite.name], None, as_json=as_json)
    except InputError as error:  # it was the end of a run, not of an input
        for problem in error.problems:
            echo(f"note: {problem}", err=True)
        return 0 if End.TIMEOUT in ends else 1


def _describe(bench: "Bench") -> str:
    from search.words import count

    lines = [f"suite     {bench.suite.name} in {bench.folder}"]
    for s in bench.chosen:
        what = f"{s.model}{f' ({s.label})' if s.label else ''} on {s.data}"
        if plan := bench.searches.get(s.study):
            lines.append(f"search    {what}: {_search_words(plan)}")
        else:
            lines.append(
                f"system    {what}: {s.seeds} × {count(s.epochs, 'epoch')}, scored on the"
                f" {s.evaluate} images"
            )
    threads = count(bench.crew.threads, "thread")
    lines.append(
        f"workers   {len(bench.crew.devices)} × {bench.crew.devices[0].name}, {threads} each"
    )
    return "\n".join(lines)


def _search_words(plan: "Plan") -> str:
    from search.words import count

    spec = plan.spec
    limits = [count(spec.n_trials, "trial"), f"up to {count(spec.epochs, 'epoch')} each"]
    limits += [f"{spec.timeout_s:g} s"] if spec.timeout_s else []
    limits += [f"{spec.budget:g} full trainings"] if spec.budget else []
    return f"{', '.join(limits)}; {finalists_words(spec)}"


COMMANDS = (bench,)
