"""A report that keeps up with its study: a small server for a browser on this machine."""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from search.errors import GridlessError, InputError

HOST = "127.0.0.1"
_HTTP = 80
"""The port that browsers leave out of the Host that they ask for."""
EVERY_S = 2.0
"""The storage is asked for news no more often."""


class _Page(NamedTuple):
    content: bytes
    tag: str


class Fresh:
    """A page that is made anew when its sources change, at most every `every_s` seconds.

    `stamp` says in few words what the page is made of: equal stamps, same page. Both functions are
    called in one thread of their own, one call at a time: databases care which thread asks them.
    """

    def __init__(
        self,
        render: Callable[[], str],
        stamp: Callable[[], object],
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._render = render
        self._stamp = stamp
        self._every_s = every_s
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "report")
        self._page: _Page | None = None
        self._page_stamp: object = None
        self._next = -float("inf")

    def get(self) -> _Page:
        """The page as it is now. Raises what `render` and `stamp` raise."""
        return self._thread.submit(self._get).result()

    def close(self) -> None:
        """Make no more pages."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _get(self) -> _Page:
        if self._page is not None and self._clock() < self._next:
            return self._page
        stamp = self._stamp()
        if self._page is None or stamp != self._page_stamp:
            content = self._render().encode(errors="backslashreplace")
            self._page = _Page(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
            self._page_stamp = stamp
        # From its end: a page that takes longer to make than `every_s` must not be made all the
        # time.
        self._next = self._clock() + self._every_s
        return self._page


def serve(
    render: Callable[[], str],
    port: int,
    *,
    stamp: Callable[[], object],
    ready: Callable[[str], None],
) -> None:
    """Serve the page of `render` on http://127.0.0.1:`port`/ until Ctrl-C; 0 takes any free port.

    Read-only, and for this machine alone: it listens on the loopback address, and answers only to
    requests that name it, so that no page from elsewhere can read the report through a name that it
    lets point here (DNS rebinding). `stamp` is compared to tell whether the page must be made anew;
    `ready` is called with the address.

    A GridlessError of `render` or `stamp` is told to the browser, and the next request tries again.
    Raises InputError when the port can't be had.
    """
    fresh = Fresh(render, stamp)
    try:
        server = server_for(fresh, port)
    except OSError as error:
        fresh.close()
        raise InputError(
            f"port {port} can't be listened on: {error.strerror}; give another by --port"
        ) from error
    except OverflowError as error:
        fresh.close()
        raise InputError(f"port {port} is not a port; give 0 to 65535 by --port") from error
    with server:
        ready(f"http://{HOST}:{server.server_address[1]}/")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
        finally:
            fresh.close()


def server_for(fresh: Fresh, port: int) -> ThreadingHTTPServer:
    """A server that listens and gives out `fresh`.

    Raises OSError and OverflowError when `port` can't be had.
    """

    class Handler(_Handler):
        page = fresh

    # Threads, because browsers open connections that they don't use, which would keep one thread
    # waiting.
    return ThreadingHTTPServer((HOST, port), Handler)


class _Handler(BaseHTTPRequestHandler):
    page: Fresh
    timeout = 30.0
    server_version = "Gridless"
    sys_version = ""

    def do_GET(self) -> None:
        """The page at /, nothing anywhere else."""
        port: int = self.server.server_address[1]  # type: ignore[index,assignment]
        suffix = f":{port}"
        hosts = {HOST + suffix, "localhost" + suffix} | (
            {HOST, "localhost"} if port == _HTTP else set()
        )
        if self.headers.get("Host") not in hosts:
            self._tell(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"This report answers only at http://{HOST}{suffix}/.",
            )
        elif self.path.partition("?")[0] != "/":
            self._tell(HTTPStatus.NOT_FOUND, "There is nothing here; the report is at /.")
        else:
            self._give()

    do_HEAD = do_GET  # noqa: N815  # the base class's name for it

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name for it
        """Nothing: one line per question and browser is no news."""

    def _give(self) -> None:
        try:
            answer = self.page.get()
        except GridlessError as error:
            self._tell(HTTPStatus.SERVICE_UNAVAILABLE, f"The report can't be made now: {error}")
            return
        is_known = self.headers.get("If-None-Match") == answer.tag
        status = HTTPStatus.NOT_MODIFIED if is_known else HTTPStatus.OK
        self._send(status, answer.content, "text/html; charset=utf-8", {"ETag": answer.tag})

    def _tell(self, status: HTTPStatus, text: str) -> None:
        self._send(status, text.encode(errors="backslashreplace"), "text/plain; charset=utf-8", {})

    def _send(self, status: HTTPStatus, content: bytes, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in (headers | more).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != HTTPStatus.NOT_MODIFIED:
            with suppress(ConnectionError):  # the browser has gone elsewhere
                self.wfile.write(content)
