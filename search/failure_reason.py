"""Why code of the user failed, in one line: where in the user's code, and what went wrong."""

import re
import sysconfig
import traceback
from pathlib import Path

from search.errors import InputError
from search.text import cut, message_of, visible

_OTHERS = (
    Path(__file__).parent,
    *(Path(sysconfig.get_path(n)) for n in ("stdlib", "platstdlib", "purelib", "platlib")),
)
"""Folders of code that is not the user's: ours, Python's and what is installed."""
_GENERATED = "__autograph_generated_file"
"""What TensorFlow names the files into which it turns code, anew in each process."""
_MAX_CHARS = 300
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_WRAPPING = re.compile(
    r"Exception encountered when calling|Could not automatically infer the output shape"
)
"""Keras' own words around what it met."""
_END = re.compile(r"^(Call a|A)rguments received by|^\[\[\{\{node")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def reason_of(error: BaseException) -> str:
    """`file:line: Type: what`; the place is left out where no code of the user took part."""
    message = message_of(error)
    lines = [line.strip() for line in _ANSI.sub("", message).splitlines()]
    if isinstance(error, InputError):
        what = cut("; ".join(lines))
    else:
        kind = f"{type(error).__name__}: "  # which a trace in its text tells, too
        what = cut(kind + _statement(lines).removeprefix(kind), _MAX_CHARS)
    places = [*_places(error), *_places_in(message)]
    place = f"{places[-1]}: " if places else ""
    return visible(place + what.strip().rstrip(":"))


def place_of(file: str, line: int) -> str | None:
    """`file:line` of the user's code; None of others'."""
    return _shown(file, line) if _is_users(file) else None


def _statement(lines: list[str]) -> str:
    """The line of an exception's text that says what happened, without the framework's words."""
    if end := [i for i, line in enumerate(lines) if _END.match(line)]:
        lines = lines[: end[0]]
    if any(_FRAME.match(line) for line in lines):
        # A trace of its own: the last paragraph is the exception.
        start = 1 + max(i for i, line in enumerate(lines) if _FRAME.match(line) or not line)
        lines = lines[start:] or lines
    return next((line for line in lines if line and not _WRAPPING.search(line)), "")


def _places(error: BaseException) -> list[str]:
    """The lines of the user's code that the exception came through, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [
        _shown(frame.filename, frame.lineno or 0) for frame in frames if _is_users(frame.filename)
    ]


def _places_in(message: str) -> list[str]:
    """Those that its own text names, as of code that ran inside a graph."""
    frames = filter(None, (_FRAME.match(line) for line in message.splitlines()))
    return [
        _shown(frame["file"], int(frame["line"])) for frame in frames if _is_users(frame["file"])
    ]


def _is_users(file: str) -> bool:
    if not Path(file).is_file() or Path(file).name.startswith(_GENERATED):
        return False
    return not any(Path(file).is_relative_to(folder) for folder in _OTHERS)


def _shown(file: str, line: int) -> str:
    path = Path(file)
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"{path}:{line}"
