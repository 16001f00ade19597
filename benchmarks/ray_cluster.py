"""A study on a Ray cluster that loses a node: `python benchmarks/ray_cluster.py [--nodes 3]
[--trials 12]`.

Starts a PostgreSQL, a head without CPUs and `--nodes` nodes of one CPU each (raylets on this
machine, each with an address and a home folder of its own; checkpoints in a shared folder), runs
`gridless study mlp digits --engine ray`, and, once a third of the trials has ended, kills a node in
the middle of a trial, -9, with everything on it. The last line says how many trials ended: `12 of
12 finished, 0 running, 0 lost`. Needs the extras `dev` and `ray`.
"""

import argparse
import contextlib
import os
import secrets
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pgserver
import psutil

from search.errors import GridlessError
from search.records import TrialRecord
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage

NAME = "mlp-digits"
WAIT_S = 1200.0
START = [
    sys.executable,
    "-m",
    "ray.scripts.scripts",
    "start",
    "--block",
    "--object-store-memory=80000000",
]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gridless-ray-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        folder.chmod(0o755)  # root's PostgreSQL runs as another user
        server = pgserver.get_server(folder / "data", cleanup_mode="stop")
        os.environ |= {
            "GRIDLESS_STORAGE": server.get_uri(),
            "GRIDLESS_ARTIFACTS": str(folder / "shared"),
        }
        os.environ |= {"GRIDLESS_GRACE_S": "20", "RAY_USAGE_STATS_ENABLED": "0"}
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        try:
            with cluster(folder, args.nodes) as (address, nodes):
                return run(folder, args, address, nodes)
        finally:
            server.cleanup()


@contextlib.contextmanager
def cluster(folder: Path, n_nodes: int) -> Iterator[tuple[str, dict[Path, psutil.Process]]]:
    """The address of its head, and what runs each node, by the node's home."""
    with socket.socket() as free:
        free.bind(("127.0.0.2", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.2:{port}"
    running = []
    try:
        running.append(
            node(
                folder / "head",
                "--head",
                f"--port={port}",
                "--include-dashboard=false",
                ip=2,
                n_cpus=0,
            )
        )
        nodes = {}
        for i in range(n_nodes):
            home = folder / f"node-{i}"
            nodes[home] = node(home, f"--address={address}", ip=3 + i, n_cpus=1)
            running.append(nodes[home])
        yield address, nodes
    finally:
        for process in running:
            kill(process)


def node(home: Path, *options: str, ip: int, n_cpus: int) -> psutil.Process:
    home.mkdir()
    command = [*START, *options, f"--node-ip-address=127.0.0.{ip}", f"--num-cpus={n_cpus}"]
    with (home / "ray.log").open("wb") as log:
        process = psutil.Popen(
            command,
            env=os.environ | {"GRIDLESS_HOME": str(home)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_for(lambda: "Ray runtime started" in (home / "ray.log").read_text(), process)
    return process


def kill(process: psutil.Process) -> int:
    """Let a node lose its power; how many processes it had."""
    with contextlib.suppress(psutil.NoSuchProcess):
        processes = tree(process)
        for member in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        return len(processes)
    return 0


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [*process.children(recursive=True), process]


def run(
    folder: Path, args: argparse.Namespace, address: str, nodes: dict[Path, psutil.Process]
) -> int:
    command = [
        str(Path(sys.executable).with_name("gridless")),
        "study",
        "mlp",
        "digits",
        "--no-mlflow",
        "--quiet",
        "--fix",
        "units=1000",
    ]
    command += ["--n-trials", str(args.trials), "--epochs", str(args.epochs)]
    command += ["--engine", "ray", "--address", address, "--threads", "1"]
    began = time.monotonic()
    study = psutil.Popen(
        command, env=os.environ | {"GRIDLESS_HOME": str(folder / "home")}, cwd=folder
    )
    hit: list[TrialRecord] = []
    wait_for(lambda: bool(hit.extend(in_the_middle(args.trials)) or hit), study)
    victim = next(
        home
        for home, process in nodes.items()
        if worker_pid(hit[0]) in {p.pid for p in tree(process)}
    )
    n_killed = kill(nodes[victim])
    seconds = time.monotonic() - began
    print(
        f"{seconds:.0f} s: killed {victim.name}, {n_killed} processes, in trial {hit[0].number},"
        f" epoch {hit[0].epochs}"
    )
    code = study.wait(WAIT_S)
    records = trials()
    counts, n_ended = Counter(t.state for t in records), sum(t.ended is not None for t in records)
    gaps = sum([e.step for e in t.curve] != list(range(1, t.epochs + 1)) for t in records)
    again = next(t for t in records if t.number == hit[0].number)
    print(f"trial {again.number}: {again.n_retries} retries, {again.epochs} epochs, {again.state}")
    print(
        f"{time.monotonic() - began:.0f} s: exit code {code}, {dict(counts)}, {gaps} curves with"
        " gaps or repeats"
    )
    print(
        f"{n_ended} of {args.trials} finished, {counts['RUNNING']} running,"
        f" {args.trials - len(records)} lost"
    )
    return 0 if code == gaps == 0 and n_ended == args.trials == len(records) else 1


def in_the_middle(n_trials: int) -> list[TrialRecord]:
    """Trials that are in the middle of their epochs, once a third of all has ended."""
    records = trials()
    if sum(t.ended is not None for t in records) < n_trials / 3:
        return []
    return [t for t in records if t.state == "RUNNING" and 0 < t.epochs < (t.total_epochs or 0) - 2]


def trials() -> list[TrialRecord]:
    try:
        return Ledger(storage(), NAME).trials()
    except GridlessError:
        return []  # the study is not there yet


@cache
def storage() -> LedgerStorage:
    return LedgerStorage(os.environ["GRIDLESS_STORAGE"])


def worker_pid(trial: TrialRecord) -> int:
    return int((trial.worker or "/0").rpartition("/")[2])


def wait_for(holds: Callable[[], bool], process: psutil.Popen) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args} ended, or hangs")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
