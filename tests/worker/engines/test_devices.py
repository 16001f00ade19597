"""Which devices workers get, how many share one, and who may use a GPU at all."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.errors import InputError
from search.study.settings import Settings
from search.worker.engines import engine
from search.worker.engines.devices import Crew, Device, environment_for, find_devices, plan_crew
from search.worker.engines.gpu_locks import claim_crew, claim_gpus

TWO = "0, GPU-aa, 16000, [N/A], T4\n1, GPU-bb, 16000, [N/A], T4\n"
ONE, OTHER = Device("T4", "GPU-aa", "GPU-aa", 16000.0), Device("T4", "GPU-bb", "GPU-bb", 16000.0)


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRIDLESS_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "locks"


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<END\n{TWO}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("search.worker.engines.devices.available_cores", lambda: 8)


@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_found_and_bound_by_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_devices() == [ONE, OTHER]
    assert find_devices("1") == [OTHER]
    assert [d.gpu for d in find_devices("none")] == [None]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert find_devices() == [OTHER]
    with pytest.raises(InputError, match="0 is hidden by CUDA_VISIBLE_DEVICES"):
        find_devices("0")


@pytest.mark.usefixtures("two_gpus")
def test_a_crew_has_one_worker_per_gpu_unless_asked() -> None:
    assert plan_crew() == Crew((ONE, OTHER), threads=4, share=1, pool=(ONE, OTHER))
    packed = plan_crew(gpus="1", trials_per_gpu=3)
    assert packed == Crew((OTHER,) * 3, threads=2, share=3, pool=(OTHER,), chosen=True)
    assert plan_crew(trials_per_gpu=2, workers=3, threads=1).devices == (ONE, OTHER, ONE)
    with pytest.raises(
        InputError, match="2 GPUs with 1 trial each have room for 2; ask for --trials-per-gpu 3"
    ):
        plan_crew(workers=5)
    with pytest.raises(InputError) as caught:
        plan_crew(gpus="7", trials_per_gpu=0, threads=0)
    assert len(caught.value.problems) == 3


def test_a_cpu_gets_one_worker_per_core_up_to_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, workers in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr("search.worker.engines.devices.available_cores", lambda n=cores: n)
        crew = plan_crew(gpus="none")
        assert (len(crew.devices), crew.threads, crew.chosen) == (
            workers,
            max(1, cores // workers),
            False,
        )
    with pytest.raises(InputError, match="there is no GPU to share"):
        plan_crew(gpus="none", trials_per_gpu=2)


@pytest.mark.usefixtures("two_gpus")
def test_a_cluster_is_asked_for_what_a_person_asked_for_whatever_this_machine_has() -> None:
    crew = engine("ray").crew(Settings(workers=16, threads=2, trials_per_gpu=4))
    assert ([d.name for d in crew.devices], crew.threads, crew.share) == (["Ray"] * 16, 2, 4)
    assert [d.name for d in engine("ray").crew(Settings(gpus="none")).devices] == ["Ray"]
    for meaningless in (Settings(gpus="0,1"), Settings(gpus="none", trials_per_gpu=2)):
        with pytest.raises(InputError, match="--gpus"):
            engine("ray").crew(meaningless)


def test_a_worker_is_bound_before_a_framework_loads() -> None:
    gpu = environment_for(ONE, threads=3)
    assert (gpu["CUDA_VISIBLE_DEVICES"], gpu["TF_NUM_INTRAOP_THREADS"], gpu["OMP_NUM_THREADS"]) == (
        "GPU-aa",
        "3",
        "3",
    )
    assert gpu["GRIDLESS_DEVICE_MEMORY_MB"] == ""
    assert "XLA_CLIENT_MEM_FRACTION" not in gpu
    shared = environment_for(ONE, threads=1, share=4)
    assert (shared["GRIDLESS_DEVICE_MEMORY_MB"], shared["XLA_CLIENT_MEM_FRACTION"]) == (
        "3600",
        "0.2250",
    )
    unknown = environment_for(Device("GB10", "GPU-cc", "GPU-cc"), threads=1, share=2)
    assert (unknown["GRIDLESS_DEVICE_MEMORY_MB"], unknown["XLA_CLIENT_MEM_FRACTION"]) == (
        "",
        "0.4500",
    )
    cpu = environment_for(Device("cpu"), threads=1)
    assert (cpu["CUDA_VISIBLE_DEVICES"], cpu["JAX_PLATFORMS"]) == ("-1", "cpu")


# Claims: another launcher is another process.
LAUNCHER = """
import json, subprocess, sys
from search.errors import InputError
from search.worker.engines.gpu_locks import claim_gpus
from search.worker.engines.devices import Device
devices = [Device("T4", u, u) for u in json.loads(sys.argv[1])]
try:
    claims = claim_gpus(devices, which="all", holder="mlp-digits")
except InputError as error:
    sys.exit(str(error))
worker = subprocess.Popen(["sleep", "60"], pass_fds=claims.fds)
print(worker.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def launcher() -> Iterator[subprocess.Popen[str]]:
    """It holds GPU-aa, and so does the worker that it started, whose number it prints."""
    process = _launch(["GPU-aa"])
    yield process
    process.kill()
    process.communicate()


def _launch(uuids: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, json.dumps(uuids)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _worker_of(launcher: subprocess.Popen[str]) -> int:
    assert launcher.stdout is not None
    return int(launcher.stdout.readline())


def _end(pid: int) -> None:
    with open(os.pidfd_open(pid)) as process:
        os.kill(pid, signal.SIGKILL)
        ended, _, _ = select.select([process], [], [], 10)
    assert ended


def test_a_gpu_is_kept_until_the_last_process_that_was_given_it_ends(
    launcher: subprocess.Popen[str],
) -> None:
    worker = _worker_of(launcher)
    with pytest.raises(
        InputError, match=rf"T4 \(GPU-aa\) is in use by process {launcher.pid} on .* for mlp-digits"
    ):
        claim_gpus([ONE], which="all")
    launcher.kill()
    launcher.wait()
    with pytest.raises(InputError, match="in use"):
        claim_gpus([ONE], which="free")
    _end(worker)
    claims = claim_gpus([ONE], which="all")
    assert claims.devices == (ONE,)
    claims.close()
    claim_gpus([ONE], which="all").close()


def test_free_gpus_take_the_place_of_those_in_use(launcher: subprocess.Popen[str]) -> None:
    worker = _worker_of(launcher)
    crew, claims = claim_crew(Crew((ONE,), threads=1, pool=(ONE, OTHER)))
    assert (crew.devices, len(claims.notices)) == ((OTHER,), 1)
    claims.close()
    crew, claims = claim_crew(Crew((ONE, OTHER) * 2, threads=1, share=2, pool=(ONE, OTHER)))
    assert (crew.devices, crew.share) == ((OTHER, OTHER), 2)
    claims.close()
    with pytest.raises(InputError, match="GPU-aa"):
        claim_crew(Crew((ONE, OTHER), threads=1, pool=(ONE, OTHER), chosen=True))
    claim_gpus([OTHER], which="all").close()  # nothing stays claimed after an error
    _end(worker)


def test_a_cpu_needs_no_claim(locks: Path) -> None:
    cpu = Device("cpu")
    crew, claims = claim_crew(Crew((cpu, cpu), threads=1, pool=(cpu,)))
    assert (crew.devices, claims.fds, locks.exists()) == ((cpu, cpu), (), False)


def test_traps_in_the_shared_folder_are_not_stepped_into(locks: Path, tmp_path: Path) -> None:
    claim_gpus([OTHER], which="all").close()
    assert (locks.stat().st_mode & 0o7777, (locks / "GPU-bb.lock").stat().st_mode & 0o777) == (
        0o1777,
        0o666,
    )
    mine = tmp_path / "mine"
    mine.write_text("keep")
    for trap in (
        lambda p: p.symlink_to(mine),
        lambda p: p.hardlink_to(mine),
        os.mkfifo,
        Path.mkdir,
    ):
        trap(locks / "GPU-aa.lock")
        with pytest.raises(InputError, match=r"can't be claimed: .* set GRIDLESS_GPU_LOCKS"):
            claim_gpus([ONE], which="all")
        path = locks / "GPU-aa.lock"
        path.rmdir() if path.is_dir() else path.unlink()
    assert mine.read_text() == "keep"
    claim_gpus([Device("odd", "../x", "../x")], which="all").close()
    assert sorted(p.name for p in locks.iterdir()) == ["GPU-bb.lock", "___x.lock"]
