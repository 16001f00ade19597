"""The workers of a command, started by an engine and stopped in the end."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.errors import InputError
from search.retry_limits import worker_restarts
from search.study.settings import Settings
from search.worker.engines import engine as engine_called
from search.worker.engines.devices import Crew
from search.worker.engines.protocol import Terms, Workers


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
    for_ever: bool = False,
) -> Iterator[Workers]:
    """Started workers, which load their framework until they are told to `go`; stopped in the end.

    Their logs go into `folder`; `holder` tells others what GPUs are claimed for; `for_ever` starts
    workers that die again as often as they do. Raises InputError when GPUs are in use, or the
    cluster can't be used. A command that is refused once they are started leaves no new `folder`.
    """
    terms = Terms(folder, holder, say, address, None if for_ever else worker_restarts())
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
