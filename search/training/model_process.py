"""Questions about a user's model, put to a fresh process, which loads the framework."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from search.errors import InputError, StudyError
from search.secret import without_secrets
from search.training.memory import address_space_note
from search.training.remembered import answer_file, recall, remember

MARK = "gridless-answer:"
"""What the line of output begins with that holds the answer."""


def ask(question: Mapping[str, Any]) -> dict[str, Any]:
    """A fresh process's answer, or what one answered before.

    Raises InputError with its problems, StudyError when it breaks.
    """
    file = answer_file(question)
    if file and (kept := recall(file)):
        return kept
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    variables = without_secrets(os.environ) | quiet
    done = subprocess.run(
        [sys.executable, "-m", "search.training.model_process_main"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
        env=variables,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not lines:
        rule = f"building the model ended with exit code {done.returncode}{address_space_note()}"
        raise StudyError(f"{rule}:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(lines[-1].removeprefix(MARK))
    if "problems" in answer:
        raise InputError(answer["problems"])
    if file:
        remember(file, answer)
    return answer
