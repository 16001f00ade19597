"""The workers of a command, started by an engine and stopped in the end, and its mirror."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.errors import InputError
from search.limits import worker_restarts
from search.paths import home
from search.study.settings import Settings
from search.tracking.mirror import DRAIN_WAIT_S, HURRIED_WAIT_S, end_mirror, follow, home_mirror
from search.worker.engines import engine as engine_called
from search.worker.engines.devices import Crew
from search.worker.engines.protocol import Terms, Workers
from search.worker.engines.restarts import Kept, Restarts


@contextmanager
def started_workers(
    crew: Crew,
    settings: Settings,
    folder: Path,
    *,
    holder: str,
    say: Callable[[str], None],
    engine: str = "local",
    address: str | None = None,
    mlflow: bool = True,
    for_ever: bool = False,
) -> Iterator[Workers]:
    """Started workers, which load their framework until they are told to `go`; stopped in the end.

    Their logs go into `folder`; `holder` tells others what GPUs are claimed for; `for_ever` starts
    workers that die again as often as they do. Raises InputError when GPUs are in use, or the
    cluster can't be used. A command that is refused once they are started leaves no new `folder`.
    """
    terms = Terms(folder, holder, say, address, mlflow, None if for_ever else worker_restarts())
    is_new = not folder.exists()
    is_started = False
    try:
        with engine_called(engine).workers(crew, settings, terms) as workers:
            try:
                workers.start()
                is_started = True
                yield workers
            finally:
                workers.stop()
    except InputError:
        if is_started and is_new:
            _remove_logs(folder)
        raise


def _remove_logs(folder: Path) -> None:
    """Remove the logs in `folder` with it, if it holds nothing else."""
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == ["logs"]:
            shutil.rmtree(folder)


@contextmanager
def started_mirror(folder: Path, *, mlflow: bool, for_ever: bool) -> Iterator[Callable[[], None]]:
    """What sends all outboxes of this home on to MLflow, unless it isn't wanted; its log goes into
    `folder`.

    Call what is yielded now and then: it starts the mirror again if that died, as `started_workers`
    does with workers. In the end the mirror sends what is left, in a hurry after an exception.
    """
    mirror = Kept(Restarts(None if for_ever else worker_restarts()))

    def keep() -> None:
        if mlflow:
            mirror.check(lambda: follow(home_mirror(str(home())), folder / "logs" / "mlflow.log"))

    keep()
    wait_s = HURRIED_WAIT_S
    try:
        yield keep
        wait_s = DRAIN_WAIT_S
    finally:
        if mirror.process:
            end_mirror(mirror.process, wait_s)
