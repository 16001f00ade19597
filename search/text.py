"""Text from elsewhere: what may come in, and how it is shown wherever we show it."""

import re
from typing import Any

MAX_CHARS = 4_000
"""Of an error's text, no more is shown or stored: some hold an array."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t")
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but tab and line feed, marks of direction, halves of surrogates."""


def visible(text: str) -> str:
    r"""`text` with what steers a terminal, hides or can't be encoded written out, like \x1b."""
    return _UNSEEN.sub(
        lambda match: match[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n")
    )


def cut(text: str, most: int = MAX_CHARS) -> str:
    """`text`, or its beginning and its end with what is left out between them counted."""
    if len(text) <= most:
        return text
    half = (most - 32) // 2  # what says so has room as well: what was cut is not cut again
    return f"{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}"


def message_of(error: BaseException) -> str:
    """The text of any exception; of one that fails to give it, why."""
    try:
        return str(error)
    except Exception as failure:
        return f"its text can't be shown ({type(failure).__name__})"


def text_problem(text: str, *, lines: bool = False) -> str | None:
    """Why `text` may not come in, or None: it must be visible and, but for `lines`, one line."""
    if match := _UNSEEN.search(text) or (None if lines else re.search(r"[\n\t]", text)):
        shown = match[0].encode("unicode_escape").decode()
        return f"must be plain text, but holds the control character {shown}; take it out"
    return None


def csv_safe(value: Any) -> Any:
    """`value` for a spreadsheet: text that it would run as a formula gets an apostrophe."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = cut(visible(str(value)))
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
