"""Every strategy by its name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.registry import nearest
from search.space.space import Space
from search.strategies.grid import GridSettings
from search.strategies.pausing import REDUCTION, HalvingStrategy, hyperband_brackets, rungs
from search.strategies.protocol import Strategy
from search.strategies.random_tpe import RandomSettings, TPESettings
from search.strategies.several import SeveralObjectives

First = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Request:
    """What a strategy is made for."""

    space: Space
    seed: int
    max_epochs: int
    n_trials: int | None
    first: First

    @property
    def rules(self) -> dict[str, Any]:
        """What every choice of settings heeds, beside the space."""
        return {"seed": self.seed, "max_epochs": self.max_epochs, "first": self.first}


def _default(request: Request) -> Strategy:
    """For every study, unless you have a reason for another: see DefaultStrategy."""
    # SciPy's statistics take a second to import, which commands that search nothing need not spend.
    from search.strategies.default import DefaultStrategy  # noqa: PLC0415

    return DefaultStrategy(request.space, n_trials=request.n_trials, **request.rules)


def _random(request: Request) -> Strategy:
    """Random settings, each trained to its end.

    To compare other strategies with, and to learn what a space is like without a bias (Bergstra &
    Bengio, JMLR 13 (2012), 281–305).
    """
    return HalvingStrategy(RandomSettings(request.space, **request.rules))


def _grid(request: Request) -> Strategy:
    """Every combination of a grid, each trained to its end.

    For small spaces that are to be covered completely, as the source documents did. It sees but a
    handful of values of each parameter, however few parameters matter (Bergstra & Bengio, 2012):
    for anything else take another.
    """
    return HalvingStrategy(GridSettings(request.space, **request.rules))


def _tpe(request: Request) -> Strategy:
    """Settings by the tree-structured Parzen estimator, each trained to its end.

    Where no value before the last epoch tells anything, as with schedules that only settle at the
    end, and there is compute for many full trainings (Bergstra et al., NIPS 2011; Watanabe,
    arXiv:2304.11127).
    """
    return HalvingStrategy(TPESettings(request.space, **request.rules))


def _halving(request: Request) -> Strategy:
    """TPE's settings, of which the worse half pauses at max/9 and max/3 epochs.

    What studies used before `default`; for very large spaces of choices, where a Gaussian process
    knows no distances. Jamieson & Talwalkar, AISTATS 2016, and TPE.
    """
    settings = TPESettings(request.space, **request.rules)
    return HalvingStrategy(settings, brackets={rungs(request.max_epochs): 1.0})


def _asha(request: Request) -> Strategy:
    """Random settings, the best third of which goes on from each of the rungs max/3, max/9, … down
    to 1 epoch.

    For hundreds of workers that must never wait, where first epochs tell last ones apart: it
    discards slow starters (Li et al., "A system for massively parallel hyperparameter tuning",
    MLSys 2020; promotion as there).
    """
    settings = RandomSettings(request.space, **request.rules)
    return HalvingStrategy(
        settings, keep=1 / REDUCTION, brackets={rungs(request.max_epochs, least=1): 1.0}
    )


def _hyperband(request: Request) -> Strategy:
    """Random settings in brackets, which begin to compare at the first of `asha`'s rungs, at the
    second, … or never.

    Where it is not known how early values can be trusted: safer than `asha`, and slower where they
    can (Li et al., "Hyperband", JMLR 18 (2018), 1–52; asynchronous as in Li et al., 2020).
    """
    settings = RandomSettings(request.space, **request.rules)
    return HalvingStrategy(
        settings,
        seed=request.seed,
        keep=1 / REDUCTION,
        brackets=hyperband_brackets(request.max_epochs),
    )


STRATEGIES: dict[str, Callable[[Request], Strategy]] = {
    "default": _default,
    "halving": _halving,
    "tpe": _tpe,
    "hyperband": _hyperband,
    "asha": _asha,
    "grid": _grid,
    "random": _random,
}


def make_strategy(
    name: str,
    space: Space,
    *,
    seed: int,
    max_epochs: int,
    n_trials: int | None = None,
    first: First = (),
    is_single: bool = True,
) -> Strategy:
    """The strategy called `name`, for one objective or, unless `is_single`, for several.

    `n_trials` is how many settings the study may start: once it has, `default` spends what is left
    on paused trials; None for no limit. `first` are the settings of the first trials, which nobody
    asks a strategy for, the document's before what was given with `--try` and `--warm-start`: they
    are not asked again. Raises ValueError for an unknown name.
    """
    if name not in STRATEGIES:
        raise ValueError(f"strategy: {name!r} is not known; {nearest(name, STRATEGIES)}")
    strategy = STRATEGIES[name](Request(space, seed, max_epochs, n_trials, first))
    return strategy if is_single else SeveralObjectives(strategy, seed=seed)
