"""Downloads, each by another program: Keras for its own data sets, apt for Debian's packages.

Each works in a temporary folder of our cache, so that a failure leaves nothing and a kill only that
folder.
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from search.datasets.dataset import Arrays
from search.errors import InputError
from search.paths import cache

log = logging.getLogger(__name__)

SOCKET_TIMEOUT_S = 20
STALL_S = 60
"""A download that brings no byte for so long is given up: hosts may have dead addresses."""

_KERAS = """
import socket
socket.setdefaulttimeout({timeout})
from keras.datasets import {module}
{module}.load_data()
"""


def keras(module: str, read: Callable[[Path], Arrays]) -> Arrays:
    """Download `keras.datasets.<module>` with Keras and return what `read` finds in the KERAS_HOME
    it filled.

    Raises InputError with the reason when Keras can't.
    """
    log.info("downloading keras.datasets.%s with Keras", module)
    code = _KERAS.format(timeout=SOCKET_TIMEOUT_S, module=module)
    with _scratch("keras") as folder:
        run(
            [sys.executable, "-P", "-c", code],
            folder,
            {"KERAS_HOME": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        return read(folder)


def debian(package: str, read: Callable[[Path], Arrays]) -> Arrays:
    """Download and unpack a Debian package, without root, and return what `read` finds in the
    unpacked root.

    Raises InputError with the reason when this is no Debian, or apt can't find or reach the
    package.
    """
    if missing := [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]:
        raise InputError(f"{' and '.join(missing)} not found; not a Debian system")
    log.info("downloading Debian's package %s with apt", package)
    with _scratch("debian") as folder:
        timeouts = ["-o", f"Acquire::http::Timeout={SOCKET_TIMEOUT_S}", "-o", "Acquire::Retries=1"]
        try:
            run(["apt-get", *timeouts, "download", package], folder, {"LC_ALL": "C"})
        except InputError as error:
            if "Unable to locate package" in str(error):
                raise InputError(f"{error}; run `apt-get update` as root first") from error
            raise
        archive = next(folder.glob("*.deb"), None)
        if archive is None:
            raise InputError(f"apt-get download {package} brought no package")
        run(["dpkg", "-x", archive.name, "root"], folder, {"LC_ALL": "C"})
        return read(folder / "root")


@contextmanager
def _scratch(prefix: str) -> Iterator[Path]:
    """Make a folder in our cache that is gone afterwards."""
    try:
        cache().mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=cache().resolve(), prefix=f"{prefix}-")
    except OSError as error:
        raise InputError(f"{cache()} can't be written ({error})") from error
    with scratch as folder:
        yield Path(folder)


def run(
    command: Sequence[str], folder: Path, env: Mapping[str, str], *, stall_s: float = STALL_S
) -> None:
    """Run `command` in `folder`, progress on stderr. Raises InputError with its last words."""
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        try:
            process = subprocess.Popen(  # noqa: S603  # the commands above and nothing of a user's
                command,
                cwd=folder,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=2 if os.isatty(2) else subprocess.DEVNULL,  # a progress bar is for eyes only
                stderr=errors,
            )
        except OSError as error:
            raise InputError(f"{command[0]} can't be started ({error})") from error
        with process:
            try:
                _wait(process, folder, stall_s)
            finally:
                process.kill()  # a no-op once it has ended; not so after Ctrl-C
        errors.seek(0)
        lines = [line.strip() for line in errors if line.strip()]
    if process.returncode:
        last = lines[-1] if lines else f"exit status {process.returncode}"
        raise InputError(
            next((line for line in lines if line.startswith("E: ")), last)
        )  # apt's errors


def _wait(process: "subprocess.Popen[bytes]", folder: Path, stall_s: float) -> None:
    """Wait for the end of a process that fills `folder`. Raises InputError when it stalls."""
    size, since = -1, time.monotonic()
    while process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
        now = _size(folder)
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > stall_s:
            raise InputError(f"no byte came for {stall_s:g} s")


def _size(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    except FileNotFoundError:  # removed between listing and looking
        return -1
