"""What a fork server imports once for all that it forks: the framework, and how to train."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from search.processes import loading_for_good

_LEFT_OUT = ("matplotlib", "sklearn")
"""Keras and KerasTuner load them for pictures and wrappers, if they can: a quarter of the time that
all of this takes. What imports them later has them.
"""


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Let imports of `names` fail, as where they are not installed."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules |= dict.fromkeys(hidden)  # type: ignore[arg-type]  # None: Python's own sign for it
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


# Not collected as garbage: else each clear_session() takes as long as building a small network.
with loading_for_good(), _without(_LEFT_OUT):
    # Under JAX, too: Keras' seeding loads it, and every process would again if the server had not.
    # KerasTuner for programs of its users: a seventh of a second here, half of one in each trial.
    import keras_tuner  # noqa: F401
    import tensorflow  # noqa: F401

    from search.training import model_answers, trainer  # noqa: F401
