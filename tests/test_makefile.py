"""What `make` refuses before it does anything."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize(
    ("variable", "code", "message"),
    [
        ("TRAILS=3", 2, "TRAILS is no variable of any target; did you mean TRIALS?"),
        ("epochs=3", 2, "epochs is no variable of any target; did you mean EPOCHS?"),
        ("Q=1", 2, "Q is no variable of any target; known: AREA ARGS"),
        ("TRIALS=3", 0, ""),
    ],
)
def test_a_variable_that_no_target_reads_is_refused(variable: str, code: int, message: str) -> None:
    done = subprocess.run(
        ["make", "help", variable], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert message in done.stderr
