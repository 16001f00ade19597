"""What fresh processes answered, kept until anything changes that an answer depends on.

That is the question, the user's files that build the models in it or measure an objective, the
source of Gridless, what is installed, and how Keras is set up. What a builder reads from other
files, or from the network, is not seen.
"""

import hashlib
import json
import logging
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache as once
from pathlib import Path
from typing import Any

from search.files import write_text
from search.objectives import is_function, objective_of
from search.paths import cache
from search.user_code import user_code

logger = logging.getLogger(__name__)
MOST = 200
"""Answers that are kept, the newest."""
_OF_KERAS = ("KERAS_BACKEND", "KERAS_HOME", "TF_USE_LEGACY_KERAS", "TF_ENABLE_ONEDNN_OPTS")
Question = Mapping[str, Any]


def recall(file: Path) -> dict[str, Any] | None:
    """The answer kept in `file`; None without one."""
    with suppress(OSError, ValueError):
        answer = json.loads(file.read_text(encoding="utf-8"))
        file.touch()  # it is of use
        return answer if isinstance(answer, dict) else None
    return None


def remember(file: Path, answer: Mapping[str, Any]) -> None:
    """Keep the `answer` in `file`."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(answer))
        kept = sorted(file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for old in kept[:-MOST]:
            old.unlink(missing_ok=True)
    except OSError as error:
        logger.debug("the answer can't be kept: %s", error)


def answer_file(question: Question) -> Path | None:
    """Where the answer to `question` is kept as long as nothing changes; None for a question about
    files, or about starting weights.

    To be asked before the question is put: code may change while it is answered.
    """
    models = list(_models(question))
    if not models or _loads_weights(question):
        return None
    objectives = [
        objective_of(text).name for text in question.get("probe", {}).get("objectives", ())
    ]
    named = sorted({*models, *filter(is_function, objectives)})
    facts = [question, {name: user_code(name) for name in named}, _surroundings()]
    text = json.dumps(facts, sort_keys=True, default=str)
    return cache() / "answers" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"


def _models(question: Question) -> Iterator[str]:
    if "probe" in question:
        yield question["probe"]["space"]["model"]
    if "discover" in question:
        yield question["discover"]["model"]
    for row in question.get("build", ()):
        yield row["model"]


def _loads_weights(question: Question) -> bool:
    """Whether files of weights are read for the answer."""
    if "probe" in question:
        probe = question["probe"]
        return bool(probe["weights"]) and _names_weights(probe["space"]["document"])
    if not question.get("weights"):
        return False
    return any(_names_weights(row["setting"]) for row in question["build"])


def _names_weights(setting: Mapping[str, Any]) -> bool:
    return bool(setting.get("weights", "none") != "none")


@once
def _surroundings() -> list[Any]:
    """What all answers depend on: Python, packages, Gridless's own source, and Keras' settings."""
    installed = Path(sysconfig.get_path("purelib"))
    packages = sorted(path.name for path in installed.glob("*.dist-info"))
    source = Path(__file__).parents[1]
    files = [(path, path.stat()) for path in sorted(source.rglob("*.py"))]
    ours = [(str(path.relative_to(source)), stat.st_size, stat.st_mtime_ns) for path, stat in files]
    keras_home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    config = ""
    with suppress(OSError, UnicodeDecodeError):
        config = (keras_home / "keras.json").read_text(encoding="utf-8")
    variables = {name: os.environ.get(name) for name in _OF_KERAS}
    return [sys.version, packages, ours, config, variables]
