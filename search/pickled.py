"""Builders that are no module's: a notebook's function, a lambda, an object. They are pickled, and
called by the digest of their source: `pickled.0123456789ab:build`.

Unpickling runs code. So it is done only of files in this machine's own cache, where nothing puts
them but the process that was given the builder, and workers that were told to trust the storage.
"""

import base64
import difflib
import hashlib
import io
import json
import pickle
import platform
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cloudpickle

from search.builder_source import MAX_BYTES, BuilderSource, size_of, title_of
from search.errors import InputError
from search.files import whole_file
from search.paths import cache
from search.registry import check_builder, check_loop, load_builder, pickled_digest
from search.text import cut, message_of
from search.words import megabytes

ALLOW = "--allow-pickled"
"""The option of `gridless worker` for those who trust all that write to the storage."""
_MOST_LINES = 40
_MOST_CHARS = 160


@dataclass(frozen=True)
class Pickled:
    """A builder as it is stored with a study."""

    name: str
    texts: Mapping[str, str]
    """What it is compared by, as `BuilderSource` has it."""
    python: str
    """The version of Python that can read it, as 3.11."""
    content: bytes

    @property
    def model(self) -> str:
        """What stands for it where models are named."""
        text = json.dumps(self.texts, sort_keys=True)
        return f"pickled.{hashlib.sha256(text.encode()).hexdigest()[:12]}:{self.name}"

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        content = base64.b85encode(self.content).decode()
        texts = dict(self.texts)
        return {"name": self.name, "texts": texts, "python": self.python, "content": content}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Pickled":
        """What `as_json` made."""
        return cls(**{**raw, "content": base64.b85decode(raw["content"])})

    def keep(self) -> None:
        """Let processes of this machine's home build with it."""
        with whole_file(_file(self.model, self.python)) as file:
            file.write(self.content)


def python_version() -> str:
    """Of this process, as 3.11: another can't read what it pickles of functions."""
    return ".".join(platform.python_version_tuple()[:2])


def pickled(builder: Callable[..., Any], *, loop: bool = False) -> Pickled:
    """A builder or a `loop`, to be stored. Raises InputError with all that is wrong with it."""
    if hasattr(builder, "trainable_weights"):
        raise InputError("build: it is a network; give a function that makes one for each trial")
    if loop:
        check_loop("train", builder)
    else:
        check_builder("build", builder)
    source = BuilderSource(builder)
    with ExitStack() as stack:
        for module in source.modules:
            cloudpickle.register_pickle_by_value(module)
            stack.callback(cloudpickle.unregister_pickle_by_value, module)
        sizes, problems = _sizes(source)
        if problems:
            raise InputError([f"build: it uses {problem}" for problem in problems])
        try:
            content = cloudpickle.dumps(builder)
        except Exception as error:  # whatever pickling the rest raises
            raise InputError(f"build: it can't be stored ({message_of(error)})") from error
    if len(content) > MAX_BYTES:
        parts = [f"{name} {megabytes(n_bytes)}" for name, n_bytes in sizes.most_common(3)]
        rule = f"build: with all that it uses ({', '.join(parts)}) it takes"
        remedy = f"at most {megabytes(MAX_BYTES)} can be stored: make them in the builder"
        raise InputError(f"{rule} {megabytes(len(content))}, {remedy}")
    return Pickled(_name(builder), source.texts, python_version(), content)


def _sizes(source: BuilderSource) -> tuple[Counter[str], list[str]]:
    """The bytes of what a builder uses, by name, and what of it can't be stored."""
    sizes: Counter[str] = Counter()
    problems: dict[str, None] = {}
    for name, value in source.values:
        if problem := _problem(name, value):
            problems[problem] = None
            continue
        try:
            sizes[name] += len(cloudpickle.dumps(value))
        except Exception as error:  # whatever a value raises
            rule = f"{name}, a {title_of(value)}, which can't be stored ({message_of(error)})"
            problems[f"{rule}: make it in the builder"] = None
    return sizes, list(problems)


def _problem(name: str, value: Any) -> str | None:
    """Why `value`, which a builder uses as `name`, can't go with it."""
    if isinstance(value, io.IOBase):
        file = getattr(value, "name", "in memory")
        rule = f"{name}, an open file ({file}), which no other process has"
        return f"{rule}: open it in the builder"
    device = str(getattr(value, "device", ""))
    if re.search("gpu|cuda", device, flags=re.IGNORECASE):
        rule = f"{name}, a tensor on a GPU ({device}), which no other process has"
        return f"{rule}: make it a NumPy array, or make it in the builder"
    if (n_bytes := size_of(value)) > MAX_BYTES:
        rule = f"{name}, an array of {megabytes(n_bytes)}, which would be stored with it"
        return f"{rule}, at most {megabytes(MAX_BYTES)} in all: give the search data as arguments"
    return None


def _name(builder: Any) -> str:
    inner = builder.func if isinstance(builder, partial) else builder
    name = getattr(inner, "__name__", type(inner).__name__)
    return re.sub(r"\W", "", name)


def difference(stored: Pickled, given: Pickled) -> str:
    """How the texts differ, as lines of a diff; empty where they don't."""
    lines: list[str] = []
    for name in dict.fromkeys([*given.texts, *stored.texts]):
        then, now = (_lines(name, each.texts.get(name, "")) for each in (stored, given))
        changes = list(
            difflib.unified_diff(then, now, f"{name}, stored", f"{name}, now", "", "", 1)
        )
        lines += [line.rstrip("\n") for line in changes]
    rest = [f"… and {len(lines) - _MOST_LINES} lines more"] if len(lines) > _MOST_LINES else []
    return "\n".join([*lines[:_MOST_LINES], *rest])


def _lines(name: str, text: str) -> list[str]:
    """Those of a text; of what a builder was made with, one for each argument."""
    return (text.replace(", '", ",\n '") if name == "builder" else text).splitlines()


def same_name(model: str, other: str) -> bool:
    """Whether both are pickled builders of one name, whose source may differ."""
    names = (model, other)
    are_pickled = all(map(pickled_digest, names))
    return are_pickled and model.partition(":")[2] == other.partition(":")[2]


def source_of(model: str) -> Callable[..., Any]:
    """The builder of `model`, whether it is pickled or a module's. Raises as `load_builder`."""
    return _unpickled(model) if pickled_digest(model) else load_builder(model)


def pickled_problem(model: str) -> str | None:
    """Why the pickled builder `model` can't be read here; None where it can."""
    if _file(model, python_version()).is_file():
        return None
    others = sorted(
        path.stem.rpartition("-")[2]
        for path in _file(model, "*").parent.glob(_file(model, "*").name)
    )
    if others:
        rule = f"model {model} was pickled by Python {' and '.join(others)}"
        return f"{rule}, and this is {python_version()}: give it to search.optimize here once more"
    rule = (
        f"model {model} is a builder that was given to search.optimize, and is not on this machine"
    )
    return f"{rule}: give it here, too, or have `gridless worker {ALLOW}` fetch it"


@lru_cache(maxsize=32)
def _unpickled(model: str) -> Callable[..., Any]:
    if problem := pickled_problem(model):
        raise InputError(problem)
    try:
        builder = pickle.loads(_file(model, python_version()).read_bytes())  # noqa: S301  # our own
    except Exception as error:  # whatever imports raise that it needs
        lines = str(error).splitlines() or [type(error).__name__]
        # Keras has much to say, and what it misses somewhere in that.
        reason = next((line for line in lines if "Could not locate" in line), lines[0])
        rule = f"model {model} can't be unpickled ({cut(reason, _MOST_CHARS)})"
        remedy = (
            "install what it imports, and make layers of your own in the builder, not around it"
        )
        raise InputError(f"{rule}; {remedy}") from error
    return builder  # type: ignore[no-any-return]


def _file(model: str, python: str) -> Path:
    return cache() / "builders" / f"{pickled_digest(model)}-{python}.pickle"
