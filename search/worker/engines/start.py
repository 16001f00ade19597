"""The workers of a command, on this machine's devices, which are claimed for them, or on a Ray cluster; its mirror."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from search.errors import InputError
from search.paths import home
from search.study.spec import Settings
from search.tracking.mirror import DRAIN_WAIT_S, HURRIED_WAIT_S, end_mirror, follow, home_mirror
from search.worker.engines.devices import Crew
from search.worker.engines.gpu_locks import claim_crew
from search.worker.engines.local import LocalWorkers, Workers
from search.worker.engines.ray.engine import RayWorkers
from search.worker.engines.restarts import MAX_RESTARTS, Kept, Restarts


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


@contextmanager
def mirrored(folder: Path, *, mlflow: bool, for_ever: bool) -> Iterator[Callable[[], None]]:
    """What sends all outboxes of this home on to MLflow, unless it isn't wanted; its log goes into `folder`.

    Call what is yielded now and then: it starts the mirror again if that died, as `staffed` does with workers. In the
    end the mirror sends what is left, in a hurry after an exception.
    """
    mirror = Kept(Restarts(None if for_ever else MAX_RESTARTS))

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
