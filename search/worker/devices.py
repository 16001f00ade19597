"""Which devices there are, how many workers they carry, and how a process is bound to one."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
MAX_CPU_WORKERS = 4
"""More would each see too few results to choose well, and each holds about 0.6 GB."""


@dataclass(frozen=True)
class Device:
    """One device for one worker. `gpu` is its index or UUID, None for the CPU."""

    name: str
    gpu: str | None = None


def find_devices() -> list[Device]:
    """The visible GPUs, or the CPU alone. CUDA_VISIBLE_DEVICES is respected."""
    return _gpus() or [Device(_cpu_name())]


def default_workers(devices: list[Device], *, cores: int) -> int:
    """One worker per GPU; on a CPU one per core, up to MAX_CPU_WORKERS.

    Measured (docs/measurements.md): two workers of one thread train convNN_1 as fast as one of two threads and mlp
    faster, and what a trial costs besides its epochs is paid side by side.
    """
    return len(devices) if devices[0].gpu is not None else max(1, min(cores, MAX_CPU_WORKERS))


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment_for(device: Device, *, threads: int) -> dict[str, str]:
    """Variables that bind a process to `device` and `threads`; set before any framework loads."""
    variables = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    variables["CUDA_VISIBLE_DEVICES"] = "-1" if device.gpu is None else device.gpu
    variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return variables


def _gpus() -> list[Device]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(  # noqa: S603
            [program, "--query-gpu=index,uuid,name", "--format=csv,noheader"],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return []
    if answer.returncode != 0:
        return []
    rows = [[part.strip() for part in line.split(",", 2)] for line in answer.stdout.splitlines() if line.strip()]
    return visible_gpus(rows, os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible_gpus(rows: list[list[str]], wanted: str | None) -> list[Device]:
    """The devices of `rows` (index, uuid, name) that CUDA_VISIBLE_DEVICES = `wanted` leaves visible, in its order."""
    if wanted is None:
        return [Device(name, index) for index, _, name in rows]
    by_id = {key: Device(name, index) for index, uuid, name in rows for key in (index, uuid)}
    found = []
    for part in (p.strip() for p in wanted.split(",")):
        if part.startswith("MIG-"):
            found.append(Device(part, part))
        elif part in by_id:
            found.append(by_id[part])
        else:
            break  # as CUDA does: an unknown id hides all that follow
    return found


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor() or platform.machine()
