"""Questions about a user's model, put to a process of its own, which has the framework loaded."""

import json
import os
import tempfile
from collections.abc import Mapping
from multiprocessing import Pipe
from typing import Any

from search.errors import InputError, StudyError
from search.fork_server import fork, start
from search.secret import without_secrets
from search.training.memory import address_space_note
from search.training.model_answers import MARK, answer
from search.training.remembered import answer_file, recall, remember

PRELOAD = ("search.training.preload",)
"""What fork servers import: the framework, and how to train."""
_END_WAIT_S = 6.0
"""How long a process may take to end when nobody waits for its answer any more."""


def ask(question: Mapping[str, Any]) -> dict[str, Any]:
    """A process's answer, or what one answered before.

    Raises InputError with its problems, StudyError when it breaks.
    """
    file = answer_file(question)
    if file and (kept := recall(file)):
        return kept
    exit_code, output = put(json.dumps(question))
    lines = output.splitlines()
    answers = [line for line in lines if line.startswith(MARK)]
    if not answers:
        rule = f"building the model ended with exit code {exit_code}{address_space_note()}"
        raise StudyError(f"{rule}:\n{output[-2000:]}")
    answered: dict[str, Any] = json.loads(answers[-1].removeprefix(MARK))
    if "problems" in answered:
        raise InputError(answered["problems"])
    if file:
        remember(file, answered)
    return answered


def put(question: str) -> tuple[int | None, str]:
    """What a process ended with that was asked `question`, and all that it wrote."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    environment = without_secrets(os.environ) | quiet
    start(PRELOAD, environment)
    their_end, lifeline = Pipe(duplex=False)
    with tempfile.TemporaryFile() as output, their_end, lifeline:
        process = fork(
            answer,
            (question,),
            (their_end,),
            preload=PRELOAD,
            environment=environment,
            output=output.fileno(),
        )
        try:
            process.join(None)
        finally:
            lifeline.close()
            process.join(_END_WAIT_S)
        output.seek(0)
        return process.exitcode, output.read().decode(errors="replace")
