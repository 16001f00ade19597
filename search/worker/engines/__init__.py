"""Who starts workers, and where: a module each, with an `Engine` called ENGINE."""

from search.worker.engines.all import ENGINES, engine

__all__ = ["ENGINES", "engine"]
