"""Runs the installed command as a user does, and looks at what it left."""

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path

from search.records import StudyRecord
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import read_study

GRIDLESS = str(Path(sys.executable).parent / "gridless")
ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--fix", "units=32,depth=1,batch_size=100", "--epochs", "4", "--finalists", "0")
SLOW = ("--fix", "units=500,depth=3,batch_size=10", "--epochs", "40", "--finalists", "0")


def gridless(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run to the end in `folder`."""
    return subprocess.run(
        [GRIDLESS, *arguments], capture_output=True, text=True, check=False, cwd=folder, timeout=900
    )


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start in the background, in a session of its own."""
    return subprocess.Popen(
        [GRIDLESS, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def kill_all(process: subprocess.Popen[str]) -> None:
    """What a power cut does to a command, its workers and their trials: no one says good-bye."""
    for pid in [*workers_of(process.pid, deep=True), process.pid]:
        with suppress(ProcessLookupError):  # the end of one may be the end of another
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def workers_of(pid: int, *, deep: bool = False) -> list[int]:
    """The worker processes of a command, or all that stem from it."""
    import psutil

    children = psutil.Process(pid).children(recursive=deep)
    return [c.pid for c in children if deep or "search.worker" in c.cmdline()]


def all_over(pids: Iterable[int], limit_s: float = 60.0) -> bool:
    """Whether these processes end within `limit_s` seconds; one that is dead and not yet reaped has
    ended.
    """
    import psutil

    deadline = time.monotonic() + limit_s
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
    return True


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Until `condition` holds; an error if the command ends before."""
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}: {process.communicate()}")
        time.sleep(0.05)


def study(home: Path, name: str) -> StudyRecord | None:
    """The study as stored, None before it is there."""
    if not (home / "studies.db").exists():
        return None
    storage = LedgerStorage(f"sqlite:///{home / 'studies.db'}")
    try:
        return read_study(storage, name) if name in storage.study_names() else None
    finally:
        storage.remove_session()
        storage.engine.dispose()


def epochs_stored(home: Path, name: str) -> int:
    """Epochs of all trials together. Asked again and again, so by no more than a query."""
    query = (
        "SELECT count(*) FROM trial_user_attributes JOIN trials USING (trial_id) JOIN studies USING"
        " (study_id) WHERE study_name = ? AND key LIKE 'epoch:%'"
    )
    try:
        with closing(
            sqlite3.connect(f"file:{home / 'studies.db'}?mode=ro", uri=True, timeout=30)
        ) as db:
            return int(db.execute(query, (name,)).fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not made yet


def rows(home: Path, name: str) -> list[dict[str, str]]:
    """The leaderboard."""
    with (home / name / "leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))
