"""Which devices there are, how many workers they carry, and how a process is bound to one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from search.errors import InputError
from search.study.environment import cpu_name
from search.study.settings import Settings
from search.training.memory import DEVICE_MEMORY_VARIABLE
from search.worker.engines.gpus import Gpu, choose_gpus, installed_gpus, visible_gpus

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "PJRT_NPROC",
)
MAX_CPU_WORKERS = 4
"""More would each see too few results to choose well, and each holds about 0.6 GB."""
SHARED_MEMORY = 0.9
"""The part of a GPU's memory for its trials; the rest is what each process holds besides."""


@dataclass(frozen=True)
class Device:
    """One device for one worker."""

    name: str
    gpu: str | None = None
    """What CUDA_VISIBLE_DEVICES is to hold; None for the CPU."""
    uuid: str | None = None
    """The GPU's or MIG instance's own; None for the CPU."""
    memory_mb: float | None = None
    """A GPU's memory, where it is known."""


@dataclass(frozen=True)
class Crew:
    """Which workers to start, and where."""

    devices: tuple[Device, ...]
    """One entry per worker; a GPU stands there once for each worker that shares it."""
    threads: int
    """CPU threads of each."""
    share: int = 1
    """How many trials may be on one GPU at the same time."""
    pool: tuple[Device, ...] = ()
    """All devices that may be used, each once."""
    chosen: bool = False
    """Whether a person named the GPUs, so that no other will do."""

    def limited_to(self, pool: Sequence[Device]) -> "Crew":
        """The crew that is left when only `pool` can be used. At least one device is needed."""
        workers = (
            min(len(self.devices), len(pool) * self.share) if pool[0].gpu else len(self.devices)
        )
        return replace(self, devices=_deal(pool, workers), pool=tuple(pool))


def find_devices(gpus: str = "all") -> list[Device]:
    """The GPUs that `gpus` names, or the CPU alone for "none" and where "all" finds no GPU.

    `gpus` is all, none, or a list like 0,2 of indices as nvidia-smi counts, UUIDs (their first
    letters will do) and MIG ids. CUDA_VISIBLE_DEVICES is respected, and each MIG instance is a
    device of its own. Raises InputError with every id that is unknown, repeated or hidden.
    """
    if gpus == "none":
        return [Device(cpu_name())]
    installed = installed_gpus()
    visible = visible_gpus(installed, os.environ.get("CUDA_VISIBLE_DEVICES"))
    chosen = visible if gpus == "all" else choose_gpus(installed, visible, gpus)
    return [_device(gpu) for gpu in chosen] or [Device(cpu_name())]


def given_device(*, gpu: bool) -> Device:
    """The device that a cluster gave this process, by CUDA_VISIBLE_DEVICES."""
    device = find_devices("all" if gpu else "none")[0]
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return Device(f"GPU {given}", given) if gpu and device.gpu is None else device


def plan_crew(
    *,
    gpus: str | None = None,
    trials_per_gpu: int = 1,
    workers: int | None = None,
    threads: int | None = None,
) -> Crew:
    """The workers to start: by default one per GPU (as `find_devices` reads `gpus`, None for all)
    or per CPU core.

    `trials_per_gpu`, `workers` and `threads` (per worker) are at least 1. Raises InputError with
    every problem, as when more workers are asked for than there is room on the GPUs.
    """
    flags = {"--trials-per-gpu": trials_per_gpu, "--workers": workers, "--threads": threads}
    problems = [
        f"{k} {v}: at least 1 is needed" for k, v in flags.items() if v is not None and v < 1
    ]
    try:
        devices = find_devices(gpus or "all")
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    on_gpu, cores = devices[0].gpu is not None, available_cores()
    if trials_per_gpu > 1 and not on_gpu:
        problems.append(
            f"--trials-per-gpu {trials_per_gpu}: there is no GPU to share; on a CPU take --workers"
        )
    if problems:
        raise InputError(problems)
    room = len(devices) * trials_per_gpu
    if on_gpu and workers is not None and workers > room:
        needed = -(-workers // len(devices))
        raise InputError(
            f"--workers {workers}: {_count(len(devices), 'GPU')} with"
            f" {_count(trials_per_gpu, 'trial')} each have room for {room}; ask for"
            f" --trials-per-gpu {needed} to let workers share a GPU"
        )
    n = workers or (room if on_gpu else default_workers(devices, cores=cores))
    chosen = on_gpu and gpus not in {None, "all"}
    return Crew(
        _deal(devices, n), threads or max(1, cores // n), trials_per_gpu, tuple(devices), chosen
    )


def default_workers(devices: Sequence[Device], *, cores: int) -> int:
    """One worker per GPU; on a CPU one per core, up to MAX_CPU_WORKERS.

    Measured (docs/measurements.md): two workers of one thread train convNN_1 as fast as one of two
    threads and mlp faster, and what a trial costs besides its epochs is paid side by side.
    """
    return len(devices) if devices[0].gpu is not None else max(1, min(cores, MAX_CPU_WORKERS))


def cluster_crew(name: str, settings: Settings, problems: Sequence[str]) -> Crew:
    """What was asked of the cluster `name`, whose devices and room are not this machine's: one
    worker of one thread where nothing was, on stand-ins that are called like the cluster.

    Raises InputError with `problems` and every setting that means nothing to a cluster.
    """
    problems, share = list(problems), settings.trials_per_gpu
    if settings.gpus not in {"all", "none"}:
        problems.append(
            f"--gpus {settings.gpus}: {name} chooses the GPUs; leave it out, or give none for the"
            " CPU"
        )
    if settings.gpus == "none" and share > 1:
        problems.append(f"--trials-per-gpu {share}: with --gpus none there is no GPU to share")
    if problems:
        raise InputError(problems)
    device = Device(name)
    return Crew((device,) * (settings.workers or 1), settings.threads or 1, share, (device,))


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment_for(device: Device, *, threads: int, share: int = 1) -> dict[str, str]:
    """Variables that bind a process to `device` and `threads`; set before any framework loads.

    With `share` trials on one GPU each is held to its part of the memory.
    """
    variables = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    variables[DEVICE_MEMORY_VARIABLE] = ""
    if device.gpu is None:
        return variables | {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    variables["CUDA_VISIBLE_DEVICES"] = device.gpu
    if share > 1:
        part = SHARED_MEMORY / share
        variables["XLA_CLIENT_MEM_FRACTION"] = f"{part:.4f}"
        variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = ""  # its old name: JAX refuses to see both
        variables["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        if device.memory_mb is not None:
            variables[DEVICE_MEMORY_VARIABLE] = f"{device.memory_mb * part:.0f}"
    return variables


def _deal(devices: Sequence[Device], workers: int) -> tuple[Device, ...]:
    return tuple(devices[i % len(devices)] for i in range(workers))


def _device(gpu: Gpu) -> Device:
    # By UUID: CUDA may count GPUs in another order than nvidia-smi does.
    return Device(gpu.name, gpu.uuid, gpu.uuid, gpu.memory_mb)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
