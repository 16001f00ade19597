"""What a study ran on: stored with it, since numbers without it can't be repeated."""

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from search.user_code import code_facts

_PACKAGES = (
    "gridless",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "jaxlib",
    "numpy",
    "optuna",
    "mlflow",
)
_GPU_PACKAGES = (
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "nvidia-cublas-cu12",
    "nvidia-cudnn-cu12",
)
_FLAGS = re.compile(
    r"TF_(ENABLE|DETERMINISTIC|CUDNN|USE|XLA|GPU)\w*|XLA_FLAGS|ONEDNN_\w+|DNNL_\w+|JAX_(ENABLE|DEFAULT)\w+|NVIDIA_TF32_\w+"
)
"""Environment variables that choose how frameworks compute."""
_INSTRUCTIONS = (
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimdhp",
    "bf16",
    "i8mm",
    "sve",
    "sve2",
)
"""Those of a CPU by which frameworks choose their kernels."""
_THREADS = "TF_NUM_INTRAOP_THREADS"
"""What a worker is bound by; JAX and OpenMP have variables of their own, of the same value."""
_PROC = Path("/proc")


def environment(
    device: str,
    *,
    threads: int | None = None,
    code: Mapping[str, str] | None = None,
    proc: Path = _PROC,
) -> dict[str, str]:
    """What the numbers of a trial on `device` may depend on besides its setting, seed and images.

    Versions of Python, packages and this code; the user's own `code`, as `user_code` tells it; CPU,
    threads (of this process, if not given), platform, backend, and the variables that frameworks
    heed. What is not there, such as a GPU's driver, has no key. `proc` is the kernel's folder.
    """
    facts = {"python": platform.python_version(), "platform": platform.platform(), "device": device}
    facts["backend"] = backend()
    facts["cpu"] = cpu_name(proc)
    flags_of_cpu = _cpu_info(proc, "flags", "Features").split()
    if instructions := [flag for flag in flags_of_cpu if flag in _INSTRUCTIONS]:
        facts["cpu_instructions"] = " ".join(sorted(instructions))
    if limit := str(threads or os.environ.get(_THREADS, "")):
        facts["threads"] = limit
    if flags := [f"{k}={v}" for k, v in sorted(os.environ.items()) if _FLAGS.fullmatch(k)]:
        facts["flags"] = " ".join(flags)
    if driver := _driver(proc):
        facts["gpu_driver"] = driver
    facts |= versions((*_PACKAGES, *_GPU_PACKAGES))
    facts["code_version"] = code_version()
    facts["code_digest"] = code_digest()
    return facts | code_facts(code or {})


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those `packages` that are installed."""
    installed = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            installed[package] = version(package)
    return installed


def environment_digest(facts: Mapping[str, str]) -> str:
    """A short name for an environment: its SHA-256's beginning."""
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()[:12]


def backend() -> str:
    """Keras's backend: KERAS_BACKEND, or what its own file says, or TensorFlow."""
    if named := os.environ.get("KERAS_BACKEND"):
        return named
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return str(json.loads((folder / "keras.json").read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


def cpu_name(proc: Path = _PROC) -> str:
    """The CPU's model, as people know it."""
    return _cpu_info(proc, "model name") or platform.processor() or platform.machine()


@cache
def code_version() -> str:
    """The version of this code; in a checkout with its commit, and «+changes» if edited."""
    commit = _commit()
    return f"{version('gridless')} ({commit})" if commit else version("gridless")


@cache
def code_digest() -> str:
    """The beginning of the SHA-256 of all modules here, whatever the version says."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _cpu_info(proc: Path, *keys: str) -> str:
    """The value of the first of `keys` in cpuinfo; empty where there is none."""
    try:
        lines = (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next(
        (
            value.strip()
            for key, _, value in (s.partition(":") for s in lines)
            if key.strip() in keys
        ),
        "",
    )


def _driver(proc: Path) -> str | None:
    """The version of NVIDIA's kernel driver."""
    try:
        text = (proc / "driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"\d+(\.\d+)+", text)
    return match[0] if match else None


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    return f"{head}+changes" if head and _git(root, "status", "--porcelain", "-uno") else head


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
