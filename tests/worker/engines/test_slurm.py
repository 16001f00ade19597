"""Workers in jobs of SLURM: what a job does, what is asked of SLURM and what is refused. Jobs run by
submitit's own executor, or by scripts that stand for SLURM; a script stands for the worker.
"""

import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from search.actions.check_study import Request, check
from search.actions.plan_study import make_plan, open_study
from search.errors import InputError
from search.study.read_settings import settings_for
from search.study.settings import Settings
from search.training.probe import Corner, ProbeReport
from search.worker.engines import engine, restarts, slurm
from search.worker.engines.protocol import Terms, Workers
from search.worker.engines.work_order import HOPELESS, STOPPED, WorkOrder
from tests.worker.helpers import wait_until

PASSWORD = "s3cr3t-w0rd"
ORDER = WorkOrder(f"postgresql://user:{PASSWORD}@db/gridless", ("s",))
LOCAL = {"cluster": "local"}
WORKER = """#!/bin/bash
# Notes what it was told, and ends as the file `exits` says; without one, once its stdin closes.
read -r order || exit 3
echo "$* on $CUDA_VISIBLE_DEVICES: $order" >> {folder}/told
if [ -f {folder}/exits ]; then echo 'no room for anything' >&2; exit "$(cat {folder}/exits)"; fi
cat > /dev/null
echo "$*" >> {folder}/ended
exit 3
"""
SLURM = {
    "sbatch": """#!/bin/sh
[ -f {folder}/refused ] && echo 'sbatch: error: invalid partition specified: gpux' >&2 && exit 1
cp "$1" {folder}/script && env > {folder}/env
if ! [ -f {folder}/full ]; then
    export CUDA_VISIBLE_DEVICES=3 SLURM_ARRAY_JOB_ID=7
    for k in 0 1; do SLURM_JOB_ID=7 SLURM_ARRAY_TASK_ID=$k setsid sh {folder}/script > {folder}/out 2>&1 & done
fi
echo 'Submitted batch job 7'
""",
    "srun": """#!/bin/sh
log=$(echo "$3" | sed "s/%A/7/; s/%a/$SLURM_ARRAY_TASK_ID/; s/%t/0/")
shift 5
exec "$@" > "$log" 2> "${log%out}err"
""",
    "scancel": """#!/bin/sh
echo "$*" >> {folder}/cancelled
""",
    "sacct": """#!/bin/sh
echo 'JobID|State|NodeList'
for k in 0 1; do
    state=RUNNING; grep -qs "7_$k" {folder}/cancelled && state='CANCELLED by 0'
    echo "7_$k|$state|node"
done
""",
}

Start = Callable[..., Workers]


@pytest.fixture(autouse=True)
def _submitit() -> None:
    if importlib.util.find_spec("submitit") is None:
        pytest.skip("submitit is not installed: pip install 'gridless[slurm]'")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The seconds by which restarts are counted, which pass when a test says so."""
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(restarts, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


@pytest.fixture
def start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> Iterator[Start]:
    """Starts jobs whose worker is a script, on this machine unless told."""
    script = tmp_path / "worker"
    script.write_text(WORKER.format(folder=tmp_path))
    script.chmod(0o755)
    # Jobs are processes of Python's; what they start is Python, too, as far as they know.
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.executable = {str(script)!r}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    started: list[Any] = []

    def start_some(max_restarts: int | None = 3, *, is_dead: bool = False, **given: Any) -> Workers:
        settings = Settings(**{"engine_options": LOCAL} | given)
        terms = Terms(tmp_path / "home", "mlp-digits", print, max_restarts=max_restarts)
        crew = engine("slurm").crew(settings)
        context = engine("slurm").workers(crew, settings, terms)
        workers = context.__enter__()
        started.append((context, workers))
        if is_dead:  # nothing comes of the command that started it
            workers.touch_s = 1e6  # type: ignore[attr-defined]
            for task in workers.tasks:  # type: ignore[attr-defined]
                task.silence_s = 0.5
        workers.start()
        return workers

    yield start_some
    for context, workers in started:
        workers.stop()
        context.__exit__(None, None, None)


def lines(file: Path) -> list[str]:
    return sorted(file.read_text().splitlines()) if file.exists() else []


def order_file(folder: Path) -> Path:
    [file] = (folder / "home" / "logs" / "slurm").glob("*/order")
    return file


def job_of(workers: Any) -> psutil.Process:
    """The process of submitit's only job on this machine."""
    [slot] = workers._slots
    return psutil.Process(int(slot.job.job_id))


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs: an orphan that nobody reaps is left as a zombie in a container."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def watch_until(condition: Callable[[], object]) -> None:
    """Until `condition` holds, which takes a while and is costly to find out."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_jobs_give_workers_their_order_and_end_when_the_command_stops(
    tmp_path: Path, start: Start
) -> None:
    others = set(psutil.Process().children(recursive=True))
    workers = start(workers=2, threads=3)
    jobs = set(psutil.Process().children(recursive=True)) - others
    workers.go(ORDER)
    wait_until(lambda: len(lines(tmp_path / "told")) == 2)
    line = ORDER.to_line().decode().strip()
    assert lines(tmp_path / "told") == [
        f"-m search.worker --index {i} --device {slurm.given_device(gpu=False).name} on -1: {line}"
        for i in (0, 1)
    ]
    assert order_file(tmp_path).stat().st_mode & 0o777 == 0o600
    files = [f for f in (tmp_path / "home").rglob("*") if f.is_file() and f.name != "order"]
    assert len(files) >= 8
    assert not [f for f in files if PASSWORD.encode() in f.read_bytes()]
    assert workers.check()
    assert workers.trouble() is None
    jobs |= set(psutil.Process().children(recursive=True)) - others
    assert not [p for p in jobs if is_alive(p) and PASSWORD in " ".join(p.cmdline())]
    workers.stop()
    assert len(lines(tmp_path / "ended")) == 2
    assert not list((tmp_path / "home").rglob("order"))
    wait_until(lambda: not any(is_alive(p) for p in jobs))


def test_a_preempted_job_gives_back_and_goes_on_when_it_is_run_again(
    tmp_path: Path, start: Start
) -> None:
    workers = start()
    workers.go(ORDER)
    wait_until(lambda: lines(tmp_path / "told"))
    job = job_of(workers)
    for process in job.children(recursive=True):  # SLURM tells every process of a job
        with suppress(psutil.NoSuchProcess):  # the end of one may be the end of another
            process.send_signal(signal.SIGUSR2)
    wait_until(lambda: len(lines(tmp_path / "told")) == 2)
    assert len(lines(tmp_path / "ended")) == 1
    assert workers.check()
    assert job_of(workers).pid == job.pid


def test_a_job_that_is_cancelled_or_dies_is_submitted_again_and_given_up_in_the_end(
    tmp_path: Path, start: Start, clock: SimpleNamespace
) -> None:
    workers = start(max_restarts=1)
    workers.go(ORDER)
    wait_until(lambda: lines(tmp_path / "told"))
    [task] = job_of(workers).children()
    task.terminate()  # as scancel does
    [slot] = workers._slots  # type: ignore[attr-defined]
    wait_until(lambda: workers.check() and slot.code == STOPPED)
    assert lines(tmp_path / "ended")
    assert workers.trouble() is None
    clock.s += 1
    wait_until(lambda: workers.check() and len(lines(tmp_path / "told")) == 2)
    job = job_of(workers)
    for process in [*job.children(recursive=True), job]:
        with suppress(psutil.NoSuchProcess):  # the end of one may be the end of another
            process.kill()
    wait_until(lambda: not workers.check())
    clock.s += 1000
    assert not workers.check()
    assert len(lines(tmp_path / "told")) == 2
    assert f"job {job.pid} ended as INTERRUPTED: " in str(workers.trouble())


def test_a_job_whose_worker_finds_nothing_to_train_is_over(tmp_path: Path, start: Start) -> None:
    (tmp_path / "exits").write_text(str(HOPELESS))
    workers = start()
    workers.go(ORDER)
    wait_until(lambda: not workers.check())
    log = tmp_path / "home" / "logs" / "worker-0.log"
    assert workers.trouble() == f"no room for anything (see {log})"
    assert len(lines(tmp_path / "told")) == 1


def test_jobs_end_when_their_command_was_killed(tmp_path: Path, start: Start) -> None:
    workers = start(is_dead=True)
    workers.go(ORDER)
    order = order_file(tmp_path)
    wait_until(lambda: lines(tmp_path / "ended"))
    wait_until(lambda: not job_of(workers).children())
    assert not order.exists()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scripts that stand for SLURM, for one array of two jobs; where they note what they did."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in SLURM.items():
        (programs / name).write_text(script.replace("{folder}", str(tmp_path)))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("GRIDLESS_STORAGE", ORDER.storage)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return tmp_path


def test_slurm_is_asked_for_a_gpu_a_job_and_given_no_secret(cluster: Path, start: Start) -> None:
    options = "partition=gpu,slurm_account=me,mem-gb=7.5,exclude=a,b,time=240,max_num_timeout=0"
    workers = start(workers=4, trials_per_gpu=2, threads=2, engine_options=options)
    workers.go(ORDER)
    wait_until(lambda: len(lines(cluster / "told")) == 4)
    assert [line.split(": ")[0] for line in lines(cluster / "told")] == [
        f"-m search.worker --index {i} --device GPU 3 on 3" for i in range(4)
    ]
    script = (cluster / "script").read_text()
    for parameter in (
        "partition=gpu",
        "account=me",
        "mem=7680MB",
        "exclude=a,b",
        "time=240",
        "gpus-per-node=1",
        "cpus-per-task=4",
        "job-name=mlp-digits",
        "array=0-1%2",
    ):
        assert f"#SBATCH --{parameter}\n" in script
    assert PASSWORD not in script + (cluster / "env").read_text()
    assert os.environ["PGPASSWORD"] == PASSWORD
    assert workers.check()
    workers.stop()
    assert len(lines(cluster / "ended")) == 4
    assert not (cluster / "cancelled").exists()


def test_jobs_that_wait_are_cancelled(cluster: Path, start: Start, clock: SimpleNamespace) -> None:
    (cluster / "full").touch()
    workers = start(workers=2, gpus="none", engine_options={"partition": "cpu"})
    clock.s += 1e6
    assert workers.check()
    assert "gpu" not in (cluster / "script").read_text()
    workers.stop()
    assert set(lines(cluster / "cancelled")) == {"7_0", "7_1"}


def test_what_sbatch_refuses_is_told(cluster: Path, start: Start) -> None:
    (cluster / "refused").touch()
    with pytest.raises(InputError, match="invalid partition specified: gpux; see --engine-options"):
        start(engine_options={"partition": "gpux"})


def test_every_mistake_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    text = "partion=gpu,time=4:00:00,nodes=2,cluster=slrm"
    settings, problems = settings_for("default", {"engine_options": text, "gpus": "0,1"})
    assert settings is not None
    assert problems == []
    with pytest.raises(InputError) as caught:
        engine("slurm").crew(settings)
    for part in ("'partition'", "time=4:00:00", "nodes=2", "slurm or local", "--gpus 0,1"):
        assert sum(part in problem for problem in caught.value.problems) == 1
    for part in ("sbatch", "GRIDLESS_STORAGE"):
        assert sum(part in problem for problem in caught.value.problems) == 1
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install 'gridless\[slurm\]'"):
        engine("slurm").crew(Settings(engine_options=LOCAL))


def test_options_are_refused_by_engines_without_any_and_without_names() -> None:
    for name in ("local", "ray"):
        with pytest.raises(InputError, match=r"partition: --engine .* has none"):
            engine(name).crew(Settings(engine_options={"partition": "gpu"}))
    for text in ("gpu", "=gpu", "", "gpu,time=3"):
        _, problems = settings_for("default", {"engine_options": text})
        assert "write it like partition=gpu" in problems[0]


@pytest.mark.slow
def test_a_study_goes_on_from_its_epochs_after_a_preemption(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By real workers."""
    built = ProbeReport((Corner({}, 1, None),), {}, ())
    monkeypatch.setattr("search.actions.plan_study.probe", lambda *_, **__: built)
    flags = {"n_trials": 1, "finalists": 0, "threads": 1, "engine_options": LOCAL}
    checked = check(Request("mlp", "digits", flags, engine="slurm"), print)
    ledger = open_study(make_plan(checked, print), checked.storage)
    terms = Terms(checked.folder, "mlp-digits", print, max_restarts=3)
    with engine("slurm").workers(checked.crew, checked.settings, terms) as workers:
        workers.start()
        workers.go(WorkOrder(checked.storage.url, ("mlp-digits",)))
        watch_until(lambda: any(trial.epochs for trial in ledger.trials()))
        before = ledger.trials()[0].curve
        for process in job_of(workers).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGUSR2)
        watch_until(lambda: not workers.check())
        assert workers.trouble() is None
        workers.stop()
    [trial] = ledger.trials()
    assert [epoch.step for epoch in trial.curve] == list(range(1, 16))
    assert trial.curve[: len(before)] == before
    assert len(before) < 15
    [log] = (checked.folder / "logs" / "slurm").rglob("*_log.out")
    assert log.read_text().count("Requeued job") == 1
