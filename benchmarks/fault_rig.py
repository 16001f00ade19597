"""The database, MLflow and the launchers of `faults.py`, and each fault as one method."""

import argparse
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pgserver
import psutil

from search.errors import GridlessError
from search.study.ledger import Ledger
from search.study.records import TrialRecord
from search.study.storage import LedgerStorage

NAME = "faults"
GRACE_S = 15.0
EPOCHS = 6
PINNED = ("depth=1", "units=64", "batch_size=10", "optimizer=adam", "epochs=6")
GRIDLESS = str(Path(sys.executable).with_name("gridless"))
# Debian's libfaketime 0.9.10 breaks time.sleep of Python 3.11, so the clock is Python's own only.
AHEAD = """
import time
real, until = time.time, time.monotonic() + 30
time.time = lambda: real() + 3600 * (time.monotonic() > until)
"""
"""A sitecustomize.py: half a minute after a process began, its clock is set an hour forward."""


class Rig:
    """The database, MLflow, the launchers of workers, and what is done to them."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.folder, self.args = folder, args
        self.began = time.monotonic()
        self.problems: list[str] = []
        self.n_killed = 0
        self.busy_until = 0.0
        self.spared: set[int] = set()
        """Workers that another fault has in hand."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.postgres = pgserver.get_server(folder / "data", cleanup_mode="stop")
        self.mlflow: psutil.Popen | None = None
        os.environ |= {"GRIDLESS_STORAGE": self.postgres.get_uri(), "GRIDLESS_HOME": str(folder / "home")}
        os.environ |= {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.port}", "GRIDLESS_GRACE_S": str(GRACE_S)}
        self.ledger: Ledger
        self.launcher: psutil.Popen
        self.ahead: psutil.Popen

    def say(self, text: str) -> None:
        """Print what happens, with the seconds since the beginning."""
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", flush=True)

    def submit(self) -> None:
        """Put the study on the queue."""
        command = [GRIDLESS, "submit", "mlp", "digits", "--name", NAME, "--n-trials", str(self.args.trials), "--quiet"]
        command += [
            "--epochs",
            str(EPOCHS),
            "--strategy",
            "halving",
            "--finalists",
            "1",
            *(f"--fix={pin}" for pin in PINNED),
        ]
        subprocess.run(command, check=True, cwd=self.folder)
        self.ledger = Ledger(LedgerStorage(os.environ["GRIDLESS_STORAGE"]), NAME)

    def launch(self, n_workers: int, *options: str, **variables: str) -> psutil.Popen:
        """Start `gridless worker`."""
        command = [GRIDLESS, "worker", "--gpus", "none", "--workers", str(n_workers), "--threads", "1", *options]
        with (self.folder / "launchers.log").open("ab") as log:
            return psutil.Popen(command, cwd=self.folder, env=os.environ | variables, stdout=log, stderr=log)

    def workers(self) -> list[psutil.Process]:
        """The worker processes of both launchers."""
        return [p for one in (self.launcher, self.ahead) for p in tree(one) if "search.worker" in words(p)]

    def trial_processes(self) -> list[psutil.Process]:
        """Forked by a fork server, which a worker started."""
        servers = {p.pid for w in self.workers() for p in tree(w) if p.ppid() == w.pid and is_forked(p)}
        return [p for p in tree(self.launcher) if p.ppid() in servers]

    def trials(self) -> list[TrialRecord]:
        """The trials; none while the database is away."""
        try:
            return self.ledger.trials()
        except GridlessError:
            return []

    def kill_worker(self) -> None:
        """Kill -9 of any worker, unless another fault has it in hand."""
        found = [p for p in self.workers() if p.pid not in self.spared]
        if found and time.monotonic() > self.busy_until:
            random.choice(found).kill()
            self.n_killed += 1

    def switch_mlflow(self) -> None:
        """Start the MLflow server, or kill it -9."""
        if self.mlflow:
            for process in [*tree(self.mlflow), self.mlflow]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.mlflow.wait()
            self.mlflow = None
            return
        store = f"sqlite:///{self.folder / 'mlflow.db'}"
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts"), "--port", str(self.port)]
        with (self.folder / "mlflow.log").open("ab") as log:
            self.mlflow = psutil.Popen(command, stdout=log, stderr=log)

    def kill_database(self, away_s: float) -> None:
        """Kill -9 of the postmaster and of all its children, as by a machine that loses its power."""
        self.say(f"database killed -9, away for {away_s:.0f} s")
        for process in self.database():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        after(away_s, self.restart_database)

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

    def hang_database(self) -> None:
        """It answers nobody, and refuses nobody, for longer than the grace period."""
        self.say(f"database hangs for {GRACE_S + 10:.0f} s")
        stopped = self.database()
        for process in stopped:
            process.suspend()
        after(GRACE_S + 10, lambda: [process.resume() for process in stopped])

    def hang_worker(self) -> None:
        """A worker hangs for longer than the grace period; its trial goes to another, and it finds out."""
        held = {int((t.worker or "/0").rpartition("/")[2]): t for t in self.trials() if t.state == "RUNNING"}
        for victim in [p for p in self.workers() if p.pid in held]:
            self.say(f"worker {victim.pid} hangs for {2 * GRACE_S:.0f} s, with trial {held[victim.pid].number}")
            self.spared.add(victim.pid)
            victim.suspend()
            return after(2 * GRACE_S, victim.resume)
        return self.say("no worker held a trial: none hangs")

    def ask_trials(self) -> None:
        """SIGTERM to all trial processes: only their workers may end them."""
        found = self.trial_processes()
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        self.say(f"SIGTERM to {len(found)} trial processes, which are deaf to it")

    def stop_launcher(self) -> None:
        """SIGTERM while a trial process is stopped: it must exit 0 in seconds, with no trial left RUNNING."""
        self.busy_until = time.monotonic() + 60
        for process in self.trial_processes()[:1]:
            process.suspend()
        own = {p.pid for p in tree(self.launcher)}
        began = time.monotonic()
        self.launcher.terminate()
        code = self.launcher.wait(120)
        seconds = time.monotonic() - began
        kept = [t.number for t in self.trials() if t.state == "RUNNING" and int(str(t.worker).rsplit("/")[-1]) in own]
        self.say(f"SIGTERM to the launcher: exit code {code} after {seconds:.1f} s, trials kept: {kept}")
        if code != 0 or seconds > 20 or kept:
            self.problems.append(f"SIGTERM: exit code {code} after {seconds:.1f} s, trials kept: {kept}")
        self.busy_until = 0.0
        self.launcher = self.launch(self.args.workers - 1)

    def kill_launcher(self) -> None:
        """Kill -9 of `gridless worker` itself: its workers give their trials back and end."""
        self.say("launcher killed -9 and started again")
        self.launcher.kill()
        self.launcher.wait()
        self.launcher = self.launch(self.args.workers - 1)


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
    return any("multiprocessing.forkserver" in word for word in words(process))


def after(seconds: float, act: Callable[[], object]) -> None:
    """Call `act` in `seconds` seconds, in another thread."""

    def run() -> None:
        with suppress(psutil.NoSuchProcess):
            act()

    threading.Timer(seconds, run).start()
