"""Where tables and bars are drawn."""

from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment

from search.text import visible


class Console(rich.console.Console):
    """Rich's, on which no text that is shown can steer the terminal."""

    def render(self, *arguments: Any, **named: Any) -> Iterable[Segment]:
        """The pieces of what is to be drawn: Rich's own controls, and text."""
        for piece in super().render(*arguments, **named):
            yield piece if piece.control else piece._replace(text=visible(piece.text))
