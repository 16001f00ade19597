"""A study that is searched from a notebook: shown in its cell, changed in place."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from search.cli.views import live
from search.cli.views.live import LiveView
from tests.cli.views.test_live import TRIALS
from tests.study.helpers import spec


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What IPython was given to display, in order."""
    bundles: list[Any] = []

    def display(bundle: Any, **options: Any) -> Any:
        assert options == {"raw": True, "display_id": True}
        bundles.append(bundle)
        return SimpleNamespace(update=lambda new, raw: bundles.append(new))

    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setattr(live, "Console", lambda **_: Console(force_jupyter=True))
    return bundles


def test_a_notebooks_cell_shows_the_table_of_a_terminal_in_place(shown: list[Any]) -> None:
    with LiveView(quiet=False) as view:
        view.update([(spec(n_trials=10), TRIALS)])
    assert len(shown) == 2
    for kind in ("text/html", "text/plain"):
        assert "10 trials: 1 done, 1 running" in shown[1][kind]
        assert "worker-1" in shown[1][kind]
    assert shown[1]["text/html"].startswith("<pre ")
    assert "\x1b" not in shown[1]["text/plain"]


def test_nothing_is_shown_of_a_quiet_search(shown: list[Any]) -> None:
    with LiveView(quiet=True) as view:
        view.update([(spec(n_trials=10), TRIALS)])
    assert shown == []
