"""Bringing the images of a folder to one size, in a copy: what `folder` asks for when sizes differ."""

import shlex
import sys
from pathlib import Path

from search.datasets import pictures
from search.errors import InputError


def resize(source: str, target: str, width: int, height: int) -> None:
    """Write every image below `source`, `width`×`height` pixels, as PNG to the same place below `target`.

    Hidden files and folders are left out. Proportions are kept; what is too long is cut at both ends.
    Raises InputError when `target` exists, and with every image that can't be read; the others are then written.
    """
    old, new = Path(source).expanduser(), Path(target).expanduser()
    if new.exists():
        raise InputError(f"{new} exists; remove it, or name another folder")
    failed = []
    for path in sorted(old.rglob("*")):
        inside = path.relative_to(old)
        if path.suffix.lower() not in pictures.SUFFIXES or any(part.startswith(".") for part in inside.parts):
            continue
        # The whole old name stays in the new one: a.jpg and a.png may lie side by side.
        written = new / inside.with_name(f"{path.name}.png")
        try:
            image = pictures.fitted(path, width=width, height=height)
        except InputError as error:
            failed.append(f"{path}: {error}")
            continue
        written.parent.mkdir(parents=True, exist_ok=True)
        image.save(written)
    if failed:
        raise InputError(failed)


def command(folder: Path, width: int, height: int) -> str:
    """The shell command that makes such a copy beside `folder`, and how to use it."""
    target = folder.with_name(f"{folder.name}-{width}x{height}")
    code = f"from search.datasets.resize import resize; resize({str(folder)!r}, {str(target)!r}, {width}, {height})"
    return f"{shlex.join([sys.executable, '-c', code])} and then DATA={shlex.quote(str(target))}"
