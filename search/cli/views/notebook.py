"""What is drawn for a terminal, in the output of a notebook's cell, changed in place."""

import io
from typing import Any

from rich.console import RenderableType

from search.cli.views.console import Console

_WIDTH = 100
_PAGE = '<pre style="line-height: normal; white-space: pre">{code}</pre>'


class NotebookLive:
    """Used as Rich's Live is, which needs ipywidgets there."""

    def __init__(self) -> None:
        self._handle: Any = None

    def start(self) -> None:
        """Make room in the output of the cell that runs."""
        from IPython.display import display  # only notebooks have it

        self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def update(self, renderable: RenderableType) -> None:
        """Draw `renderable` in place of what was there."""
        self._handle.update(as_bundle(renderable), raw=True)

    def stop(self) -> None:
        """Leave what was drawn last."""


def as_bundle(renderable: RenderableType) -> dict[str, str]:
    """The same as HTML, and as text for whatever shows none."""
    console = Console(
        record=True, file=io.StringIO(), width=_WIDTH, force_jupyter=False, force_terminal=True
    )
    console.print(renderable)
    page = console.export_html(inline_styles=True, code_format=_PAGE, clear=False)
    return {"text/html": page, "text/plain": console.export_text()}
