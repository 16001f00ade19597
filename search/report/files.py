"""Writes whole files or nothing: a reader never meets half a report, whatever kills the writer."""

import os
from pathlib import Path
from uuid import uuid4

from search.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Replaces the file at `path` by `text` (UTF-8, line ends as given) in one step; makes its folder.

    Raises InputError when the folder can't be written or the disk is full; the old file is then unchanged.
    """
    # A name of its own beside the target: os.replace is atomic only within one file system.
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path} can't be written: {error.strerror or error}; free the disk or allow writing there, "
            "or move the output by GRIDLESS_HOME"
        ) from error
