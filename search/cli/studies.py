"""`gridless study` and `gridless submit`."""

import json
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from search.cli.common import INTERRUPTED, echo, finalists_words, sayer
from search.cli.options import CrewOptions, StudyOptions, crew_options, study_options
from search.cli.reports import print_result
from search.cli.trackers import tell_missing, title

if TYPE_CHECKING:
    from search.actions.check_study import Checked, Request
    from search.actions.plan_study import Plan
    from search.study.spec import StudySpec
    from search.worker.engines.protocol import Workers

_EPILOG = """\b
Examples:
  gridless study mlp digits
  gridless study convNN fashion --n-trials 40 --epochs 10
  gridless study convNN path/to/own.npz --fix optimizer=sgd --try lr=0.1,units=200
  gridless study lab_cnn path/to/folder --precision mixed_bfloat16
"""
_SUBMIT_EPILOG = """\b
Examples:
  gridless submit convNN fashion --n-trials 100 --priority 5
  gridless worker        # here or on any machine with the same GRIDLESS_STORAGE
  gridless status --watch
"""


@click.command(epilog=_EPILOG)
@study_options
@crew_options
def study(options: StudyOptions, crew: CrewOptions) -> int:
    """Search MODEL's settings on DATA, or go on with a search, and write its leaderboard and
    report.

    MODEL is a name of `gridless models` or your own package.module:function; DATA is a name of
    `gridless datasets`, or the path of an .npz file, a table, or a folder of images by class.
    It puts the study on the queue as `gridless submit` does, and serves it with workers of its own.
    """
    from search.actions.check_study import check
    from search.actions.plan_study import is_over
    from search.tracking.load import check_ready
    from search.worker.engines.started_workers import started_workers

    say = sayer(options.quiet)
    request = options.request(crew)
    if options.dry_run:
        return _show_plan(request, say, as_json=options.as_json)
    checked = check(request, say, load_ahead=True)
    check_ready(checked.settings.tracker or (), checked.storage)
    if is_over(checked) and (shown := _show_done(checked, say, options)) is not None:
        return shown
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C
    with started_workers(
        checked.crew,
        checked.settings,
        checked.folder,
        holder=checked.name,
        say=say,
        engine=crew.engine,
        address=crew.address,
    ) as workers:
        return _search(checked, workers, say, options)


@click.command(epilog=_SUBMIT_EPILOG)
@study_options
@click.option("--priority", type=int, help="Studies of a larger one are served first [0].")
def submit(options: StudyOptions, *, priority: int | None) -> int:
    """Put a study on the queue, for workers on this or other machines, and return.

    MODEL and DATA are as for `gridless study`; a path must lead to the same data on every worker's
    machine.
    """
    from search.actions.check_study import check
    from search.actions.plan_study import open_study

    say = sayer(options.quiet)
    request = options.request()
    if options.dry_run:
        return _show_plan(request, say, as_json=options.as_json)
    checked = check(request, say)
    plan = _make_plan(checked, say)
    open_study(plan, checked.storage, priority=priority)
    say(_describe(plan, on_queue=True))
    echo(
        json.dumps({"study": plan.spec.name, "n_trials": plan.spec.n_trials})
        if options.as_json
        else plan.spec.name
    )
    return 0


def _show_plan(request: "Request", say: Callable[[str], None], *, as_json: bool) -> int:
    from search.actions.check_study import check

    plan = _make_plan(check(request, say), say)
    echo(json.dumps(plan.spec.model_dump(mode="json"), indent=2) if as_json else _describe(plan))
    return 0


def _make_plan(checked: "Checked", say: Callable[[str], None]) -> "Plan":
    from search.actions.plan_study import make_plan

    plan = make_plan(checked, say)
    for notice in plan.notices:
        say(f"note: {notice}")
    return plan


def _show_done(checked: "Checked", say: Callable[[str], None], options: StudyOptions) -> int | None:
    """Show a study that is over, without loading a framework; None if this command goes on with
    it.
    """
    from search.actions.plan_study import make_plan
    from search.actions.search_study import done_already

    plan = make_plan(checked, lambda _: None)
    done = done_already(plan, checked.storage)
    if done is None:
        return None
    report, trackers = done
    for notice in plan.notices:
        say(f"note: {notice}")
    say(_describe(plan))
    print_result(report, as_json=options.as_json, again=False, trackers=trackers)
    return 0


def _search(
    checked: "Checked",
    workers: "Workers",
    say: Callable[[str], None],
    options: StudyOptions,
) -> int:
    from search.actions.plan_study import open_study
    from search.actions.run import End
    from search.actions.search_study import search_study
    from search.cli.views.live import LiveView
    from search.words import listing

    plan = _make_plan(checked, say)
    ledger = open_study(plan, checked.storage)
    say(_describe(plan))
    view = LiveView(quiet=options.quiet)
    searched = search_study(ledger, plan.folder, workers, view, lambda: echo("stopped", err=True))
    end, trackers = searched.end, searched.trackers
    is_again = end in {None, End.TIMEOUT}
    print_result(searched.report, as_json=options.as_json, again=is_again, trackers=trackers)
    if searched.mirroring:
        if end:
            say(f"bringing the rest to {listing([title(tracker) for tracker in trackers])} …")
        # Whoever stops a study does not wait for a tracker, which is none of its failures.
        tell_missing(ledger.name, searched.mirroring.finish(in_haste=end is None))
    if searched.trouble:
        echo(f"error: {searched.trouble}", err=True)
        return 1
    if end is None:
        return INTERRUPTED
    if end in {End.PAUSED, End.CANCELLED}:
        echo(f"the study was {end} by somebody else", err=True)
    is_sound = searched.is_sound
    if why := searched.why_short:
        goes_on = searched.n_left and not is_sound
        remedy = ": mend that, and the same command goes on with them" if goes_on else ""
        echo(f"{'note' if is_sound else 'error'}: {why}{remedy}", err=True)
    return 0 if is_sound else 1


def _goal(spec: "StudySpec") -> str:
    from search.words import extreme, listing

    objectives = (spec.goal.objective, *spec.goal.others)
    return listing([f"the {extreme(each)} {each.title}" for each in objectives])


def _describe(plan: "Plan", *, on_queue: bool = False) -> str:
    from search.records import Task
    from search.space.setting import n_trained
    from search.words import count

    spec = plan.spec
    data = plan.data
    n_params = len(spec.space["params"])
    n_settings = n_trained(spec.search_space.params, spec.epochs)
    limits = [count(spec.n_trials, "trial"), f"up to {count(spec.epochs, 'epoch')} each"]
    limits += [f"{spec.timeout_s:g} s"] if spec.timeout_s else []
    limits += [f"{spec.budget:g} full trainings"] if spec.budget else []
    noun = "images" if data.is_images else "examples"
    shape = "×".join(map(str, data.input_shape))
    targets = {
        Task.REGRESSION: count(data.n_classes, "number"),
        Task.MULTILABEL: count(data.n_classes, "label"),
    }.get(data.task, f"{data.n_classes} classes")
    here = f"{spec.workers} × {plan.crew.devices[0].name}, {count(spec.threads, 'thread')} each"
    rows = {
        "study": f"{spec.name} ({'goes on' if plan.resumes else 'new'}) in {plan.folder}",
        "model": spec.model,
        "data": (
            f"{spec.data}: {data.n_train:,} training, {data.n_val:,} validation and {data.n_test:,}"
            f" test {noun} of {shape}, {targets}"
        ),
        "objective": ", ".join([_goal(spec), *(f"{b.fact} ≤ {b.limit:g}" for b in spec.bounds)]),
        "space": f"{count(n_params, 'parameter')}, {n_settings:,} combinations in a full grid",
        "budget": ", ".join(limits),
        "finalists": finalists_words(spec),
        "strategy": f"{spec.strategy}, seed {spec.seed}",
        "workers": (
            "whoever runs `gridless worker`; `gridless status --watch` shows them"
            if on_queue
            else here
        ),
    }
    if on_queue:
        rows["results"] = (
            f"leaderboard, report and model in {plan.folder}, or in the home of the worker that"
            " ends it"
        )
    return "\n".join(f"{name:<9} {text}" for name, text in rows.items())


COMMANDS = (study, submit)
