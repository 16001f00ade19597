"""A study that is searched by workers of this Python process, in this thread or one of its own."""

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from search.actions.check_study import check
from search.actions.optimize import Asked, opened, planned, ready, resuming
from search.actions.plan_study import is_over
from search.actions.run import End, Shown
from search.actions.search_study import Searched, done_already, search_study
from search.cli.common import sayer
from search.cli.trackers import tell_missing
from search.cli.views.live import LiveView
from search.errors import StudyError
from search.paths import home
from search.study.storage.ledger import Ledger
from search.tracking.load import check_ready
from search.worker.engines.protocol import Workers
from search.worker.engines.started_workers import started_workers


class Searching:
    """The search of the study of `ledger`, which is on the queue, by `workers`."""

    def __init__(
        self,
        ledger: Ledger,
        folder: Path,
        workers: Workers,
        closing: ExitStack,
        *,
        progress: bool,
    ) -> None:
        """`closing` ends the workers; `folder` is the study's."""
        self._ledger = ledger
        self._folder = folder
        self._workers = workers
        self._closing = closing
        self._view = _View(quiet=not progress)
        self._say = sayer(not progress)
        self._thread = threading.Thread(target=self._run_apart, name=f"search of {ledger.name}")
        self._error: BaseException | None = None

    def run(self) -> None:
        """Search to the end, or to the time limit.

        Raises KeyboardInterrupt once the study is paused, and StudyError when it can't be searched,
        or no trial has a value.
        """
        with self._closing:
            searched = search_study(
                self._ledger, self._folder, self._workers, self._view, self._stopped
            )
        if searched.mirroring:
            # Whoever stops a study does not wait for a tracker, which is none of its failures.
            finished = searched.mirroring.finish(in_haste=searched.end is None)
            if not self._view.is_quiet:
                tell_missing(self._ledger.name, finished)
        self._tell(searched)

    def start(self) -> None:
        """Search in a thread of its own."""
        self._thread.start()

    def wait(self) -> None:
        """Wait for that thread, and raise what `run` would; KeyboardInterrupt pauses the study."""
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self._view.is_stopped = True
            self._thread.join()
            raise
        if self._error:
            raise self._error

    def _run_apart(self) -> None:
        try:
            self.run()
        except BaseException as error:  # whoever waits gets it
            self._error = error

    def _stopped(self) -> None:
        self._say("stopping: each trial is given back after its epoch; the same call goes on")

    def _tell(self, searched: Searched) -> None:
        name, end = self._ledger.name, searched.end
        if searched.trouble:
            raise StudyError(searched.trouble)
        if end is None:
            raise KeyboardInterrupt
        if end in {End.PAUSED, End.CANCELLED}:
            self._say(f"study {name} was {end} by somebody else")
        if not searched.is_sound and end is End.DONE:
            reasons = (trial.reason for trial in searched.report.study.trials if trial.reason)
            why = searched.why_short or next(reasons, "none was trained")
            raise StudyError(f"no trial of study {name!r} has a value: {why}")
        if end is End.TIMEOUT:
            self._say("paused: its time is over; the same call goes on")
        if searched.why_short:
            self._say(f"note: {searched.why_short}")


def begun(asked: Asked, *, progress: bool) -> tuple[str, Searching | None]:
    """The name of the study that was asked for, and its search; None where it is over already.

    Raises InputError with every problem, before anything is stored.
    """
    say = sayer(not progress)
    request = ready(asked)
    checked = check(request.request, say, load_ahead=True)
    check_ready(checked.settings.tracker or (), checked.storage)
    plan = planned(request, checked, say) if is_over(checked) else None
    if plan and done_already(plan, checked.storage):
        return checked.name, None
    with ExitStack() as stack:
        started = started_workers(
            checked.crew, checked.settings, checked.folder, holder=checked.name, say=say
        )
        workers = stack.enter_context(started)
        plan = plan or planned(request, checked, say)
        for notice in plan.notices:
            say(f"note: {notice}")
        ledger = opened(request, plan, checked)
        closing = stack.pop_all()
    return checked.name, Searching(ledger, plan.folder, workers, closing, progress=progress)


def resumed(name: str, settings: Mapping[str, Any], *, progress: bool) -> Searching:
    """The search of a stored study, with these settings in place of its own.

    Raises InputError when it can't go on here.
    """
    with ExitStack() as stack:
        ledger, workers = stack.enter_context(resuming(name, settings, sayer(not progress)))
        closing = stack.pop_all()
    return Searching(ledger, home() / name, workers, closing, progress=progress)


class _View(LiveView):
    """Shows a study until it is to stop."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self.is_quiet = quiet
        self.is_stopped = False

    def update(self, studies: Shown) -> None:
        """Raises KeyboardInterrupt, which no other thread can be sent, once it is to stop."""
        if self.is_stopped:
            raise KeyboardInterrupt
        super().update(studies)
