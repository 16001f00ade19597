"""What flags give as text: whole numbers, and names with commas between. Pure."""

from collections.abc import Collection
from contextlib import suppress

from search.registry import nearest

ALL = "all"


def names(text: str) -> tuple[str, ...]:
    """The names in `text`, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def known_names(
    flag: str, text: str, known: Collection[str], problems: list[str]
) -> tuple[str, ...]:
    """The names in `text`, each once, or all that are `known`; `problems` gets what is wrong."""
    if text == ALL:
        return tuple(known)
    found = names(text)
    problems += [
        f"{flag}: {name!r} is not known; {nearest(name, known)}"
        for name in found
        if name not in known
    ]
    if not found:
        problems.append(f"{flag}: no names in {text!r}; known: {', '.join(known)}")
    return found


def whole(flag: str, text: str, bounds: tuple[int, int], problems: list[str]) -> int:
    """The whole number that `text` says, within `bounds`; the lower bound if it is none, which
    `problems` gets.
    """
    low, high = bounds
    with suppress(ValueError):
        if low <= (value := int(text)) <= high:
            return value
    problems.append(f"{flag}: {text!r} is not a whole number from {low} to {high}")
    return low
