"""The workers of a command: on this machine's devices, which are claimed for them, or on a Ray cluster."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from search.errors import InputError
from search.study.spec import Settings
from search.worker.claims import claim_crew
from search.worker.devices import Crew
from search.worker.local import MAX_RESTARTS, LocalWorkers, Workers
from search.worker.ray_engine import RayWorkers


@contextmanager
def staffed(
    crew: Crew, settings: Settings, folder: Path, *, holder: str, say: Callable[[str], None],
    engine: str = "local", address: str | None = None, mlflow: bool = True, for_ever: bool = False,
) -> Iterator[Workers]:  # fmt: skip
    """Started workers, which load their framework until they are told to `go`; stopped in the end.

    Their logs go into `folder`; `holder` tells others what GPUs are claimed for; `for_ever` starts workers that die
    again as often as they do. Raises InputError when GPUs are in use, or the cluster can't be used.
    """
    max_restarts = None if for_ever else MAX_RESTARTS
    with ExitStack() as stack:
        workers: Workers
        if engine == "ray":
            workers = _on_ray(settings, folder, address, mlflow=mlflow, max_restarts=max_restarts)
        elif address is not None:
            raise InputError("--address is for --engine ray only")
        else:
            fds: tuple[int, ...] = ()
            if not settings.share_gpus:
                crew, claims = claim_crew(crew, holder=holder)
                stack.callback(claims.close)
                fds = claims.fds
                for notice in claims.notices:
                    say(f"note: {notice}")
            workers = LocalWorkers(
                folder, crew.devices, crew.threads, crew.share, max_restarts=max_restarts, fds=fds
            )  # fmt: skip
        stack.callback(workers.stop)
        workers.start()
        yield workers


def _on_ray(
    settings: Settings, folder: Path, address: str | None, *, mlflow: bool, max_restarts: int | None
) -> RayWorkers:
    on_cpu = settings.gpus == "none"
    return RayWorkers(
        folder, address, settings.workers,
        gpus_per_worker=0.0 if on_cpu else None if settings.trials_per_gpu == 1 else 1 / settings.trials_per_gpu,
        cpus_per_worker=None,
        threads=settings.threads or 1,
        mlflow=mlflow,
        max_restarts=max_restarts,
    )  # fmt: skip
