"""A study through faults of every kind: `python benchmarks/faults.py [--quick]`.

Starts a PostgreSQL and an MLflow server, submits `mlp digits` and lets `gridless worker` serve it
while, all the time, a random worker is killed -9 every few seconds and MLflow is down half the
time, and, one after another, the faults of `FAULTS` happen. One worker has its clock set an hour
forward. Then the rest is trained in peace and everything is checked: `fault_checks.py` says for
what. The last line tells what came out, `100 of 100 finished, 0 running, 0 lost`, and how often
each kind of fault hit a trial that was being trained, or what fell short, with exit code 1: a kind
that never hit falls short, too. Needs the extra `dev`.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import fault_checks
import psutil
from fault_rig import AHEAD, GRIDLESS, NAME, Rig

from search.study.settings import FINAL
from search.study.storage.ledger import Ledger

FAULTS: tuple[tuple[float, Callable[[Rig], bool]], ...] = (
    (0.05, lambda rig: rig.kill_database(8)),
    (0.15, Rig.ask_trials),
    (0.20, Rig.hang_worker),
    (0.25, Rig.kill_fork_server),
    (0.35, Rig.stop_launcher),
    (0.50, Rig.hang_database),
    (0.65, Rig.kill_launcher),
    (0.75, lambda rig: rig.kill_database(20)),
)
"""Happens once this part of the trials has ended and it hits one that is trained."""
MIN_LOST, MIN_CURVES = 10, 10
"""Trials that must lose their worker, and be compared with undisturbed ones."""
PAUSE_S = 35.0
"""Between two of them: each is over before the next."""


def disturb(rig: Rig) -> None:
    """Let the study run under faults until all of them have hit it and its trials have ended, or
    its time is over.

    On a machine that trains faster than faults hit, trials are added.
    """
    args = rig.args
    waiting, next_fault = list(FAULTS[: len(FAULTS) - args.quick]), time.monotonic() + 20
    next_kill, next_switch, next_word = (
        time.monotonic() + 20,
        time.monotonic() + args.mlflow_every,
        0.0,
    )
    until, ended, n_lost = time.monotonic() + args.limit, 0, 0
    while time.monotonic() < until and (ended < rig.n_trials or waiting or n_lost < MIN_LOST):
        trials, now = rig.trials(), time.monotonic()
        ended = max(ended, sum(t.ended is not None for t in trials))
        n_lost = max(n_lost, sum(t.n_retries > 0 for t in trials))
        if (waiting or n_lost < MIN_LOST) and ended + 2 * args.workers > rig.n_trials and trials:
            rig.submit(rig.n_trials + 2 * args.workers)
        if now > next_kill:
            rig.kill_worker()
            next_kill = now + args.kill_every
        if now > next_switch:
            rig.switch_mlflow()
            next_switch = now + args.mlflow_every
        if (
            waiting
            and now > next_fault
            and ended >= waiting[0][0] * args.trials
            and waiting[0][1](rig)
        ):
            waiting.pop(0)
            next_fault = time.monotonic() + PAUSE_S
        if trials and now > next_word:
            retries = sum(t.n_retries for t in trials)
            rig.say(
                f"{dict(Counter(str(t.state) for t in trials))}, {rig.n_killed} kills, {retries} retries"
            )
            next_word = now + 15
        if rig.launcher.poll() is not None:
            rig.problems.append(f"the launcher ended with exit code {rig.launcher.returncode}")
            rig.launcher = rig.launch(args.workers - 1)
        time.sleep(0.3)
    rig.problems += [f"{len(waiting)} faults did not get their turn in {args.limit:.0f} s"] * bool(
        waiting
    )


def finish(rig: Rig) -> None:
    """Train what is left, undisturbed, and send everything to MLflow."""
    for launcher in (rig.launcher, rig.ahead):
        launcher.terminate()
    codes = [launcher.wait(120) for launcher in (rig.launcher, rig.ahead)]
    rig.say(f"SIGTERM to the launchers: exit codes {codes}")
    if rig.mlflow is None:
        rig.switch_mlflow()
    last = rig.launch(2, "--until-idle", "--quiet")
    try:
        rig.say(f"the rest in peace: exit code {last.wait(rig.args.limit)}")
    except psutil.TimeoutExpired:
        rig.problems.append(f"the rest was not trained in {rig.args.limit:.0f} s")
    for _ in range(10):
        done = subprocess.run([GRIDLESS, "sync", NAME], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        time.sleep(5)
    rig.say(f"gridless sync: {done.stdout.strip()} {done.stderr.strip()}")


def check(rig: Rig) -> int:
    """Say what came out; the exit code."""
    trials, n_trials = rig.trials(), rig.n_trials
    hurt = [t for t in trials if t.n_retries or t.n_segments > 1]
    rig.say(
        f"{rig.n_killed} workers killed; {sum(t.n_retries > 0 for t in trials)} trials lost theirs, "
    )
    rig.say(
        f"{sum(t.n_retries for t in trials)} times in all; {len(hurt)} were trained in segments"
    )
    problems = rig.problems + fault_checks.storage_problems(rig.ledger, n_trials)
    final = Ledger(rig.ledger.storage, NAME + FINAL)
    replicates = final.trials()
    rig.say(
        f"{len(replicates)} replicates of finalists,"
        f" {sum(t.evaluation is not None for t in replicates)} scored"
    )
    problems += fault_checks.storage_problems(final, final.spec.n_trials)
    for name, records in ((NAME, trials), (NAME + FINAL, replicates)):
        problems += fault_checks.mlflow_problems(rig.folder / "mlflow.db", name, records)
    again = hurt[: rig.args.again]
    problems += fault_checks.curve_problems(rig.ledger, again)
    rig.say(f"{len(again)} curves compared with undisturbed ones")
    n_lost = sum(t.n_retries > 0 for t in trials)
    problems += [f"{n_lost} trials lost their worker, fewer than {MIN_LOST}"] * (n_lost < MIN_LOST)
    problems += [f"{len(again)} curves compared, fewer than {MIN_CURVES}"] * (
        len(again) < MIN_CURVES
    )
    problems += rig.count_hits([*trials, *replicates])
    for problem in problems:
        rig.say(f"WRONG: {problem}")
    states = Counter(str(t.state) for t in trials)
    ended = sum(states[state] for state in fault_checks.ENDED)
    short = f"; {len(problems)} things WRONG, the first: {problems[0]}" if problems else ""
    lost = n_trials - ended - states["RUNNING"]
    hits = ", ".join(f"{kind} {n}" for kind, n in sorted(rig.hits.items()))
    print(
        f"{ended} of {n_trials} finished, {states['RUNNING']} running, {lost} lost; hits:"
        f" {hits}{short}"
    )
    return 1 if problems else 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--quick", action="store_true", help="30 trials, 4 workers, a kill every 5 s"
    )
    parser.add_argument("--trials", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--kill-every", type=float, help="seconds")
    parser.add_argument(
        "--mlflow-every", type=float, default=30.0, help="seconds up, and as many down"
    )
    parser.add_argument("--limit", type=float, help="seconds of faults at most")
    parser.add_argument("--again", type=int, default=40, help="trials to train again, undisturbed")
    args = parser.parse_args()
    for name, usual, quick in (
        ("trials", 100, 30),
        ("workers", 8, 4),
        ("kill_every", 3, 5),
        ("limit", 3600, 600),
    ):
        setattr(args, name, getattr(args, name) or (quick if args.quick else usual))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="gridless-faults-"))
    folder.chmod(0o755)  # root's PostgreSQL runs as another user
    rig = Rig(folder, args)
    rig.say(f"everything is in {folder}")
    try:
        rig.switch_mlflow()
        rig.submit(args.trials)
        rig.launcher = rig.launch(args.workers - 1)
        (folder / "ahead").mkdir()
        (folder / "ahead" / "sitecustomize.py").write_text(AHEAD)
        path = os.pathsep.join(filter(None, (str(folder / "ahead"), os.environ.get("PYTHONPATH"))))
        rig.ahead = rig.launch(1, PYTHONPATH=path)
        rig.say(f"{args.workers} workers, one of which has its clock set an hour forward")
        disturb(rig)
        finish(rig)
        code = check(rig)
    finally:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "postgres" not in process.name():
                    process.send_signal(signal.SIGKILL)
        rig.postgres.cleanup()
    if code == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
