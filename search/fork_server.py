"""Processes forked from a server that has loaded what they need: they begin at once.

This process starts a server when it first forks; the workers of a command share the command's. The
server has neither threads nor devices, and ends with the process that started it.
"""

import atexit
import os
import pickle
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Self

from search.errors import StudyError
from search.registry import folder_last

ADDRESS = "GRIDLESS_FORK_SERVER"
"""The environment variable that names the server of a worker's command."""
MAX_STARTS = 5
RESTART_WAIT_S = 0.2
_BACKLOG = 128
_END_WAIT_S = 1.0
NUMBER = struct.Struct("!q")
"""A process's number, and after it the status that it ended with, as the server sends them."""


class Request(NamedTuple):
    """What a forked process is to do."""

    target: bytes
    """The function and its arguments, pickled; the connections follow as its last arguments."""
    path: Sequence[str]
    """The asking process's `sys.path`."""
    folder: str
    """Its working folder."""
    environment: Mapping[str, str]


class ServerLostError(Exception):
    """The server ended."""


class Forked:
    """A process that a server forked."""

    def __init__(self, server: socket.socket) -> None:
        """`server` is the connection through which it was asked for. Raises ServerLostError."""
        self._server = server
        self.pid = _number_from(server)
        self.exitcode: int | None = None
        """Negative for a signal; None while it runs, and for ever if its server was lost."""
        self.is_over = False

    def join(self, wait_s: float | None) -> bool:
        """Wait for its end, or its server's, at most `wait_s` seconds; whether it is over."""
        if not self.is_over and select.select([self._server], [], [], wait_s)[0]:
            with suppress(ServerLostError):
                self.exitcode = _number_from(self._server)
            self.is_over = True
            self._server.close()
        return self.is_over


class ForkServer:
    """A server, by its address."""

    def __init__(self, address: str) -> None:
        """An address on Linux begins with @, and is a path elsewhere."""
        self.address = address
        self.environment: Mapping[str, str] = {}
        """What it was started with, if this process did."""
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._has_forked = False

    @classmethod
    def start(cls, preload: Sequence[str], environment: Mapping[str, str] | None = None) -> Self:
        """One that imports `preload` and ends with this process; it can be asked at once."""
        address = _new_address()
        read, lifeline = os.pipe()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(_bound(address))
            listener.listen(_BACKLOG)
            fds = (listener.fileno(), read)
            command = [sys.executable, "-m", "search.fork_server_main", *map(str, fds), *preload]
            server = cls(address)
            server.environment = dict(os.environ if environment is None else environment)
            server._lifeline = lifeline
            # In a session of its own: a terminal's Ctrl-C is for whoever asked.
            server._process = subprocess.Popen(  # noqa: S603
                command,
                env=folder_last() | server.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=fds,
                start_new_session=True,
            )
        os.close(read)
        atexit.register(server.close)
        return server

    def fork(
        self,
        target: Callable[..., object],
        args: Sequence[Any] = (),
        connections: Sequence[Connection] = (),
        *,
        environment: Mapping[str, str] | None = None,
        output: int = 2,
    ) -> Forked:
        """A process that calls `target(*args, *connections)`; its output goes to the file
        descriptor `output`. Raises ServerLostError.
        """
        variables = dict(os.environ if environment is None else environment)
        task = pickle.dumps((target, tuple(args)))
        request = pickle.dumps(Request(task, sys.path, str(Path.cwd()), variables))
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(_bound(self.address))
            socket.send_fds(server, [b"."], [output, *(c.fileno() for c in connections)])
            server.sendall(NUMBER.pack(len(request)) + request)
            self._has_forked = True
            return Forked(server)
        except (OSError, ServerLostError) as error:
            server.close()
            raise ServerLostError(str(error)) from error

    def close(self) -> None:
        """Let it end once nothing that it forked is left, if this process started it."""
        if self._process is None:
            return
        os.close(self._lifeline)
        if not self._has_forked:  # it may be loading still
            self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_WAIT_S)
        self._process = None


_lock = threading.Lock()
_server: ForkServer | None = None


def running() -> ForkServer | None:
    """This process's server, if one was started or named by ADDRESS."""
    global _server  # noqa: PLW0603  one per process, as the framework it holds is large
    if _server is None and (address := os.environ.pop(ADDRESS, None)):
        _server = ForkServer(address)
    return _server


def start(preload: Sequence[str], environment: Mapping[str, str] | None = None) -> ForkServer:
    """This process's server, started if there is none."""
    global _server  # noqa: PLW0603
    with _lock:
        server = running() or ForkServer.start(preload, environment)
        _server = server
        return server


def shared(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that lets a process in this `environment` use this one's server, if it may."""
    server = running()
    if server is None or not environment.items() <= server.environment.items():
        return {}
    return {ADDRESS: server.address}


def fork(
    target: Callable[..., object],
    args: Sequence[Any] = (),
    connections: Sequence[Connection] = (),
    *,
    preload: Sequence[str],
    environment: Mapping[str, str] | None = None,
    output: int = 2,
) -> Forked:
    """A process forked by this process's server, as `ForkServer.fork` does; another server, which
    imports `preload`, is started if there is none or it was lost.

    Raises StudyError when servers die again and again.
    """
    for attempt in range(MAX_STARTS):
        server = start(preload, environment)
        try:
            return server.fork(target, args, connections, environment=environment, output=output)
        except ServerLostError:
            _forget(server)
            time.sleep(RESTART_WAIT_S * (attempt > 0))
    raise StudyError("trials can't be started: their fork server dies again and again")


def _forget(lost: ForkServer) -> None:
    global _server  # noqa: PLW0603
    with _lock:
        if _server is lost:
            _server = None
            lost.close()


def _new_address() -> str:
    name = f"gridless-{uuid.uuid4().hex}"
    # Of Linux's abstract sockets no file is left, however a process ends.
    return f"@{name}" if sys.platform == "linux" else str(Path(tempfile.mkdtemp()) / name[:16])


def _bound(address: str) -> str:
    return f"\0{address[1:]}" if address.startswith("@") else address


def _number_from(server: socket.socket) -> int:
    data = b""
    while len(data) < NUMBER.size:
        piece = server.recv(NUMBER.size - len(data))
        if not piece:
            raise ServerLostError("it ended")
        data += piece
    number: int = NUMBER.unpack(data)[0]
    return number
