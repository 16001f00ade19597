"""A command that is killed with all its processes now and then, and begun again, until it ends."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

import psutil


def run_killed(
    command: Sequence[str], env: Mapping[str, str], *, every_s: float | None, most: int
) -> int:
    """Run `command` to its end, with `kill -9` every `every_s` seconds (None: never) up to `most`
    times; how often it was killed. Exits when it ends with an error.
    """
    n_kills = 0
    while True:
        process = subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            code = process.wait(every_s if n_kills < most else None)
        except subprocess.TimeoutExpired:
            n_kills += 1
            for child in psutil.Process(process.pid).children(recursive=True):
                child.send_signal(signal.SIGKILL)
            process.kill()
            process.wait()
            continue
        if code:
            sys.exit(f"the study ended with exit code {code}")
        return n_kills
