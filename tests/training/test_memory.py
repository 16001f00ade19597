"""What memory a process takes, and how the want of it is told."""

import numpy as np
import psutil
import pytest

from search.errors import TrialError
from search.training.memory import OUT_OF_DEVICE, OUT_OF_HOST, out_of_memory, peak_memory

# As the frameworks write them.
TF_GPU = (
    "Graph execution error:\n\nOOM when allocating tensor with shape[64,256,112,112] and type float"
    " on /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc"
    " [Op:__inference_train_812]"
)
TF_CPU = TF_GPU.replace("GPU:0 by allocator GPU_0_bfc", "CPU:0 by allocator cpu")
JAX = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes."
CUDNN = "FAILED_PRECONDITION: DNN library initialization failed: CUDNN_STATUS_ALLOC_FAILED"


@pytest.mark.parametrize(
    ("error", "gpu", "expected"),
    [
        (RuntimeError(TF_GPU), "GPU-aa", OUT_OF_DEVICE),
        (RuntimeError(TF_CPU), "GPU-aa", OUT_OF_HOST),
        (RuntimeError(JAX), "GPU-aa", OUT_OF_DEVICE),
        (RuntimeError(JAX), "-1", OUT_OF_HOST),
        (RuntimeError(CUDNN), "MIG-aa", OUT_OF_DEVICE),
        (MemoryError(), "GPU-aa", OUT_OF_HOST),
        (np.exceptions.AxisError("axis 3 is out of bounds"), "GPU-aa", None),
        (TrialError("no room for a pool of 2"), "-1", None),
    ],
)
def test_the_want_of_memory_is_told_from_other_errors(
    error: Exception, gpu: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpu)
    assert out_of_memory(error) == expected


def test_the_peak_stays_when_memory_is_given_back() -> None:
    held = np.ones(2**23)
    resident_mb = psutil.Process().memory_info().rss / 2**20
    del held
    peak = peak_memory(device=False)
    assert peak.host_mb >= resident_mb - 2  # the kernel counts in small batches
    assert peak.device_mb is None
