"""How much memory a trial's process takes, how much it may take, and how the want of it shows."""

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEVICE_MEMORY_VARIABLE = "GRIDLESS_DEVICE_MEMORY_MB"
"""How much of its GPU's memory a process may take under TensorFlow; unset or empty: all."""
OUT_OF_HOST = "out of memory: take a smaller batch_size or network, or fewer workers"
OUT_OF_DEVICE = "out of GPU memory: take a smaller batch_size or network, or fewer trials per GPU"
LEAST_ADDRESS_SPACE_MB = 2500
"""What a process needs to load its frameworks; below, they fail in ways that tell nothing."""
_SIGNS = (
    "resource_exhausted",
    "resourceexhausted",
    "out of memory",
    "out_of_memory",
    "oom when",
    "alloc_failed",
)
_CPU_SIGNS = ("device:cpu", "allocator cpu", "allocator mklcpu")


@dataclass(frozen=True)
class Memory:
    """The most that a process has held so far, in MB of 2**20 bytes."""

    host_mb: float
    """Resident in main memory, what it shares with the fork server included."""
    device_mb: float | None
    """On its GPU, by the framework's own count; None on the CPU."""


def address_space_mb() -> float | None:
    """What `ulimit -v` allows a process to map, in MB of 2**20 bytes; None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit / 2**20


def address_space_note() -> str:
    """What to add about a process that died of nothing named; empty without a limit on memory."""
    limit_mb = address_space_mb()
    return (
        ""
        if limit_mb is None
        else f"; `ulimit -v` allows it {limit_mb:,.0f} MB, which may be too little"
    )


def limit_device_memory() -> None:
    """Hold TensorFlow to the part of the GPU that GRIDLESS_DEVICE_MEMORY_MB allows.

    To be called before the first operation. JAX reads variables of its own.
    """
    limit = os.environ.get(DEVICE_MEMORY_VARIABLE)
    if not limit or _backend() != "tensorflow":
        return
    import tensorflow as tf  # noqa: PLC0415  other backends run without it

    for gpu in tf.config.list_physical_devices("GPU"):
        configuration = tf.config.LogicalDeviceConfiguration(memory_limit=float(limit))
        tf.config.set_logical_device_configuration(gpu, [configuration])


def peak_memory(*, device: bool = True) -> Memory:
    """The most that this process has held. Without `device` the GPU is not woken by asking."""
    return Memory(_host_peak_mb(), _device_peak_mb() if device else None)


def out_of_memory(error: BaseException) -> str | None:
    """What to tell of `error` if memory ran out, on the GPU or off it; None for any other."""
    if isinstance(error, MemoryError):
        return OUT_OF_HOST
    text = f"{type(error).__name__}: {error}".lower()
    if not any(sign in text for sign in _SIGNS):
        return None
    # By what the worker set, not by asking a framework that may be in no state to answer.
    pinned = os.environ.get("CUDA_VISIBLE_DEVICES", "-1") != "-1"
    return OUT_OF_DEVICE if pinned and not any(sign in text for sign in _CPU_SIGNS) else OUT_OF_HOST


def _host_peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _device_peak_mb() -> float | None:
    peak: Any = None
    if _backend() == "jax":
        import jax  # noqa: PLC0415  other backends run without it

        peak = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    elif _backend() == "tensorflow":
        import tensorflow as tf  # noqa: PLC0415  other backends run without it

        if tf.config.list_physical_devices("GPU"):
            peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return None if peak is None else float(peak) / 2**20


def _backend() -> str:
    import keras  # noqa: PLC0415  whoever only reads Memory needs no framework

    return str(keras.backend.backend())
