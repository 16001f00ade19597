"""A failure is told in one line: the user's own line, and what went wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from search.errors import InputError
from search.failure_reason import reason_of
from search.text import MAX_CHARS
from search.training.params_read import Params, Recorder

IN_GRAPH = f"""in user code:

    File "{__file__}", line 7, in call  *
        return self.d(x)
    File "/nowhere/keras/src/utils/traceback_utils.py", line 122, in error_handler  **
        raise e.with_traceback(filtered_tb) from None

    ValueError: shapes differ"""
EXECUTED = f"""Graph execution error:

Detected at node loss defined at (most recent call last):
  File "{__file__}", line 9, in build

  File "/nowhere/keras/src/losses.py", line 67, in __call__

Received a label value of 9 which is outside the valid range of [0, 7).  Label values: 9 8 7
\t [[{{{{node loss}}}}]] [Op:__inference_train_1]"""


class Bad(keras.layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return keras.ops.matmul(x, keras.ops.ones((3, 3)))


def raised(function: Callable[[], Any]) -> str:
    try:
        function()
    except Exception as error:
        return reason_of(error)
    raise AssertionError("nothing was raised")


def line_of(text: str) -> int:
    return next(
        i for i, line in enumerate(Path(__file__).read_text().splitlines(), 1) if text in line
    )


def test_the_innermost_line_of_the_users_is_named() -> None:
    reason = raised(lambda: Bad()(np.zeros((2, 4))))
    assert reason.startswith(f"tests/test_failure_reason.py:{line_of('keras.ops.matmul')}: ")
    assert "Exception encountered" not in reason
    assert "ncompatible" in reason or "Matrix size" in reason


@pytest.mark.parametrize(
    ("text", "line", "what"), [(IN_GRAPH, 7, "shapes differ"), (EXECUTED, 9, "a label value of 9")]
)
def test_of_a_trace_in_the_text_the_end_and_the_users_line_are_told(
    text: str, line: int, what: str
) -> None:
    reason = reason_of(ValueError(text))
    assert (
        reason.startswith(f"tests/test_failure_reason.py:{line}: "),
        what in reason,
        "\n" in reason,
    ) == (
        True,
        True,
        False,
    )
    assert reason.count("ValueError") == 1


def test_an_exception_that_can_not_say_what_it_is_has_a_reason_all_the_same() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    reason = reason_of(MuteError())
    assert reason == "MuteError: its text can't be shown (ZeroDivisionError)"


def test_a_reason_of_many_problems_is_no_longer_than_makes_sense() -> None:
    reason = reason_of(InputError([f"units {i}: not a number" for i in range(1000)]))
    assert reason.startswith("units 0: not a number; units 1: not a number; ")
    assert "characters" in reason
    assert len(reason) <= MAX_CHARS


def test_code_that_tensorflow_generated_is_not_the_users(tmp_path: Path) -> None:
    generated = tmp_path / "__autograph_generated_file1a2b.py"
    generated.write_text("{}['path']")
    reason = raised(lambda: exec(compile(generated.read_text(), str(generated), "exec")))
    assert reason == f"tests/test_failure_reason.py:{line_of('exec(compile')}: KeyError: 'path'"


@pytest.mark.parametrize(
    "params", [Params({"units": 1, "rate": 2}), Recorder({"units": 1, "rate": 2}, set())]
)
def test_a_parameter_that_is_not_there_is_named_with_the_nearest(params: Params) -> None:
    reason = raised(lambda: params["unit"])
    assert reason.startswith("tests/test_failure_reason.py:")
    assert reason.endswith("params['unit'], which is not in this setting; did you mean 'units'?")
    with pytest.raises(KeyError):
        _ = params["unit"]
    assert params.get("unit", 3) == 3
