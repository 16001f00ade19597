"""Whole files and locks that several processes share."""

import contextlib
import fcntl
import glob
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from uuid import uuid4


def plain_name(text: str) -> str:
    """`text` as a file may be called on any system: letters, marks and digits of any script, dots,
    dashes, underscores.

    What lies between becomes a dash. Letters are composed (NFC), as macOS gives them decomposed.
    """
    composed = unicodedata.normalize("NFC", text)
    kept = (
        c if _is_plain(before, c) else "/"
        for before, c in zip(f" {composed}", composed, strict=False)
    )
    return re.sub("/+", "-", "".join(kept))


def _is_plain(before: str, char: str) -> bool:
    kind = unicodedata.category(char)[0]
    # A mark without a letter is what emoji leave behind, and can't be seen.
    return (
        char in "._-" or kind in "LN" or (kind == "M" and unicodedata.category(before)[0] in "LMN")
    )


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing so that a reader meets the old file or the whole new one, whatever
    kills the writer.

    What was written can be read back. Makes the file's folder. Raises OSError when it can't be
    written or the disk is full; the old file is then unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own beside the target: os.replace is atomic only within one file system.
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("w+b") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_file(path: Path) -> None:
    """Remove `path` if it is there, and what killed writers left beside it. Raises OSError."""
    for file in (path, *path.parent.glob(f".{glob.escape(path.name)}.*.part")):
        file.unlink(missing_ok=True)


def unwritable(folder: Path, error: OSError) -> str:
    """What to tell a user of an `error` while writing into `folder`."""
    reason = f"{error.filename or folder} can't be written: {error.strerror or error}"
    return f"{reason}; make room, allow writing, or set GRIDLESS_HOME to another folder"


def write_text(path: Path, text: str) -> None:
    """Write `text` by `whole_file`, line ends as given; what UTF-8 lacks is written out."""
    with whole_file(path) as file:
        file.write(text.encode(errors="backslashreplace"))


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock file `path`, and yield whether it is held (always, with `wait`). Raises
    OSError.

    The operating system frees the lock of a process that dies, so no lock is ever left behind.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def last_line(log: Path) -> str:
    """The last line of a log; empty where there is none."""
    lines = (
        log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if log.exists()
        else []
    )
    return lines[-1] if lines else ""
