import http.client
import shutil
import socket
import threading
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from itertools import pairwise

import pytest

from search.errors import InputError, RetryLaterError
from search.report.serve import Fresh, serve, server_for
from search.report.study_report import news_of
from search.study.finalists import final_spec
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from tests.kept import ME, replicate
from tests.study.helpers import begin, spec


class Study:
    """Something to report of, whose state and failures a test decides."""

    def __init__(self):
        self.state, self.n_made, self.now, self.error = 1, 0, 0.0, None

    def stamp(self):
        if self.error:
            raise self.error
        return self.state

    def render(self):
        self.n_made += 1
        return f"<p>state {self.state} of é"

    def fresh(self):
        return Fresh(self.render, self.stamp, every_s=2.0, clock=lambda: self.now)


@contextmanager
def served(study):
    fresh = study.fresh()
    with server_for(fresh, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
    fresh.close()


def ask(port, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer, content


def test_a_page_is_made_anew_only_when_its_study_has_changed_and_some_time_has_passed():
    study = Study()
    fresh = study.fresh()
    first = fresh.get()
    study.state = 2
    assert fresh.get() == first
    study.now = 2.5
    second = fresh.get()
    assert b"state 2" in second.content
    assert second.tag != first.tag
    study.now = 5.0
    assert fresh.get() == second
    assert study.n_made == 2
    fresh.close()


def test_the_report_is_read_and_nothing_else():
    with served(Study()) as port:
        answer, content = ask(port)
        assert (answer.status, content) == (200, "<p>state 1 of é")
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        again, nothing = ask(port, "/?x=1", If_None_Match=answer.headers["ETag"])
        assert (again.status, nothing) == (304, "")
        assert ask(port, method="HEAD")[1] == ""
        for path in ("/../pyproject.toml", "/figures/", "//etc/passwd", "/%2e%2e/x"):
            assert ask(port, path)[0].status == 404
        assert ask(port, method="POST")[0].status == 501


def test_a_page_has_news_with_each_change_of_its_study_or_of_its_finalists(
    empty_sqlite, own_home, tmp_path
):
    storage = LedgerStorage(f"sqlite:///{shutil.copy(empty_sqlite, tmp_path)}")
    news = news_of(storage, "mine")
    with pytest.raises(InputError, match="'mine' is not in the storage"):
        news()
    searched = Ledger.open(storage, spec(name="mine", n_trials=2, finalists=1, n_replicates=1), {})
    seen = [news()]
    for _ in range(2):
        claim = begin(searched, ME, [0.5])
        seen.append(news())
        searched.complete(claim, 0.5)
        seen.append(news())
    final = Ledger.open(storage, final_spec(searched.spec, searched.trials()), {})
    seen.append(news())
    replicate(final, own_home)
    seen.append(news())
    assert all(before != after for before, after in pairwise(seen))
    assert news() == seen[-1]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:{port}", ""])
def test_a_name_that_only_points_here_is_not_answered(host):
    study = Study()
    with served(study) as port:
        answer, content = ask(port, Host=host.format(port=port))
        assert answer.status == 421
        assert "state" not in content
        assert study.n_made == 0
        assert ask(port, Host=f"localhost:{port}")[0].status == 200


def test_a_storage_out_of_reach_is_said_and_asked_again():
    study = Study()
    study.error = RetryLaterError("the database is away")
    with served(study) as port:
        answer, content = ask(port)
        assert (answer.status, "the database is away" in content) == (503, True)
        study.error = None
        assert ask(port)[0].status == 200


def test_it_ends_on_ctrl_c_and_listens_on_this_machine_only(monkeypatch):
    study, addresses = Study(), []

    def interrupt(server):
        addresses.append(server.server_address)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", interrupt)
    serve(study.render, 0, stamp=study.stamp, ready=addresses.append)
    url, (host, port) = addresses
    assert (url, host) == (f"http://127.0.0.1:{port}/", "127.0.0.1")
    with pytest.raises(ConnectionRefusedError):
        ask(port)


def test_a_port_that_cannot_be_had_is_a_wrong_input():
    study = Study()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} can't be listened on"):
            serve(study.render, port, stamp=study.stamp, ready=str)
    with pytest.raises(InputError, match="0 to 65535"):
        serve(study.render, 70_000, stamp=study.stamp, ready=str)
