"""The database, MLflow and the launchers of `faults.py`, and each fault as one method."""

import argparse
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pgserver
import psutil

from search.errors import GridlessError
from search.records import TrialRecord
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage

NAME = "faults"
GRACE_S = 15.0
EPOCHS = 12
PINNED = ("depth=1", "units=64", "batch_size=10", "optimizer=adam", "epochs=12")
GRIDLESS = str(Path(sys.executable).with_name("gridless"))
# Debian's libfaketime 0.9.10 breaks time.sleep of Python 3.11, so the clock is Python's own only.
AHEAD = """
import time
real, until = time.time, time.monotonic() + 30
time.time = lambda: real() + 3600 * (time.monotonic() > until)
"""
"""A sitecustomize.py: half a minute after a process began, its clock is set an hour forward."""


KINDS = (
    "worker killed",
    "worker hung",
    "fork server killed",
    "SIGTERM to trials",
    "launcher stopped",
    "launcher killed",
    "MLflow killed",
    "database away for 8 s",
    "database hung",
    "clock set forward",
)
"""Faults that must have hit a running trial."""


class Rig:
    """The database, MLflow, the launchers of workers, and what is done to them."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.folder, self.args = folder, args
        self.began = time.monotonic()
        self.problems: list[str] = []
        self.n_killed = 0
        self.n_trials = 0
        """Of the study, so far."""
        self.hits: Counter[str] = Counter()
        """How often each kind of fault met a running trial."""
        self.outages: list[tuple[str, float, float]] = []
        """What was out of reach, from when and until when."""
        self.busy_until = 0.0
        self.spared: set[int] = set()
        """Workers that another fault has in hand."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.postgres = pgserver.get_server(folder / "data", cleanup_mode="stop")
        self.mlflow: psutil.Popen | None = None
        os.environ |= {
            "GRIDLESS_STORAGE": self.postgres.get_uri(),
            "GRIDLESS_HOME": str(folder / "home"),
        }
        os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # for language models
        os.environ |= {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.port}",
            "GRIDLESS_GRACE_S": str(GRACE_S),
        }
        self.ledger: Ledger
        self.launcher: psutil.Popen
        self.ahead: psutil.Popen

    def say(self, text: str) -> None:
        """Print what happens, with the seconds since the beginning."""
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", flush=True)

    def submit(self, n_trials: int) -> None:
        """Put the study on the queue, or let it go on to `n_trials`."""
        command = [
            GRIDLESS,
            "submit",
            "mlp",
            "digits",
            "--name",
            NAME,
            "--n-trials",
            str(n_trials),
            "--quiet",
        ]
        command += [
            "--epochs",
            str(EPOCHS),
            "--strategy",
            "halving",
            "--finalists",
            "1",
            *(f"--fix={pin}" for pin in PINNED),
        ]
        if (
            subprocess.run(command, check=False, cwd=self.folder).returncode == 0
        ):  # the database may be away
            self.n_trials = n_trials
        self.ledger = Ledger(LedgerStorage(os.environ["GRIDLESS_STORAGE"]), NAME)

    def launch(self, n_workers: int, *options: str, **variables: str) -> psutil.Popen:
        """Start `gridless worker`."""
        command = [
            GRIDLESS,
            "worker",
            "--gpus",
            "none",
            "--workers",
            str(n_workers),
            "--threads",
            "1",
            *options,
        ]
        with (self.folder / "launchers.log").open("ab") as log:
            return psutil.Popen(
                command, cwd=self.folder, env=os.environ | variables, stdout=log, stderr=log
            )

    def workers(self) -> list[psutil.Process]:
        """The worker processes of both launchers."""
        return [
            p
            for process in (self.launcher, self.ahead)
            for p in tree(process)
            if "search.worker" in words(p)
        ]

    def fork_servers(self) -> list[psutil.Process]:
        """The launcher's, and those of workers that lost it."""
        starters = {self.launcher.pid, *(worker.pid for worker in self.workers())}
        return [p for p in tree(self.launcher) if p.ppid() in starters and is_forked(p)]

    def trial_processes(self) -> list[psutil.Process]:
        """Forked by a fork server, which the command started, or a worker that lost that one."""
        servers = {p.pid for p in self.fork_servers()}
        keepers = {p.pid for p in tree(self.launcher) if p.ppid() in servers}
        return [p for p in tree(self.launcher) if p.ppid() in keepers and is_forked(p)]

    def holders(self) -> list[psutil.Process]:
        """The workers that train a trial now, of which at least an epoch is stored."""
        held = {
            int((t.worker or "/0").rpartition("/")[2])
            for t in self.trials()
            if t.state == "RUNNING" and t.curve
        }
        return [p for p in self.workers() if p.pid in held]

    def trials(self) -> list[TrialRecord]:
        """The trials; none while the database is away."""
        try:
            return self.ledger.trials()
        except GridlessError:
            return []

    def kill_worker(self) -> None:
        """Kill -9 of a worker that trains, else of any, unless another fault has it in hand."""
        holders = [p for p in self.holders() if p.pid not in self.spared]
        victims = holders or [p for p in self.workers() if p.pid not in self.spared]
        if victims and time.monotonic() > self.busy_until:
            random.choice(victims).kill()
            self.n_killed += 1
            self.hits["worker killed"] += bool(holders)

    def switch_mlflow(self) -> None:
        """Start the MLflow server, or kill it -9."""
        if self.mlflow:
            for process in [*tree(self.mlflow), self.mlflow]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.mlflow.wait()
            self.mlflow = None
            self.outages.append(
                ("MLflow killed", time.time(), time.time() + self.args.mlflow_every)
            )
            return
        store = f"sqlite:///{self.folder / 'mlflow.db'}"
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            store,
            "--workers",
            "1",
        ]
        command += [
            "--artifacts-destination",
            str(self.folder / "artifacts"),
            "--port",
            str(self.port),
        ]
        with (self.folder / "mlflow.log").open("ab") as log:
            self.mlflow = psutil.Popen(command, stdout=log, stderr=log)

    def kill_database(self, away_s: float) -> bool:
        """Kill -9 of the postmaster and its children, as by a machine that loses its power."""
        if not self.holders():
            return False
        self.say(f"database killed -9, away for {away_s:.0f} s")
        for process in self.database():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.outages.append(
            (f"database away for {away_s:.0f} s", time.time(), time.time() + away_s)
        )
        after(away_s, self.restart_database)
        return True

    def restart_database(self) -> None:
        """Start it again; it replays its log first."""
        for _ in range(5):
            with suppress(subprocess.SubprocessError):
                self.postgres.ensure_postgres_running()
                return self.say("database started again")
        self.problems.append("PostgreSQL did not start again")
        return None

    def database(self) -> list[psutil.Process]:
        """PostgreSQL's processes."""
        postmaster = psutil.Process(self.postgres.get_pid())
        return [*tree(postmaster), postmaster]

    def hang_database(self) -> bool:
        """It answers nobody, and refuses nobody, for longer than the grace period."""
        if not self.holders():
            return False
        self.say(f"database hangs for {GRACE_S + 10:.0f} s")
        stopped = self.database()
        for process in stopped:
            process.suspend()
        self.outages.append(("database hung", time.time(), time.time() + GRACE_S + 10))
        after(GRACE_S + 10, lambda: [process.resume() for process in stopped])
        return True

    def hang_worker(self) -> bool:
        """A worker hangs beyond the grace period; its trial goes to another, as it finds out."""
        for victim in self.holders()[:1]:
            self.say(f"worker {victim.pid} hangs for {2 * GRACE_S:.0f} s, with a trial")
            self.spared.add(victim.pid)
            victim.suspend()
            after(2 * GRACE_S, victim.resume)
            self.hits["worker hung"] += 1
            return True
        return False

    def kill_fork_server(self) -> bool:
        """Kill -9 of what forks trials, while some are trained: they go on."""
        trials, servers = self.trial_processes(), self.fork_servers()
        if not trials:
            return False
        for server in servers:
            with suppress(psutil.NoSuchProcess):
                server.kill()
        self.hits["fork server killed"] += len(trials)
        return True

    def ask_trials(self) -> bool:
        """SIGTERM to all trial processes: only their workers may end them."""
        processes = self.trial_processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        if processes:
            self.say(f"SIGTERM to {len(processes)} trial processes, which are deaf to it")
        self.hits["SIGTERM to trials"] += len(processes)
        return bool(processes)

    def stop_launcher(self) -> bool:
        """SIGTERM while a trial process is stopped: exit 0 in seconds, no trial left RUNNING."""
        stopped = self.trial_processes()[:1]
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        if not stopped:
            return False
        self.busy_until = time.monotonic() + 60
        pids = {p.pid for p in tree(self.launcher)}
        began = time.monotonic()
        self.launcher.terminate()
        code = self.launcher.wait(120)
        seconds = time.monotonic() - began
        kept = [
            t.number
            for t in self.trials()
            if t.state == "RUNNING" and int(str(t.worker).rsplit("/")[-1]) in pids
        ]
        self.say(
            f"SIGTERM to the launcher: exit code {code} after {seconds:.1f} s, trials kept: {kept}"
        )
        if code != 0 or seconds > 20 or kept:
            self.problems.append(
                f"SIGTERM: exit code {code} after {seconds:.1f} s, trials kept: {kept}"
            )
        self.hits["launcher stopped"] += 1
        self.busy_until = 0.0
        self.launcher = self.launch(self.args.workers - 1)
        return True

    def kill_launcher(self) -> bool:
        """Kill -9 of `gridless worker` itself: its workers give their trials back and end."""
        if not {p.pid for p in self.holders()} & {p.pid for p in tree(self.launcher)}:
            return False
        self.say("launcher killed -9 and started again")
        self.launcher.kill()
        self.launcher.wait()
        self.hits["launcher killed"] += 1
        self.launcher = self.launch(self.args.workers - 1)
        return True

    def count_hits(self, trials: Sequence[TrialRecord]) -> list[str]:
        """Count epochs in outages and by a clock set forward as hits; which faults never hit."""
        measured = [epoch.at for trial in trials for epoch in trial.curve]
        for kind, since, until in self.outages:
            self.hits[kind] += any(since < at < until for at in measured)
        self.hits["clock set forward"] += sum(at > time.time() + 1800 for at in measured)
        n_outages = Counter(kind for kind, _, _ in self.outages if kind.startswith("database"))
        problems = [
            f"{kind}: no reports under way" for kind, n in n_outages.items() if self.hits[kind] < n
        ]
        problems += [f"{kind}: never hit a running trial" for kind in KINDS if not self.hits[kind]]
        return problems


def tree(process: psutil.Process) -> list[psutil.Process]:
    """All that `process` started, and what that started."""
    with suppress(psutil.NoSuchProcess):
        return list(process.children(recursive=True))
    return []


def words(process: psutil.Process) -> list[str]:
    """Its command line; none of a process that has ended."""
    with suppress(psutil.NoSuchProcess):
        return list(process.cmdline())
    return []


def is_forked(process: psutil.Process) -> bool:
    """Whether it is a fork server, or was forked by one."""
    return "search.fork_server_main" in words(process)


def after(seconds: float, act: Callable[[], object]) -> None:
    """Call `act` in `seconds` seconds, in another thread."""

    def run() -> None:
        with suppress(psutil.NoSuchProcess):
            act()

    threading.Timer(seconds, run).start()
