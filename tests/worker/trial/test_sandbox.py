"""A trial's process: how it ends, what it takes with it, and what is told of it."""

import ctypes
import errno
import json
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from search.errors import InputError, StudyError, TrialError
from search.fork_server import fork
from search.records import Ending
from search.training.job import Job
from search.worker.trial.entry import settle_in
from search.worker.trial.messages import Built, Ended, WorkerPipe
from search.worker.trial.oom import count_kills, was_killed
from search.worker.trial.sandbox import CrashedError, Sandbox, Segment

JOB = Job("none", {}, 0, 1, "", (1, 1, 1), 1, "", "")


# What a trial's process may do, each after it has told its number. None of them loads a framework.


def ends(job: Job, log: str, pipe: Connection, lifeline: Connection) -> None:
    settle_in(lifeline)
    pipe.send(Built(os.getpid()))
    pipe.send(Ended(Ending.DONE))


def waits(job: Job, log: str, pipe: Connection, lifeline: Connection) -> None:
    settle_in(lifeline)
    pipe.send(Built(os.getpid()))
    pipe.recv()
    pipe.send(Ended(Ending.DONE))


def hangs_in_foreign_code(job: Job, log: str, pipe: Connection, lifeline: Connection) -> None:
    settle_in(lifeline)
    pipe.send(Built(os.getpid()))
    ctypes.PyDLL(None).sleep(60)  # with the interpreter's lock held: no other thread of it runs


def stands_still(job: Job, log: str, pipe: Connection, lifeline: Connection) -> None:
    settle_in(lifeline)
    pipe.send(Built(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)


def feeds_itself_by_a_process(job: Job, log: str, pipe: Connection, lifeline: Connection) -> None:
    settle_in(lifeline)
    feeder = subprocess.Popen(["sleep", "60"])
    pipe.send(Built(feeder.pid))
    if log.endswith("crashes"):
        os._exit(7)
    WorkerPipe(pipe).hear()


def leaves_a_daemon(job: Job, log: str, pipe: Connection, lifeline: Connection) -> None:
    settle_in(lifeline)
    ours, theirs = multiprocessing.Pipe()
    if os.fork() == 0:
        os.setsid()
        if (daemon := os.fork()) == 0:
            time.sleep(60)
        theirs.send(daemon)
        os._exit(0)
    os.wait()
    pipe.send(Built(ours.recv()))
    if log.endswith("crashes"):
        os._exit(7)
    WorkerPipe(pipe).hear()


def leaves_files(job: Job, log: str, pipe: Connection, lifeline: Connection) -> None:
    settle_in(lifeline)
    Path(tempfile.mkdtemp(), "left").touch()
    subprocess.run(["mktemp"], check=True, capture_output=True)
    multiprocessing.get_context("fork").Manager().list()  # its socket's path is short enough
    pipe.send(Built(0))
    if log == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    pipe.recv()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[Segment, int]]]:
    """Starts a process that does as told; it and the number that it told."""
    segments = []

    def started(main: Callable[..., None], log: str = "log") -> tuple[Segment, int]:
        segment = Sandbox(main, preload=()).start(JOB, tmp_path / log)
        segments.append(segment)
        told = segment.receive(30)
        assert isinstance(told, Built)
        return segment, told.n_params

    return started


def is_over(pid: int) -> bool:
    """Whether a process ends within seconds. It may have ended already, unless it is somebody's
    dead child.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with open(process) as file:
        return bool(select.select([file], [], [], 60)[0])


@pytest.mark.parametrize("main", [waits, hangs_in_foreign_code, stands_still])
def test_whatever_a_trial_does_it_ends_when_it_is_closed(
    start: Callable[..., tuple[Segment, int]], main
) -> None:
    segment, pid = start(main)
    began = time.monotonic()
    segment.close()
    assert is_over(pid)
    assert time.monotonic() - began < 30


STARTS = [feeds_itself_by_a_process, leaves_a_daemon]


@pytest.mark.parametrize("main", STARTS)
@pytest.mark.parametrize("log", ["waits", "crashes"])
def test_what_a_trial_started_does_not_outlive_it(
    start: Callable[..., tuple[Segment, int]], main: Callable[..., None], log: str
) -> None:
    segment, feeder = start(main, log)
    if log == "crashes":
        with pytest.raises(CrashedError, match="exit code 7"):
            segment.receive(30)
    else:
        assert psutil.Process(feeder).status() != psutil.STATUS_ZOMBIE
        segment.close()
    assert is_over(feeder)


WORKER = """
import sys
from pathlib import Path
from search.worker.trial.sandbox import Sandbox
from tests.worker.trial.test_sandbox import JOB, {main}

segment = Sandbox({main}, preload=()).start(JOB, Path("log"))
print(segment.receive(30).n_params, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("main", STARTS)
def test_a_trial_with_all_that_it_started_ends_with_its_worker(main: Callable[..., None]) -> None:
    program = [sys.executable, "-c", WORKER.format(main=main.__name__)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        feeder = int(worker.stdout.readline())
        worker.kill()
        assert is_over(feeder)


def test_a_trial_whose_keeper_hangs_ends_with_all_that_it_started(
    start: Callable[..., tuple[Segment, int]],
) -> None:
    segment, daemon = start(leaves_a_daemon)
    keeper = psutil.Process(daemon).parent()
    assert keeper is not None
    keeper.suspend()
    segment.close(wait_s=0.2)
    assert is_over(daemon)
    assert is_over(keeper.pid)


LEAVES_FILES = """
import sys
from contextlib import suppress
from pathlib import Path
from search.worker.trial.sandbox import CrashedError, Sandbox
from tests.worker.trial.test_sandbox import JOB, leaves_files

segment = Sandbox(leaves_files, preload=()).start(JOB, Path(sys.argv[1]))
segment.receive(30)
if sys.argv[1] == "killed":
    with suppress(CrashedError):
        segment.receive(30)
segment.close()
"""


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_a_trial_leaves_no_temporary_files(end: str) -> None:
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        subprocess.run(
            [sys.executable, "-c", LEAVES_FILES, end],
            env=os.environ | {"TMPDIR": folder},
            check=True,
        )
        assert [path.name for path in Path(folder).iterdir()] == []


def test_a_trial_that_hears_of_its_workers_end_first_takes_along_what_it_started() -> None:
    (pipe, theirs), (their_lifeline, lifeline) = Pipe(), Pipe(duplex=False)
    ours = (theirs, their_lifeline)
    trial = fork(feeds_itself_by_a_process, (JOB, "log"), ours, preload=())
    theirs.close()
    feeder = pipe.recv().n_params
    pipe.close()
    assert is_over(feeder)
    trial.join(30)
    lifeline.close()


def test_a_signal_to_every_process_leaves_it_to_the_worker(
    start: Callable[..., tuple[Segment, int]],
) -> None:
    segment, pid = start(waits)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    segment.answer("go on")
    assert segment.receive(30) == Ended(Ending.DONE)
    segment.close()


def test_a_killed_process_is_told_from_one_that_the_kernel_took(
    start: Callable[..., tuple[Segment, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kills, taken in ((0, False), (1, True)):
        segment, pid = start(waits)
        os.kill(pid, signal.SIGKILL)
        monkeypatch.setattr(
            "search.worker.trial.sandbox.count_kills", lambda n=kills: (count_kills() or 0) + n
        )
        with pytest.raises(CrashedError) as caught:
            segment.receive(30)
        assert (caught.value.exitcode, caught.value.out_of_memory) == (-signal.SIGKILL, taken)
        segment.close()


def test_trials_go_on_after_the_fork_server_dies(start: Callable[..., tuple[Segment, int]]) -> None:
    segment, pid = start(waits)
    [server] = [p for p in psutil.Process().children() if "search.fork_server_main" in p.cmdline()]
    server.kill()
    other, _ = start(ends)
    assert other.receive(30) == Ended(Ending.DONE)
    other.close()
    segment.answer("go on")
    assert segment.receive(30) == Ended(Ending.DONE)
    segment.close()
    assert is_over(pid)


V2 = {
    "proc/self/cgroup": "0::/user/run\n",
    "sys/fs/cgroup/user/run/memory.events": "low 0\noom 5\noom_kill 2\n",
}
IN_CONTAINER = {
    "proc/self/cgroup": "0::/docker/0a1b\n",
    "sys/fs/cgroup/memory.events": "max 9\noom 5\noom_kill 3\noom_group_kill 1\n",
    "proc/vmstat": "oom_kill 70\n",
}
V1 = {
    "proc/self/cgroup": "9:name=systemd:/x\n4:cpu,memory:/x\n0::/\n",
    "sys/fs/cgroup/memory/x/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
    "proc/vmstat": "pgfree 8\noom_kill 70\n",
}
NO_GROUP = {"proc/self/cgroup": "0::/\n", "proc/vmstat": "pgfree 8\noom_kill 6\nnuma 0\n"}
OLD_KERNEL = V1 | {"sys/fs/cgroup/memory/x/memory.oom_control": "under_oom 0\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [(V2, 2), (IN_CONTAINER, 3), (V1, 4), (NO_GROUP, 6), (OLD_KERNEL, 70), ({}, None)],
)
def test_the_kernels_kills_are_counted_where_it_counts_them(
    files: dict[str, str], expected: int | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert count_kills(tmp_path) == expected


def test_only_a_kill_that_was_counted_was_the_kernels() -> None:
    assert was_killed(-9, 1, 2)
    assert not any(
        [
            was_killed(-9, 2, 2),
            was_killed(-11, 1, 2),
            was_killed(-9, None, None),
            was_killed(None, 1, 2),
        ]
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/x"),
            ("fail", "the disk is full: ", False, True),
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), ("fail", "the disk is full: ", False, True)),
        (
            RuntimeError("RESOURCE_EXHAUSTED: /x; No space left on device"),
            ("fail", "the disk is full: ", False, True),
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            ("halt", "the disk refused: ", False, False),
        ),
        (OSError(errno.EIO, "Input/output error"), ("halt", "the disk refused: ", False, False)),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "x"),
            ("fail", "FileNotFoundError: ", False, False),
        ),
        (MemoryError(), ("fail", "out of memory: ", True, False)),
        (TrialError("NaN"), ("fail", "NaN", True, False)),
        (InputError(["no such layer"]), ("fail", "no such layer", False, False)),
        (StudyError("no images"), ("halt", "no images", False, False)),
        (ValueError("bad\nand long"), ("fail", "ValueError: bad", False, False)),
    ],
)
def test_a_worker_is_told_what_an_error_means(
    error: Exception, expected: tuple[str, str, bool, bool]
) -> None:
    from search.worker.trial.child import as_failure

    ended = as_failure(error)
    how, reason, untrainable, disk_full = expected
    assert (ended.ending, ended.untrainable, ended.disk_full) == (how, untrainable, disk_full)
    assert ended.reason.startswith(reason)


ONE_TRIAL = """
import json, sys
from pathlib import Path
from search.datasets import load
from search.datasets.split import prepare
from search.training.job import Job
from search.worker.trial.messages import Ended, EpochDone
from search.worker.trial.sandbox import Sandbox

if __name__ == "__main__":
    home = Path(sys.argv[1])
    data = prepare(load("digits"), seed=0, validation_fraction=0.2, cache=home)
    params = {"lr": 0.01, "batch_size": 64, "optimizer": "adam"}
    job = Job(
        "mlp", params, 1, 2, str(data.folder), data.input_shape, data.n_classes, str(home / "c.npz"), str(home / "e")
    )
    segment = Sandbox().start(job, home / "logs" / "trial.log")
    heard = []
    while not heard or not isinstance(heard[-1], Ended):
        if message := segment.receive(60):
            heard.append(message)
        if isinstance(message, EpochDone):
            segment.answer("go on")
    segment.close()
    memory = heard[-1].memory
    told = [type(m).__name__ for m in heard]
    print(json.dumps([told, heard[-1].ending, heard[-1].reason, memory.host_mb, memory.device_mb]))
"""


def test_a_trial_trains_on_jax_in_silence(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="the extra «jax» is not installed")
    script = tmp_path / "one_trial.py"
    script.write_text(ONE_TRIAL)
    variables = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PJRT_NPROC": "1"}
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "fork" not in done.stderr  # JAX warns of forks once it has touched a device
    told, how, reason, host_mb, device_mb = json.loads(done.stdout)
    assert (told, how, reason) == (
        ["Started", "Built", "EpochDone", "EpochDone", "Ended"],
        "done",
        "",
    )
    assert host_mb > 100
    assert device_mb is None
    assert (tmp_path / "logs" / "trial.log").read_text() == ""
