"""Workers on a Ray cluster: what a node's keeper does, what is refused, and a real cluster that
loses a node.
"""

import contextlib
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from search.errors import InputError
from search.study.environment import code_version
from search.worker.engines import restarts
from search.worker.engines.ray import driver as ray_driver
from search.worker.engines.ray.cluster import ClusterSettings, unfit
from search.worker.engines.ray.driver import Driver
from search.worker.engines.ray.engine import RayWorkers
from search.worker.engines.ray.keeper import Keeper, Report, Terms, machine
from search.worker.engines.work_order import HOPELESS, STOPPED, WorkOrder

ORDER = WorkOrder("postgresql://user:hidden@db/gridless")
STAND_IN = """
import json, os, sys, time
folder = os.environ["GRIDLESS_HOME"]
note = os.path.join(folder, "note-" + sys.argv[sys.argv.index("--index") + 1] + "-" + str(os.getpid()))

def say(**facts):
    with open(note + ".part", "w") as file:
        json.dump(facts, file)
    os.replace(note + ".part", note)

line = sys.stdin.buffer.readline()
say(order=line.decode(), secret=os.environ.get("MLFLOW_TRACKING_PASSWORD"), threads=os.environ["OMP_NUM_THREADS"])
while not os.path.exists(os.path.join(folder, "crash")):
    if os.path.exists(os.path.join(folder, "over")):
        sys.exit(0)
    if not select.select([0], [], [], 0.05)[0]:
        continue
    say(gave_back=True)
    sys.exit(3)
os.remove(os.path.join(folder, "crash"))
print("last words")
sys.exit(9)
"""


def until(holds: Callable[[], Any], wait_s: float = 60.0) -> Any:
    deadline = time.monotonic() + wait_s
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def notes(home: Path, index: str = "*") -> dict[int, dict[str, Any]]:
    found = [p for p in home.glob(f"note-{index}-*") if p.suffix != ".part"]
    return {int(p.name.rpartition("-")[2]): json.loads(p.read_text()) for p in found}


@pytest.fixture
def stand_in(tmp_path: Path) -> tuple[str, ...]:
    """Instead of the worker program."""
    script = tmp_path / "stand_in.py"
    script.write_text("import select\n" + STAND_IN)
    return (str(script),)


@pytest.fixture
def terms(own_home: Path, stand_in: tuple[str, ...]) -> Terms:
    secret = {"MLFLOW_TRACKING_PASSWORD": "s3cret"}
    return Terms(code_version(), machine(), True, secret, str(own_home), 3, 0.0, stand_in)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The seconds by which restarts are counted, which pass when a test says so."""
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(restarts, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    made = Keeper(7, "node")
    yield made
    made.stop()


def test_a_worker_gets_its_order_once_and_gives_back_when_stopped(
    terms: Terms, keeper: Keeper, own_home: Path
) -> None:
    assert keeper.serve(terms, None).is_at_work
    assert [keeper.serve(terms, ORDER.to_line()).is_at_work for _ in range(3)] == [True] * 3
    pid, note = until(lambda: notes(own_home)).popitem()
    # MLflow's password is not for the worker, whose trials run other people's code.
    assert note == {"order": ORDER.to_line().decode(), "secret": None, "threads": "3"}
    keeper.stop()
    assert notes(own_home) == {pid: {"gave_back": True}}
    assert keeper.serve(replace(terms, max_restarts=0), None).code == STOPPED


def test_a_worker_that_crashed_is_started_again_and_told_again(
    terms: Terms, keeper: Keeper, own_home: Path
) -> None:
    keeper.serve(terms, ORDER.to_line())
    until(lambda: notes(own_home))
    (own_home / "crash").touch()
    until(lambda: len(notes(own_home)) == 2 or not keeper.serve(terms, ORDER.to_line()).is_at_work)
    assert [note["order"] for note in notes(own_home).values()] == [ORDER.to_line().decode()] * 2
    (own_home / "crash").touch()
    report = until(
        lambda: r if (r := keeper.serve(replace(terms, max_restarts=1), None)).code else None
    )
    assert report.code == 9
    assert report.trouble.startswith("last words (see ")


NOTED = """#!/bin/sh
# Notes its number under its first argument but Python's -P, and ends once its stdin closes.
shift
echo $$ >> "$GRIDLESS_HOME/$1"
read -r _
"""


@pytest.fixture
def noted(tmp_path: Path, own_home: Path, terms: Terms, monkeypatch: pytest.MonkeyPatch) -> Terms:
    """A worker of which nothing is known but its number."""
    script = tmp_path / "python"
    script.write_text(NOTED)
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    own_home.mkdir()
    return replace(terms, machine="the command's", one_machine=False, program=("worker",))


def end(noted: Path, n: int) -> None:
    """Kill the `n`-th process that is noted in a file."""
    until(lambda: noted.exists() and len(noted.read_text().splitlines()) == n)
    process = psutil.Process(int(noted.read_text().splitlines()[-1]))
    process.kill()
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_what_lived_for_a_while_is_started_again_as_often(
    noted: Terms, keeper: Keeper, own_home: Path, clock: SimpleNamespace
) -> None:
    assert keeper.serve(noted, None).is_at_work
    for n in range(1, 6):
        clock.s += 100
        assert keeper.serve(noted, None).is_at_work
        end(own_home / "worker", n)
        clock.s += 2
        assert keeper.serve(noted, None).is_at_work


def test_being_dead_is_no_rest(
    noted: Terms, keeper: Keeper, own_home: Path, clock: SimpleNamespace
) -> None:
    keeper.serve(noted, None)
    for n, pause_s in enumerate((1, 2, 4), start=1):
        end(own_home / "worker", n)
        clock.s += pause_s - 0.1
        keeper.serve(noted, None)
        assert len((own_home / "worker").read_text().splitlines()) == n
        clock.s += 0.2 if n < 3 else 1000  # asked late: it was dead meanwhile
        keeper.serve(noted, None)
    end(own_home / "worker", 4)
    clock.s += 1000
    code = keeper.serve(noted, None).code
    assert (code, len((own_home / "worker").read_text().splitlines())) == (-9, 4)


class PretendRay:
    """Ray's answers to one worker's driver; its actor dies when a test says so."""

    def __init__(self) -> None:
        class RayError(Exception):
            pass

        self.exceptions = SimpleNamespace(
            RayError=RayError, ActorUnavailableError=type("_", (RayError,), {})
        )
        self.n_placed = 0
        self.is_lost = False
        handle = SimpleNamespace(remote=lambda *_: "answer")
        actor = SimpleNamespace(serve=handle, stop=handle)
        self.remote = lambda _class: SimpleNamespace(
            options=lambda **_: SimpleNamespace(remote=self._place(actor))
        )
        self.init = self.shutdown = lambda *_, **__: None
        self.nodes = lambda: [_node("a", CPU=1) | {"Alive": True, "NodeID": "a"}]

    def _place(self, actor: Any) -> Callable[[int], Any]:
        def place(_index: int) -> Any:
            self.n_placed += 1
            self.is_lost = False
            return actor

        return place

    def wait(self, answers: list[str], **_: Any) -> tuple[list[str], list[str]]:
        return answers, []

    def get(self, _answer: str) -> Report:
        if self.is_lost:
            raise self.exceptions.RayError("the actor died")
        return Report("a", None)


@pytest.fixture
def placed(
    terms: Terms, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> tuple[PretendRay, Driver]:
    ray = PretendRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(
        ray_driver, "time", SimpleNamespace(monotonic=lambda: clock.s, sleep=lambda _: None)
    )
    driver = Driver(ClusterSettings(None, 1, 0.0, 1.0, shared_storage=True, terms=terms))
    assert driver.start() == 1
    return ray, driver


def test_an_actor_that_lived_for_a_while_is_placed_again_as_often(
    placed: tuple[PretendRay, Driver], clock: SimpleNamespace
) -> None:
    ray, driver = placed
    for n in range(2, 8):
        clock.s += 100
        assert driver.check()
        ray.is_lost = True
        driver.check()
        clock.s += 1
        driver.check()
        driver.check()
        assert (ray.n_placed, driver.trouble()) == (n, None)


def test_an_actor_that_dies_at_once_is_given_up(
    placed: tuple[PretendRay, Driver], clock: SimpleNamespace
) -> None:
    ray, driver = placed
    for _ in range(30):
        ray.is_lost = True
        driver.check()
        clock.s += 1
    assert ray.n_placed == 4
    assert driver.trouble() == "Ray can't keep worker 0: the actor died"


def test_a_nodes_own_home_goes_before_the_commands(
    terms: Terms, keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDLESS_HOME", str(tmp_path / "node"))
    terms = replace(terms, variables={"GRIDLESS_HOME": str(tmp_path / "command")})
    keeper.serve(terms, ORDER.to_line())
    assert until(lambda: notes(tmp_path / "node"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": "0.0.1"}, "install the same on every node"),
        ({"machine": "elsewhere"}, "set GRIDLESS_STORAGE to a PostgreSQL URL"),
        ({"home": "/dev/null/runs"}, "set GRIDLESS_HOME"),
    ],
)
def test_a_node_that_can_not_serve_says_why(
    change: dict[str, Any], told: str, terms: Terms, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRIDLESS_HOME")
    report = keeper.serve(replace(terms, **change), None)
    assert report.code == HOPELESS
    assert told in str(report.trouble)


def _node(name: str, **resources: float) -> dict[str, Any]:
    return {"NodeManagerHostname": name, "NodeManagerAddress": name, "Resources": resources}


@pytest.mark.parametrize(
    ("gpus", "cpus", "nodes", "room"),
    [
        (None, None, [_node("a", CPU=8, GPU=2), _node("b", CPU=1, GPU=1), _node("c", CPU=64)], 3),
        (None, None, [_node("a", CPU=7), _node("b", CPU=3)], 3),
        (1 / 3, None, [_node("a", CPU=8, GPU=2)], 6),
        (1.0, 4.0, [_node("a", CPU=8, GPU=4)], 2),
        (0.0, None, [_node("a", CPU=4, GPU=4)], 1),
    ],
)
def test_one_worker_per_gpu_or_by_its_threads_where_there_is_none(
    gpus: float | None, cpus: float | None, nodes: list[dict[str, Any]], room: int, terms: Terms
) -> None:
    settings = ClusterSettings("auto", None, gpus, cpus, shared_storage=True, terms=terms).resolved(
        nodes
    )
    assert settings.room(nodes) == room


def test_what_many_machines_need_is_told_at_once(
    terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRIDLESS_ARTIFACTS", raising=False)
    settings = ClusterSettings("auto", None, None, None, shared_storage=False, terms=terms)
    nodes = [_node("a", CPU=1), _node("b")]
    problems = unfit(settings.resolved(nodes), nodes)
    for missing in (
        "room for a worker",
        "GRIDLESS_STORAGE",
        "GRIDLESS_ARTIFACTS",
    ):
        assert sum(missing in problem for problem in problems) == 1


def test_without_ray_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install 'gridless\[ray\]'"):
        RayWorkers(tmp_path, None, None, None, None, 1).start()


NODES = """
import json, os, sys
told = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
from ray.cluster_utils import Cluster
cluster = Cluster()
for line in sys.stdin:
    os.environ["GRIDLESS_HOME"], n_cpus = json.loads(line)
    head = {} if cluster.head_node else {"include_dashboard": False}
    node = cluster.add_node(num_cpus=n_cpus, node_ip_address="127.0.0.1", **head)
    pid = node.all_processes["raylet"][0].process.pid
    told.write(json.dumps([cluster.address, pid]) + chr(10))
cluster.shutdown()
"""


class Cluster:
    """A Ray cluster of nodes on this machine, which only it can reach; each node has a home folder
    of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pids: dict[Path, int] = {}
        self.address = ""
        variables = os.environ | {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_health_check_period_ms": "300",
        }
        with (folder / "cluster.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", NODES],
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def add(self, *, n_cpus: int) -> Path:
        """Start a node; its home."""
        home = self._folder / f"node-{len(self._pids)}"
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([str(home), n_cpus]).encode() + b"\n")
        self.process.stdin.flush()
        self.address, self._pids[home] = json.loads(self.process.stdout.readline())
        return home

    def kill(self, home: Path) -> None:
        """Let a node lose its power."""
        raylet = psutil.Process(self._pids[home])
        for process in [*raylet.children(recursive=True), raylet]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'gridless[ray]'")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    made = Cluster(tmp_path)
    yield made
    made.process.communicate()


def test_a_worker_whose_node_dies_comes_back_on_another(
    cluster: Cluster, stand_in: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDLESS_ARTIFACTS", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    cluster.add(n_cpus=0)
    homes = [cluster.add(n_cpus=1), cluster.add(n_cpus=1)]
    workers = RayWorkers(tmp_path, cluster.address, None, None, None, 1, program=stand_in)
    workers.start()
    assert workers.n_started == 2
    workers.go(ORDER)
    before = [until(lambda home=home: notes(home)) for home in homes]
    assert all(before)
    for note in (note for of_home in before for note in of_home.values()):
        assert note["order"] == ORDER.to_line().decode()
        assert note["secret"] == "s3cret"
    cluster.kill(homes[0])
    spare = cluster.add(n_cpus=1)
    until(lambda: notes(spare))
    assert workers.check()
    assert workers.trouble() is None
    assert notes(homes[1]) == before[1]
    workers.stop()
    for home in (homes[1], spare):
        [note] = notes(home).values()
        assert note == {"gave_back": True}
