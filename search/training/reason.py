"""Why building or training failed, in one line: the user's own line of code and what went wrong
there.
"""

import re
import sysconfig
import traceback
from pathlib import Path

from search.errors import InputError
from search.text import cut, visible

_OTHERS = (
    Path(__file__).parents[1],
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
    lines = [line.strip() for line in _ANSI.sub("", str(error)).splitlines()]
    is_ours = isinstance(error, InputError)
    kind = f"{type(error).__name__}: "  # which a trace in its text tells, too
    what = "; ".join(lines) if is_ours else cut(kind + _said(lines).removeprefix(kind), _MAX_CHARS)
    places = [*_places(error), *_named(str(error))]
    place = f"{places[-1]}: " if places else ""
    return visible(place + what.strip().rstrip(":"))


def _said(lines: list[str]) -> str:
    """The line of an exception's text that says what happened, out of the framework's words around
    it.
    """
    if end := [i for i, line in enumerate(lines) if _END.match(line)]:
        lines = lines[: end[0]]
    if any(
        _FRAME.match(line) for line in lines
    ):  # a trace of its own: the last paragraph is the exception
        lines = (
            lines[max(i for i, line in enumerate(lines) if _FRAME.match(line) or not line) + 1 :]
            or lines
        )
    return next((line for line in lines if line and not _WRAPPING.search(line)), "")


def _places(error: BaseException) -> list[str]:
    """The lines of the user's code that the exception came through, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [
        _shown(frame.filename, frame.lineno or 0) for frame in frames if _is_users(frame.filename)
    ]


def _named(text: str) -> list[str]:
    """Those that its own text names, as of code that ran inside a graph."""
    frames = filter(None, (_FRAME.match(line) for line in text.splitlines()))
    return [
        _shown(frame["file"], int(frame["line"])) for frame in frames if _is_users(frame["file"])
    ]


def _is_users(file: str) -> bool:
    if not Path(file).is_file() or Path(file).name.startswith(_GENERATED):
        return False
    return not any(Path(file).is_relative_to(folder) for folder in _OTHERS)


def _shown(file: str, line: int) -> str:
    path = Path(file)
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{line}"
