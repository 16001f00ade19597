"""Which devices workers get."""

import pytest

from search.worker.devices import Device, default_workers, environment_for, visible_gpus

ROWS = [["0", "GPU-aa", "H100"], ["1", "GPU-bb", "H100"], ["2", "GPU-cc", "T4"]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, ["0", "1", "2"]),
        ("2,0", ["2", "0"]),
        ("GPU-bb", ["1"]),
        ("MIG-1/2,0", ["MIG-1/2", "0"]),
        ("0,9,1", ["0"]),
        ("-1", []),
        ("", []),
    ],
)
def test_cuda_visible_devices_is_respected(wanted: str | None, expected: list[str]) -> None:
    assert [d.gpu for d in visible_gpus(ROWS, wanted)] == expected


def test_one_worker_per_gpu_or_one_per_core_up_to_four() -> None:
    assert default_workers([Device("a", "0"), Device("b", "1")], cores=64) == 2
    assert [default_workers([Device("cpu")], cores=c) for c in (1, 2, 64)] == [1, 2, 4]


def test_a_worker_is_bound_before_a_framework_loads() -> None:
    gpu = environment_for(Device("a", "GPU-bb"), threads=3)
    assert gpu["CUDA_VISIBLE_DEVICES"] == "GPU-bb"
    assert gpu["TF_NUM_INTRAOP_THREADS"] == gpu["OMP_NUM_THREADS"] == "3"
    assert environment_for(Device("cpu"), threads=1)["CUDA_VISIBLE_DEVICES"] == "-1"
