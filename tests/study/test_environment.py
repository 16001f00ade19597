"""What is recorded of the machine and the software that numbers came from."""

from importlib.metadata import version
from pathlib import Path

import pytest

from search.study.environment import backend, environment

CPU = (
    "processor : 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 ht avx512f fma\n\nflags :"
    " none\n"
)
DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu\nGCC version: gcc 12.2.0\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what the kernel tells of itself."""
    for name in ("KERAS_BACKEND", "TF_NUM_INTRAOP_THREADS", "XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_all_that_numbers_may_depend_on_is_recorded(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "cpuinfo").write_text(CPU)
    (machine / "driver/nvidia").mkdir(parents=True)
    (machine / "driver/nvidia/version").write_text(DRIVER)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("XLA_FLAGS", "--xla_one=1")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    found = environment("GPU X", proc=machine)
    told = {
        name: found[name]
        for name in ("device", "cpu", "cpu_instructions", "threads", "flags", "gpu_driver")
    }
    assert told == {
        "device": "GPU X",
        "cpu": "Some CPU @ 2 GHz",
        "cpu_instructions": "avx2 avx512f fma",
        "threads": "3",
        "flags": "TF_ENABLE_ONEDNN_OPTS=0 XLA_FLAGS=--xla_one=1",
        "gpu_driver": "570.86.15",
    }
    assert found["keras"] == version("keras")
    assert (
        environment("GPU X", threads=1)["threads"] == "1"
    )  # a command's workers are bound to fewer than itself


def test_what_a_machine_does_not_tell_is_left_out(machine: Path) -> None:
    found = environment("CPU", proc=machine)
    assert not {"cpu_instructions", "threads", "flags", "gpu_driver"} & set(found)
    assert found["cpu"]


def test_the_backend_is_the_one_that_keras_would_load(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(machine))
    assert backend() == "tensorflow"
    (machine / "keras.json").write_text('{"backend": "jax"}')
    assert backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert backend() == "torch"
    monkeypatch.delenv("KERAS_BACKEND")
    (machine / "keras.json").write_text("not JSON")
    assert backend() == "tensorflow"
