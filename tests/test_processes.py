"""A kept process: whoever started it sees how it ended, and nothing that it started is left."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

KEPT = """
import os, signal, subprocess, sys, time
from search.processes import stay_kept

stay_kept()
if os.fork() == 0:
    os.setsid()
    if (daemon := os.fork()) == 0:
        time.sleep(60)
    print(daemon, flush=True)
    os._exit(0)
os.wait()
sys.stdin.readline()
{end}
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV), ("", 0)],
)
def test_whoever_waits_for_a_kept_process_sees_its_end_and_not_its_daemons(
    end: str, code: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KEPT.format(end=end)],
        input="\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert not psutil.pid_exists(int(done.stdout))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_keeper_that_is_asked_to_ends_all(number: signal.Signals) -> None:
    program = [sys.executable, "-c", KEPT.format(end="")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        daemon = int(keeper.stdout.readline())
        os.kill(keeper.pid, number)
        keeper.stdout.read()  # until nobody holds it
        assert keeper.wait() == 0
    assert not psutil.pid_exists(daemon)
