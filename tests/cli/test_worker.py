"""`gridless worker` in this process, by stand-ins for its workers: how it ends, what it tells, what
it keeps alive.
"""

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from search.cli import worker
from search.worker.engines import local, restarts
from search.worker.engines.ray import engine as ray
from search.worker.engines.started_mirror import Mirroring

Run = Callable[..., Result]


class StandIn:
    """Workers at work for as many looks as there are `steps`; each is taken at its look, and may
    tell a trouble.
    """

    made: tuple[Any, ...] = ()
    order: Any = None
    steps: Sequence[Callable[[], str | None]] = ()

    def __init__(self, *arguments: Any, **more: Any) -> None:
        type(self).made = (arguments, more)
        self._left = list(self.steps)
        self._told: str | None = None

    def start(self) -> None:
        pass

    def go(self, order: Any) -> None:
        type(self).order = order

    def check(self) -> bool:
        if self._left:
            self._told = self._left.pop(0)()
            return True
        return False

    def trouble(self) -> str | None:
        return self._told if self._left else None

    def stop(self) -> None:
        pass


@pytest.fixture
def run(own_home: Path, empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the command with workers that take these steps."""
    own_home.mkdir()
    shutil.copy(empty_sqlite, own_home / "studies.db")
    monkeypatch.setattr(worker, "TICK_S", 0.0)
    monkeypatch.setattr(local, "LocalWorkers", StandIn)
    monkeypatch.setattr(ray, "RayWorkers", StandIn)
    before = signal.getsignal(signal.SIGTERM)

    def run_it(*arguments: str, steps: Sequence[Callable[[], str | None]] = ()) -> Result:
        StandIn.steps = steps
        return CliRunner().invoke(worker.worker, [*arguments, "--quiet"], standalone_mode=False)

    yield run_it
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--until-idle",), 143)])
def test_sigterm_is_the_usual_end_of_a_service_but_not_of_a_job(
    run: Run, arguments: Sequence[str], code: int
) -> None:
    """Kubernetes replaces a pod by what it exits with, and would take 0 for: nothing is left to
    do.
    """
    result = run(
        *arguments,
        "--gpus",
        "none",
        "--no-mlflow",
        steps=[lambda: signal.raise_signal(signal.SIGTERM)],
    )
    assert (result.return_value, result.exception) == (code, None)
    assert run("--until-idle", "--gpus", "none", "--no-mlflow").return_value == 0


def test_a_trouble_is_told_once_while_the_others_go_on(run: Run) -> None:
    troubles = [None, "no room", "no room", None, "no room", "no GPU", "no GPU", None]
    result = run("--gpus", "none", "--no-mlflow", steps=[lambda t=t: t for t in troubles])
    assert result.stderr.splitlines() == ["note: no room", "note: no GPU"]


@pytest.mark.parametrize(("arguments", "n_starts"), [((), 7), (("--until-idle",), 4)])
def test_a_mirror_that_dies_is_started_again_like_a_worker(
    run: Run, arguments: Sequence[str], n_starts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(restarts, "time", SimpleNamespace(monotonic=lambda: now.s))
    started: list[subprocess.Popen[bytes]] = []

    def follow(*_: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["false"], stdin=subprocess.PIPE))
        return started[-1]

    def step() -> None:
        started[-1].wait()
        now.s += restarts.LONGEST_PAUSE_S

    staff = "search.worker.engines.started_mirror"
    monkeypatch.setattr(f"{staff}.start_mirror", follow)
    monkeypatch.setattr(f"{staff}.bring_now", lambda *_, **__: {})
    assert run(*arguments, "--gpus", "none", steps=[step] * 6).return_value == 0
    assert len(started) == n_starts


def test_no_mlflow_holds_for_the_reports_of_its_workers(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mirroring, "keep", lambda _: None)
    monkeypatch.setattr(Mirroring, "finish", lambda *_, **__: {})
    for arguments, mirrors in ((("--no-mlflow",), False), ((), True)):
        assert run("--gpus", "none", *arguments).return_value == 0
        assert (StandIn.order.reports, StandIn.order.mirrors) == (True, mirrors)


def test_what_is_asked_of_ray_is_not_judged_by_this_machine(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--trials-per-gpu", "4", "--workers", "16", "--until-idle", "--no-mlflow")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "there is no GPU to share" in str(run(*asked).exception)
    result = run("--engine", "ray", *asked)
    assert (result.return_value, result.exception) == (0, None)
    (_, _, n_workers), more = StandIn.made
    assert (n_workers, more["gpus_per_worker"]) == (16, 0.25)
