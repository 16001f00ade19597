"""What `make` refuses before it does anything."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


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
    assert_make("help", variable, code=code, message=message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("study", "MODEL is missing: make study MODEL=convNN DATA=fashion"),
        ("study MODEL=mlp", "DATA is missing: make study MODEL=mlp DATA=fashion"),
        ("submit DATA=digits", "MODEL is missing: make submit MODEL=convNN DATA=fashion"),
        ("bench", "SUITE is missing: make bench SUITE=documents"),
        ("compare", "SUITE is missing: make compare SUITE=documents"),
        ("report", "NAME is missing: make report NAME=convNN-fashion"),
        ("studdy MODEL=mlp", "no target studdy; did you mean study? make help explains them all"),
        ("zzzz", "no target zzzz; make help explains them all"),
    ],
)
def test_what_is_missing_or_mistyped_is_said_before_anything_is_installed(
    tmp_path: Path, words: str, message: str
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    assert_make(*words.split(), code=2, message=message, folder=tmp_path)
    assert not (tmp_path / ".venv").exists()


def assert_make(*words: str, code: int, message: str, folder: Path = ROOT) -> None:
    """What `make` says, and its exit code."""
    done = subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert message in done.stderr
