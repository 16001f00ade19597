"""Workers of this machine: started, started again when they die, and stopped. A script stands for
the worker.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from search.errors import InputError
from search.worker.engines import restarts
from search.worker.engines.devices import Device
from search.worker.engines.local import LocalWorkers
from search.worker.engines.restarts import Restarts
from search.worker.engines.work_order import HOPELESS, STOPPED, WorkOrder
from tests.worker.helpers import wait_until

ORDER = WorkOrder("sqlite:////there/studies.db", ("s",))
CODES = """#!/bin/sh
# Notes what it was told, and ends as the file `exits` says; without one, once its stdin closes.
read -r order
echo "$* $CUDA_VISIBLE_DEVICES $order" >> {folder}/told
if [ -f {folder}/exits ]; then echo 'no room for anything' >&2; exit "$(cat {folder}/exits)"; fi
cat > /dev/null
echo "$*" >> {folder}/ended
exit 3
"""

Start = Callable[..., LocalWorkers]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The launcher's seconds, which pass when a test says so."""
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(restarts, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


@pytest.fixture
def start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> Iterator[Start]:
    script = tmp_path / "python"
    script.write_text(CODES.format(folder=tmp_path))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    started: list[LocalWorkers] = []

    def start_some(
        n: int = 1, *, exits: int | None = None, max_restarts: int | None = 3
    ) -> LocalWorkers:
        if exits is not None:
            (tmp_path / "exits").write_text(str(exits))
        devices = tuple(Device(f"GPU {i}", str(i)) for i in range(n))
        started.append(
            LocalWorkers(tmp_path / "home", devices, threads=1, max_restarts=max_restarts)
        )
        started[-1].start()
        started[-1].go(ORDER)
        return started[-1]

    yield start_some
    for workers in started:
        workers.stop()


def lines(file: Path) -> list[str]:
    return sorted(file.read_text().splitlines()) if file.exists() else []


def wait_for_death(workers: LocalWorkers) -> None:
    """They have ended, and the launcher has not been asked yet what to do about it."""
    wait_until(
        lambda: all(s.process is None or s.process.poll() is not None for s in workers._slots)
    )


def test_workers_get_their_device_and_their_order_and_end_when_told(
    tmp_path: Path, start: Start, clock: SimpleNamespace
) -> None:
    workers = start(2)
    wait_until(lambda: len(lines(tmp_path / "told")) == 2)
    expected = [
        f"-m search.worker --index {i} --device GPU {i} {i} {ORDER.to_line().decode().strip()}"
        for i in (0, 1)
    ]
    assert lines(tmp_path / "told") == expected
    clock.s += 1000
    assert workers.check()
    assert workers.trouble() is None
    workers.stop()
    assert len(lines(tmp_path / "ended")) == 2
    assert len(lines(tmp_path / "told")) == 2
    workers.stop()


def test_a_worker_that_dies_is_started_again_with_its_order_and_given_up_in_the_end(
    tmp_path: Path, start: Start, clock: SimpleNamespace
) -> None:
    workers = start(exits=1)
    for n, pause_s in enumerate((1, 2, 4), start=1):
        wait_for_death(workers)
        clock.s += pause_s - 0.1
        assert workers.check()
        assert len(lines(tmp_path / "told")) == n
        clock.s += 0.2
        assert workers.check()
        wait_until(lambda n=n: len(lines(tmp_path / "told")) == n + 1)  # type: ignore[misc]
    wait_for_death(workers)
    clock.s += 8
    assert not workers.check()
    clock.s += 1000  # being dead is no rest: another worker may have kept the command waiting
    assert not workers.check()
    assert len(set(lines(tmp_path / "told"))) == 1
    assert len(lines(tmp_path / "told")) == 4
    log = tmp_path / "home" / "logs" / "worker-0.log"
    assert workers.trouble() == f"no room for anything (see {log})"


def test_a_worker_that_lived_for_a_while_may_be_started_again_as_often(
    tmp_path: Path, start: Start, clock: SimpleNamespace
) -> None:
    workers = start()
    for n in range(1, 6):
        wait_until(lambda n=n: len(lines(tmp_path / "told")) == n)  # type: ignore[misc]
        clock.s += 100
        assert workers.check()
        [slot] = workers._slots
        assert slot.process is not None
        slot.process.kill()
        slot.process.wait()
        clock.s += 2
        assert workers.check()


@pytest.mark.parametrize(("code", "goes_on"), [(0, False), (HOPELESS, False), (STOPPED, True)])
def test_only_a_service_starts_workers_again_that_are_through(
    tmp_path: Path, start: Start, clock: SimpleNamespace, code: int, goes_on: bool
) -> None:
    for max_restarts, is_at_work in ((3, goes_on), (None, True)):
        workers = start(exits=code, max_restarts=max_restarts)
        wait_for_death(workers)
        clock.s += 2
        assert workers.check() is is_at_work
        if not is_at_work:  # one that was started again may have died again by now
            assert (workers.trouble() is None) is (code == 0)
        workers.stop()


def test_a_service_that_can_not_work_tries_more_and_more_seldom(
    tmp_path: Path, start: Start, clock: SimpleNamespace
) -> None:
    workers = start(exits=1, max_restarts=None)
    pauses = []
    for _ in range(7):
        wait_for_death(workers)
        died, n_before = clock.s, len(lines(tmp_path / "told"))
        while len(lines(tmp_path / "told")) == n_before:
            clock.s += 0.5
            [slot] = workers._slots
            process = slot.process
            assert workers.check()
            if slot.process is not process:
                wait_until(lambda n=n_before: len(lines(tmp_path / "told")) > n)  # type: ignore[misc]
        pauses.append(clock.s - died)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_pauses_stay_what_they_are_however_long_a_service_goes_on() -> None:
    service = Restarts(most=None)
    for _ in range(2000):
        service.again()
    assert service.pause_s == 30.0


def test_a_worker_that_can_not_be_started_again_is_as_one_that_died_at_once(
    tmp_path: Path, start: Start, clock: SimpleNamespace
) -> None:
    workers = start(exits=1)
    wait_for_death(workers)
    (tmp_path / "home" / "logs").rename(tmp_path / "logs")
    (tmp_path / "home" / "logs").touch()
    for pause_s in (1, 2):
        clock.s += pause_s
        assert workers.check()
    clock.s += 3.9
    assert workers.check()
    (tmp_path / "home" / "logs").unlink()
    assert workers.check()
    assert len(lines(tmp_path / "told")) == 1
    clock.s += 0.2
    assert workers.check()
    wait_until(lambda: len(lines(tmp_path / "told")) == 2)


def test_a_worker_that_does_not_end_is_made_to(
    start: Start, clock: SimpleNamespace, tmp_path: Path
) -> None:
    workers = start()
    wait_until(lambda: len(lines(tmp_path / "told")) == 1)
    [slot] = workers._slots
    assert slot.process is not None
    os.kill(slot.process.pid, signal.SIGSTOP)
    real = slot.process.wait
    slot.process.wait = lambda timeout=None: real(None if timeout is None else 0.05)  # type: ignore[method-assign]
    workers.stop()
    assert slot.process.returncode == -signal.SIGKILL


def test_a_folder_that_can_not_be_written_is_told_at_once(start: Start, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="home"):
        start()
