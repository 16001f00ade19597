"""What a study ran on: stored with it, since numbers without it can't be repeated."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("gridless", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy", "optuna", "mlflow")


def environment(device: str) -> dict[str, str]:
    """Versions of Python, packages and this code; machine, device and backend."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "device": device}
    found["backend"] = os.environ.get("KERAS_BACKEND", "tensorflow")
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["code_version"] = code_version()
    return found


@cache
def code_version() -> str:
    """The version of this code; in a checkout also its commit, and «+changes» when it was edited since."""
    commit = _commit()
    return f"{version('gridless')} ({commit})" if commit else version("gridless")


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
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
