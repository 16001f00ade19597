"""Flags of experiments: text in, checked values out, with every problem kept until all are read."""

import math
import os
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from search.errors import InputError
from search.registry import nearest

ALL = "all"
T = TypeVar("T")


def names_in(text: str) -> tuple[str, ...]:
    """The names in `text`, which has commas between them, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


class FlagReader:
    """Reads the texts of flags. A wrong one gives a stand-in value and a line in `problems`."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def names(self, flag: str, text: str, choices: Collection[str]) -> tuple[str, ...]:
        """The names in `text`, each once, or all `choices`."""
        if text == ALL:
            return tuple(choices)
        names = names_in(text)
        if not names:
            self.problems.append(f"{flag}: no names in {text!r}; known: {', '.join(choices)}")
        for name in names:
            if name not in choices:
                self.problems.append(f"{flag}: {name!r} is not known; {nearest(name, choices)}")
        return names

    def counts(
        self, texts: Mapping[str, str], bounds: Mapping[str, tuple[int, int]]
    ) -> dict[str, int]:
        """Whole numbers by flag's name, each within its bounds."""
        return {name: self._count(name, text, *bounds[name]) for name, text in texts.items()}

    def _count(self, name: str, text: str, low: int, high: int) -> int:
        with suppress(ValueError):
            if low <= (value := int(text)) <= high:
                return value
        self.problems.append(f"--{name}: {text!r} is not a whole number from {low} to {high}")
        return low

    def number(self, flag: str, text: str, fits: Callable[[float], bool], rule: str) -> float:
        """The finite number `text`, which `fits`; `rule` says what is expected instead."""
        with suppress(ValueError):
            if math.isfinite(value := float(text)) and fits(value):
                return value
        self.problems.append(f"{flag}: {text!r} is not {rule}")
        return 1.0

    def runs_file(self, path: Path) -> None:
        """Check that a CSV file can be written to `path`, whose folder need not be there yet."""
        folders = path.absolute().parents
        folder = next(folder for folder in folders if os.path.lexists(folder))
        if path.suffix != ".csv":
            self.problems.append(f"--out: {path} does not end in .csv; give FILE.csv")
        elif path.is_dir():
            self.problems.append(f"--out: {path} is a folder; give a file")
        else:
            try:
                with tempfile.TemporaryFile(dir=folder) as file:
                    file.write(b"\0")
            except OSError as error:
                reason = error.strerror or error
                self.problems.append(
                    f"--out: {path} can't be written ({reason}); give another place"
                )

    def attempt(self, part: Callable[[], T]) -> T | None:
        """What `part` returns; None if it raises InputError."""
        try:
            return part()
        except InputError as error:
            self.problems += error.problems
            return None
