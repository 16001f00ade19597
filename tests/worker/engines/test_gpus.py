"""What nvidia-smi says, and which GPUs people mean. Texts are as the program prints them."""

import pytest

from search.errors import InputError
from search.worker.engines.gpus import choose_gpus, read_gpus, visible_gpus

TABLE = """\
0, GPU-513536b6-7d19-9063-b049-1e69664bb298, 81920, Enabled, NVIDIA A100-SXM4-80GB
1, GPU-d8594bd4-0fc3-8595-e355-7c98138f3b95, 81920, Disabled, NVIDIA A100-SXM4-80GB
2, GPU-d8ff0e7e-b41f-155b-dcdc-534524c356fc, 16376, [N/A], NVIDIA RTX A4000, Laptop
3, GPU-69ec2344-ebac-b028-f88f-452abb3d7f11, [N/A], [N/A], NVIDIA GB10
4, GPU-7fdaf0a5-179b-f636-d15d-daf243e3ff16, 81920, Enabled, NVIDIA A100-SXM4-80GB
"""
LISTING = """\
GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-513536b6-7d19-9063-b049-1e69664bb298)
  MIG 1g.20gb     Device  0: (UUID: MIG-ce861fb0-a248-58ce-a9a8-f9adbc22a66a)
  MIG 1c.3g.40gb  Device  1: (UUID: MIG-a45882f0-9215-5733-a0c1-49286ab31cb5)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-d8594bd4-0fc3-8595-e355-7c98138f3b95)
GPU 2: NVIDIA RTX A4000, Laptop (UUID: GPU-d8ff0e7e-b41f-155b-dcdc-534524c356fc)
GPU 3: NVIDIA GB10 (UUID: GPU-69ec2344-ebac-b028-f88f-452abb3d7f11)
GPU 4: NVIDIA A100-SXM4-80GB (UUID: GPU-7fdaf0a5-179b-f636-d15d-daf243e3ff16)
"""
GPUS = read_gpus(TABLE, LISTING)


def test_each_mig_instance_stands_for_itself_and_its_gpu_does_not() -> None:
    assert [(g.index, g.uuid[:12], g.name, g.memory_mb) for g in GPUS] == [
        ("0:0", "MIG-ce861fb0", "NVIDIA A100-SXM4-80GB MIG 1g.20gb", 20000),
        ("0:1", "MIG-a45882f0", "NVIDIA A100-SXM4-80GB MIG 1c.3g.40gb", 40000),
        ("1", "GPU-d8594bd4", "NVIDIA A100-SXM4-80GB", 81920),
        ("2", "GPU-d8ff0e7e", "NVIDIA RTX A4000, Laptop", 16376),
        ("3", "GPU-69ec2344", "NVIDIA GB10", None),
    ]


def test_what_is_no_table_holds_no_gpu() -> None:
    said = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n\n"
    assert read_gpus(said, "") == read_gpus("", "") == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, ["0:0", "0:1", "1", "2", "3"]),
        ("2,1", ["2", "1"]),
        ("GPU-d859,3", ["1", "3"]),
        ("GPU-d8", []),  # two begin so
        ("MIG-a45882f0-9215-5733-a0c1-49286ab31cb5", ["0:1"]),
        ("1, 9, 2", ["1"]),
        ("0", ["0:0", "0:1"]),
        ("1,1", []),
        ("-1", []),
        ("", []),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    wanted: str | None, expected: list[str]
) -> None:
    assert [g.index for g in visible_gpus(GPUS, wanted)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2,1", ["2", "1"]),
        ("gpu-D859", None),
        ("GPU-d859, mig", None),
        ("MIG-ce,0:1", ["0:0", "0:1"]),
        ("3", ["3"]),
    ],
)
def test_gpus_are_chosen_by_index_uuid_or_mig_id(text: str, expected: list[str] | None) -> None:
    if expected is None:
        with pytest.raises(
            InputError,
            match=r"no GPU here; there are 0:0 \(NVIDIA A100-SXM4-80GB MIG 1g\.20gb, MIG-",
        ):
            choose_gpus(GPUS, GPUS, text)
    else:
        assert [g.index for g in choose_gpus(GPUS, GPUS, text)] == expected


def test_every_bad_choice_is_told_at_once() -> None:
    visible = visible_gpus(GPUS, "1,2")
    with pytest.raises(InputError) as caught:
        choose_gpus(GPUS, visible, "1,3,7,1,")
    told = caught.value.problems
    assert [
        len(told),
        "3 is hidden by CUDA_VISIBLE_DEVICES; there are 1 (" in told[0],
        "7 is no GPU" in told[1],
    ] == [
        4,
        True,
        True,
    ]
    assert "1 is named twice" in told[2]
    assert "an empty name" in told[3]
    with pytest.raises(InputError, match="--gpus none for the CPU"):
        choose_gpus([], [], "0")
