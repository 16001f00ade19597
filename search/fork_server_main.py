"""The server of `fork_server`: loads what is asked for once, then forks at each request."""

import importlib
import os
import pickle
import selectors
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NoReturn

from search.fork_server import NUMBER, Request

_MAX_FDS = 8
_PEER = struct.Struct("3i")
"""Process, user and group at the other end of a connection."""


class Server:
    """Forks until its lifeline is closed, and stays until what it forked has ended."""

    def __init__(self, listener: socket.socket, lifeline: int) -> None:
        self._listener, self._lifeline = listener, lifeline
        self._awake, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._children: dict[int, socket.socket] = {}
        """Each process's number, and whoever waits for its end."""

    def run(self) -> None:
        """Serve. In a forked process this never returns."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as ready:
            for source in (self._listener, self._lifeline, self._awake):
                ready.register(source, selectors.EVENT_READ)
            is_open = True
            while is_open or self._children:
                sources = [key.fileobj for key, _ in ready.select()]
                if self._awake in sources:
                    os.read(self._awake, 4096)
                    self._reap()
                if is_open and self._listener in sources:
                    self._fork()
                if self._lifeline in sources:
                    is_open = False
                    ready.unregister(self._lifeline)
                    ready.unregister(self._listener)
                    self._listener.close()

    def _fork(self) -> None:
        asking, _ = self._listener.accept()
        if not _is_ours(asking):
            asking.close()
            return
        pid = os.fork()
        if pid == 0:
            self._leave()
            _begin(asking)
        self._children[pid] = asking
        _send(asking, pid)

    def _leave(self) -> None:
        """Become a process that knows nothing of the server."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for other in (self._listener, *self._children.values()):
            other.close()
        for fd in (self._lifeline, self._awake, self._wake):
            os.close(fd)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                asking = self._children.pop(ended[0])
                _send(asking, os.waitstatus_to_exitcode(ended[1]))
                asking.close()


def _is_ours(asking: socket.socket) -> bool:
    """Whether the process that asks is this user's; a socket's folder says so where Linux can't."""
    if sys.platform != "linux":
        return True
    peer = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return bool(_PEER.unpack(peer)[1] == os.getuid())


def _send(asking: socket.socket, number: int) -> None:
    with suppress(OSError):  # whoever asked has ended
        asking.sendall(NUMBER.pack(number))


def _begin(asking: socket.socket) -> NoReturn:
    """Do what is asked for, and end."""
    code = 1
    try:
        _, fds, _, _ = socket.recv_fds(asking, 1, _MAX_FDS)
        with asking.makefile("rb") as file:
            size: int = NUMBER.unpack(file.read(NUMBER.size))[0]
            request: Request = pickle.loads(file.read(size))  # noqa: S301  our user's own
        asking.close()
        output, *others = fds
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.environ.clear()
        os.environ.update(request.environment)
        sys.path[:] = request.path
        os.chdir(request.folder)
        target, args = pickle.loads(request.target)  # noqa: S301
        target(*args, *map(Connection, others))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # whatever it is: this process must never go on as another server
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code)


def main() -> None:
    """`python -m search.fork_server_main LISTENER LIFELINE MODULE…`, descriptors and imports."""
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever started it ends it
        signal.signal(number, signal.SIG_IGN)
    listener, lifeline, *preload = sys.argv[1:]
    del sys.argv[1:]
    for name in preload:
        with suppress(Exception):  # whoever needs it imports it again, and is told why it can't be
            importlib.import_module(name)
    Server(socket.socket(fileno=int(listener)), int(lifeline)).run()
    os._exit(0)  # nothing is left to tidy, which would take a framework a while


if __name__ == "__main__":
    main()
