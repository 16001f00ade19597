"""What fork servers import, and what they leave to others."""

import subprocess
import sys

PROGRAM = """
import search.training.preload, sys
left_out = [name for name in ("matplotlib", "sklearn") if name in sys.modules]
import matplotlib.pyplot, sklearn.metrics
print("keras" in sys.modules, left_out, matplotlib.pyplot.figure(), sklearn.metrics.f1_score([1], [1]))
"""


def test_what_is_left_out_can_be_imported_by_whoever_needs_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "True [] Figure(640x480) 1.0"
