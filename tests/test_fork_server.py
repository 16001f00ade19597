"""Processes that a server forks: what they are given, how their end is told, and when it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from search import fork_server
from search.errors import StudyError
from search.fork_server import ForkServer, ServerLostError


def say(what: str, pipe: Connection) -> None:
    pipe.send((what, Path.cwd(), os.environ["SAID"], sys.path[-1]))
    sys.stdout.write("written\n")


def end_as(code: int) -> None:
    sys.exit(code)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise ValueError("no such thing")


def wait(pipe: Connection) -> None:
    pipe.recv()


@pytest.fixture
def server() -> Iterator[ForkServer]:
    started = ForkServer.start(["no.such.module"])
    yield started
    started.close()


def test_a_process_is_given_its_arguments_folder_variables_path_and_output(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("/first")
    sys.path.append("/last")
    ours, theirs = Pipe()
    with (tmp_path / "output").open("wb") as file:
        variables = os.environ | {"SAID": "so"}
        forked = server.fork(say, ["hello"], [theirs], environment=variables, output=file.fileno())
    sys.path.remove("/last")
    assert ours.recv() == ("hello", tmp_path, "so", "/last")
    assert forked.join(30)
    assert (tmp_path / "output").read_text() == "written\n"


@pytest.mark.parametrize(
    ("act", "code"), [((end_as, 0), 0), ((end_as, 7), 7), ((die,), -signal.SIGKILL), ((fail,), 1)]
)
def test_its_exit_code_is_told(
    server: ForkServer, act: tuple[Callable[..., None], int], code: int, tmp_path: Path
) -> None:
    with (tmp_path / "output").open("wb") as file:
        forked = server.fork(act[0], act[1:], output=file.fileno())
    assert forked.join(30)
    assert forked.exitcode == code
    assert ("ValueError: no such thing" in (tmp_path / "output").read_text()) == (act == (fail,))


def test_what_runs_outlives_neither_waiting_nor_the_server(server: ForkServer) -> None:
    ours, theirs = Pipe()
    forked = server.fork(wait, [], [theirs])
    assert not forked.join(0.01)
    psutil.Process(forked.pid).parent().kill()
    assert forked.join(30)
    assert forked.exitcode is None
    with pytest.raises(ServerLostError):
        server.fork(end_as, [0])
    ours.send(None)


def test_another_server_is_started_for_one_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "_server", ForkServer("@nobody"))
    forked = fork_server.fork(end_as, [3], preload=())
    assert forked.join(30)
    assert forked.exitcode == 3
    fork_server.start(()).close()


def test_servers_that_die_again_and_again_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "_server", None)
    monkeypatch.setattr(fork_server, "RESTART_WAIT_S", 0.0)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StudyError, match="dies again and again"):
        fork_server.fork(end_as, [0], preload=())


OWNER = """
import sys
from multiprocessing import Pipe
from search import fork_server
from tests.test_fork_server import wait

ours, theirs = Pipe()
forked = fork_server.fork(wait, [], [theirs], preload=())
theirs.close()
print(forked.pid, flush=True)
sys.stdin.read()
"""


def test_a_server_ends_with_whoever_started_it() -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", OWNER], **pipes) as owner:  # type: ignore[call-overload]
        forked = psutil.Process(int(owner.stdout.readline()))
        server = forked.parent()
        owner.kill()
    assert psutil.wait_procs([forked, server], timeout=60)[1] == []


def test_a_server_is_shared_with_what_needs_nothing_that_it_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = ForkServer("@here")
    server.environment = {"OMP_NUM_THREADS": "1", "OTHER": "x"}
    monkeypatch.setattr(fork_server, "_server", server)
    assert fork_server.shared({"OMP_NUM_THREADS": "1"}) == {fork_server.ADDRESS: "@here"}
    assert fork_server.shared({"OMP_NUM_THREADS": "2"}) == {}
    assert fork_server.shared({"CUDA_VISIBLE_DEVICES": "0"}) == {}
