"""The command line in this process, with trials that are only pretended."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from search.actions import plan_study as prepare
from search.actions import run
from search.cli import main
from search.training.probe import Corner, ProbeReport
from tests.worker.helpers import Sandbox, pretend, serve


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Exit code, stdout and stderr of the command line, run in this process."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["gridless", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(exit_.value.code or 0), out, err

    return run


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
