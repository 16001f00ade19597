"""What to try next, and for how long: pure functions of the study's trials.

A strategy never reads storage, clocks or global random state. Its randomness comes from (study
seed, trial number), so two workers never draw the same start-up points, and a study that was killed
goes on with the same decisions.
"""

from search.strategies.all import STRATEGIES, make_strategy
from search.strategies.pausing import REDUCTION, HalvingStrategy, rungs
from search.strategies.protocol import Decision, Strategy, derive_seed

__all__ = [
    "REDUCTION",
    "STRATEGIES",
    "Decision",
    "HalvingStrategy",
    "Strategy",
    "derive_seed",
    "make_strategy",
    "rungs",
]
