"""A headless Chromium of this machine, what it said on its console, and pictures of what it
showed.
"""

import importlib.util
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHOTS = Path(os.environ.get("GRIDLESS_UI_SHOTS") or ROOT / "runs" / "ui-shots")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PATIENCE_MS = 30_000


def why_not() -> str | None:
    """Why pages can't be looked at here."""
    if not os.environ.get("GRIDLESS_TEST_UI"):
        return "it takes minutes: `make test-ui` runs it"
    if CHROMIUM is None:
        return "there is no chromium on this machine"
    if importlib.util.find_spec("playwright") is None:
        return "playwright is missing: pip install -e '.[ui]'"
    return None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Window:
    """One page, 1500 × 1000 unless told otherwise, and the errors that it met."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def shoot(self, name: str, *, whole: bool = False) -> None:
        """Keep a picture of what is to be seen, or of the whole page."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(500)  # charts come in gently
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=whole)


@contextmanager
def window(width: int = 1500, height: int = 1000, **context: Any) -> Iterator[Window]:
    """Open a browser with nothing in its memory; `context` as playwright's Browser.new_context."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield Window(
            browser.new_context(viewport={"width": width, "height": height}, **context).new_page()
        )
        browser.close()
