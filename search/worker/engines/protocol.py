"""What an engine promises: it says which workers there will be, and starts and stops them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from search.study.settings import Settings
from search.worker.engines.devices import Crew
from search.worker.engines.work_order import WorkOrder

STOP_WAIT_S = 15.0


@dataclass(frozen=True)
class Terms:
    """How a command wants its workers kept."""

    folder: Path
    """Where their logs go."""
    holder: str
    """What others are told that GPUs are claimed for."""
    say: Callable[[str], None]
    """Is given what a person should know."""
    address: str | None = None
    """Where the engine is reached; None for its usual place."""
    max_restarts: int | None = None
    """How often in a row one is started again; None: for ever, as a service should."""


def no_options(engine: str, settings: Settings) -> list[str]:
    """What to tell of options that are given to an engine without any."""
    rule = f"--engine {engine} has none; is --engine slurm meant?"
    return [f"--engine-options {name}: {rule}" for name in settings.engine_options]


class Workers(Protocol):
    """The workers of one command, wherever they run. They end when this process dies."""

    def start(self) -> None:
        """Start them: they load their framework, and wait for `go`. Raises InputError."""

    def go(self, order: WorkOrder) -> None:
        """Let them carry out `order`."""

    def check(self) -> bool:
        """Start those again that died or were stopped by somebody; whether any is still at work."""

    def trouble(self) -> str | None:
        """Why one ended before its order was carried out, if one did."""

    def stop(self) -> None:
        """Ask them to give their trials back and end, and make them after STOP_WAIT_S seconds."""


class Engine(Protocol):
    """Who starts workers. Each module in `search.worker.engines.ENGINES` has one, ENGINE."""

    def crew(self, settings: Settings) -> Crew:
        """The workers that `settings` ask for. Raises InputError with all that can't be had."""

    def load_ahead(self, crew: Crew) -> None:
        """Begin to load the framework where workers of `crew` can share it; else nothing."""

    def workers(
        self, crew: Crew, settings: Settings, terms: Terms
    ) -> AbstractContextManager[Workers]:
        """Workers that are not started yet; at the end, what they held is let go of.

        Raises InputError when GPUs are in use, or `terms` mean nothing to this engine.
        """
