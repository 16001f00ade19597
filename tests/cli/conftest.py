"""Commands whose trials are only pretended."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from search.actions import plan_study as prepare
from search.actions import run, search_study
from search.training.probe import Corner, ProbeReport
from tests.worker.helpers import Sandbox, pretend, serve


@pytest.fixture
def pretending(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No process is started, no network built: trials are pretended in this process, by the test's
    `train` if any.
    """
    train = getattr(request, "param", pretend)

    @contextmanager
    def nobody(*_: Any, **__: Any) -> Iterator[None]:
        yield None

    def run_here(ledgers: Any, workers: Any, *, show: Any, warn: Any) -> run.End:
        serve(ledgers, Sandbox(train))
        return run.End.DONE

    monkeypatch.setattr(
        prepare, "probe", lambda *_, **__: ProbeReport((Corner({}, 1, None),), {}, ())
    )
    monkeypatch.setattr("search.worker.engines.started_workers.started_workers", nobody)
    monkeypatch.setattr(run, "run", run_here)
    monkeypatch.setattr(search_study, "run", run_here)
