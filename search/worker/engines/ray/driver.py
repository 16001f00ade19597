"""Places workers over a Ray cluster: `python -m search.worker.engines.ray.driver`, the process
behind `RayWorkers`.

A process of its own, since Ray prints on stdout, takes SIGTERM for itself, and ends its process
when the cluster's head is lost. When stdin closes, or by SIGTERM, it has the workers give their
trials back, and ends.

Reads lines of JSON: its ClusterSettings, then {"order": …} with the line of a WorkOrder.
Writes lines of JSON: {"problems": […]} if it can't start, else {"n_workers": n}, then every second
{"at_work": …, "trouble": …}.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import IO, Any

from search.errors import InputError
from search.worker.engines.protocol import STOP_WAIT_S
from search.worker.engines.ray.cluster import ClusterSettings, connect, unfit
from search.worker.engines.ray.keeper import Actor, Report
from search.worker.engines.restarts import Restarts

TICK_S = 1.0
START_WAIT_S = 120.0
SHUTDOWN_S = 10.0
NO_ROOM_S = 600.0
"""So long may a worker wait for a place, since clusters that grow by themselves take minutes to."""
ACTORS_ENVIRONMENT = {"RAY_kill_child_processes_on_worker_exit": "0"}
"""Ray would kill the worker with its keeper; it sees the closed pipe and ends by itself."""


@dataclass
class _Slot:
    index: int
    actor: Any = None
    answer: Any = None
    """Of the call that is under way."""
    report: Report | None = None
    """The last one; None for a worker that has no place yet."""
    since: float = 0.0
    """When it was, or is to be, given to Ray to place."""
    restarts: Restarts = field(default_factory=Restarts)
    """Of its actor, where that died and not its node."""
    trouble: str | None = None
    """Why it was given up."""

    @property
    def is_over(self) -> bool:
        return self.trouble is not None or (
            self.report is not None and self.report.code is not None
        )


class Driver:
    """The workers of one command, each kept by an actor that ends with this process."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self._slots: list[_Slot] = []
        self._order: bytes | None = None

    def start(self) -> int:
        """Connect to the cluster, or start one, and start the workers; how many.

        Raises InputError when the cluster can't be reached, does not fit, or no worker can be
        started on it.
        """
        nodes = connect(self._settings.address)
        self._settings = self._settings.resolved(nodes)
        if problems := unfit(self._settings, nodes):
            raise InputError(problems)
        room = self._settings.room(nodes)
        most = self._settings.terms.max_restarts
        self._slots = [
            _Slot(i, restarts=Restarts(most)) for i in range(self._settings.n_workers or room)
        ]
        for slot in self._slots:
            self._place(slot)
        self._await(min(room, len(self._slots)))
        return len(self._slots)

    def _await(self, n: int) -> None:
        """Wait until `n` workers run, or can't; not where nothing can be done on the cluster."""
        deadline = time.monotonic() + START_WAIT_S
        while (
            sum(s.report is not None or s.is_over for s in self._slots) < n
            and time.monotonic() < deadline
        ):
            self.check()
            time.sleep(0.1)
        troubles = [s.trouble or (s.report.trouble if s.report else None) for s in self._slots]
        if any(troubles) and not any(s.report and s.report.is_at_work for s in self._slots):
            raise InputError(list(dict.fromkeys(t for t in troubles if t)))

    def _place(self, slot: _Slot) -> None:
        import ray  # noqa: PLC0415  # an extra

        needs = self._settings.needs
        slot.actor = (
            ray.remote(Actor)
            .options(
                num_gpus=needs["GPU"],
                num_cpus=needs["CPU"],
                scheduling_strategy="SPREAD",
                runtime_env={"env_vars": ACTORS_ENVIRONMENT},
            )
            .remote(slot.index)
        )
        slot.report, slot.since = None, time.monotonic()
        self._ask(slot)

    def _ask(self, slot: _Slot) -> None:
        slot.answer = slot.actor.serve.remote(self._settings.terms, self._order)

    def go(self, order: bytes) -> None:
        """Let the workers serve `order`, a line."""
        self._order = order

    def check(self) -> bool:
        """Take the workers' reports, place lost ones elsewhere; whether any is at work."""
        for slot in self._slots:
            if slot.actor is None and not slot.is_over and time.monotonic() >= slot.since:
                self._place(slot)
            elif slot.actor is not None and not slot.is_over:
                self._look(slot)
        if any(s.report and s.report.is_at_work for s in self._slots):
            return True
        # A worker without a place has nothing to wait for when another saw that nothing is left to
        # do.
        done = any(s.report and s.report.code == 0 for s in self._slots)
        return not done and any(
            not s.is_over and time.monotonic() - s.since < NO_ROOM_S for s in self._slots
        )

    def _look(self, slot: _Slot) -> None:
        import ray  # noqa: PLC0415

        ready, _ = ray.wait([slot.answer], timeout=0)
        if not ready:
            return
        try:
            report = ray.get(slot.answer)
            if slot.report is None:
                # Not when it was given to Ray: it may have waited for a place.
                slot.restarts.begin()
            else:
                slot.restarts.live()
            slot.report = report
        except ray.exceptions.ActorUnavailableError:
            pass  # Ray itself finds out whether its node is dead or only out of reach
        except ray.exceptions.RayError as error:
            self._lost(slot, " ".join(str(error).split()))
        if slot.actor is not None and not slot.is_over:
            self._ask(slot)

    def _lost(self, slot: _Slot, error: str) -> None:
        """Find another place for a worker whose actor died; a few times, if its node lives."""
        import ray  # noqa: PLC0415

        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        node_lives = slot.report is None or slot.report.node in alive
        print(f"worker {slot.index} was lost: {error}", file=sys.stderr, flush=True)  # noqa: T201
        if node_lives and slot.restarts.are_spent:
            slot.trouble = f"Ray can't keep worker {slot.index}: {error}"
            return
        slot.actor, slot.report = None, None
        slot.since = time.monotonic()
        if node_lives:
            slot.since += slot.restarts.pause_s
            slot.restarts.again()

    def trouble(self) -> str | None:
        """Why a worker ended before the studies, or never began; None while all is well."""
        troubles = [s.trouble or (s.report.trouble if s.report else None) for s in self._slots]
        if any(troubles):
            return next(trouble for trouble in troubles if trouble)
        if any(s.report is None and time.monotonic() - s.since >= NO_ROOM_S for s in self._slots):
            return (
                f"for {NO_ROOM_S:.0f} s the Ray cluster had no room for a worker, which needs"
                f" {self._settings.needs}"
            )
        return None

    def stop(self) -> None:
        """Let the workers give their trials back and end."""
        import ray  # noqa: PLC0415

        placed = [s.actor.stop.remote() for s in self._slots if s.report]
        if placed:
            ray.wait(placed, num_returns=len(placed), timeout=STOP_WAIT_S + 2 * TICK_S)
        ray.shutdown()


def main() -> int:
    """Serve one command until it closes stdin."""
    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever Ray prints belongs in the log
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    driver = Driver(ClusterSettings.from_line(lines.get()))
    try:
        output.write(json.dumps({"n_workers": driver.start()}) + "\n")
        signal.signal(signal.SIGTERM, lambda *_: lines.put(b""))  # after Ray has set its own
        _follow(driver, lines, output)
    except InputError as error:
        output.write(json.dumps({"problems": error.problems}) + "\n")
        return 2
    except BrokenPipeError:
        return 1
    finally:
        driver.stop()
    return 0


def _follow(driver: Driver, lines: "queue.Queue[bytes]", output: IO[str]) -> None:
    while True:
        try:
            if not (line := lines.get(timeout=TICK_S)):
                return
            driver.go(json.loads(line)["order"].encode())
        except queue.Empty:
            pass
        output.write(json.dumps({"at_work": driver.check(), "trouble": driver.trouble()}) + "\n")


def _read(lines: "queue.Queue[bytes]") -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    lines.put(b"")
    # Ray can't be interrupted while it looks for a cluster that does not answer.
    time.sleep(STOP_WAIT_S + SHUTDOWN_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
