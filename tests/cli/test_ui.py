"""`gridless ui` where MLflow is a server that asks for an account."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from search.records import ACCURACY
from search.tracking.mlflow.pages import VIEW_TAG, view_of

Command = Callable[..., tuple[int, str, str]]
ACCOUNT = b64encode(b"user:s3cret").decode()
EXPERIMENT = {
    "experiment_id": "7",
    "name": "mine",
    "lifecycle_stage": "active",
    "tags": [{"key": VIEW_TAG, "value": view_of(ACCURACY, [])}],
}


class Server(BaseHTTPRequestHandler):
    """Knows one experiment, and one account."""

    def do_GET(self) -> None:
        self._answer({"experiment": EXPERIMENT})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"runs": []})

    def _answer(self, answer: object) -> None:
        is_known = self.headers.get("Authorization") == f"Basic {ACCOUNT}"
        self.send_response(200 if is_known else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode() if is_known else b"who are you? not s3cret")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _home(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD", "PASSWORD_FILE", "TOKEN"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")


def test_the_address_is_printed_without_its_account(
    command: Command, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:s3cret@{host}/")
    assert command("ui") == (0, f"http://{host}\n", "")
    page = f"http://{host}/#/experiments/7/runs?viewStateShareKey=gridless\n"
    assert command("ui", "mine") == (0, page, "")


def test_the_servers_account_is_that_of_the_environment(
    command: Command, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{host}")
    code, out, err = command("ui", "mine")
    assert (code, out, err.count("\n"), "401" in err) == (1, "", 1, True), err
    (tmp_path / "password").write_text("s3cret\n")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "user")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(tmp_path / "password"))
    code, out, err = command("ui", "mine")
    assert (code, "/experiments/7/" in out) == (0, True), err


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[oops"])
def test_a_server_out_of_reach_is_said_in_a_line_without_its_password(
    command: Command, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:s3cret@{address}")
    code, out, err = command("ui", "mine")
    assert (code, out, err.count("\n"), "s3cret" in err) == (1, "", 1, False), err
    assert err.startswith("error: MLflow at http://user:***@")
