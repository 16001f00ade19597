from pathlib import Path
from typing import Any

import pytest

from search.lab.simulation.run import Run, Setup, simulate
from tests.lab.simulation.helpers import Toy


def run(
    template: Path,
    strategy: str = "halving",
    *,
    seed: int = 1,
    n_workers: int = 1,
    budget: float = 2.0,
    lose: float = 0.0,
) -> Run:
    return simulate(Setup(strategy, "hill", seed, n_workers, budget, lose), Toy(), template)


def trials_of(outcome: Run) -> list[tuple[Any, ...]]:
    return [(t.state, t.params, t.curve, t.n_segments, t.n_retries) for t in outcome.trials]


def test_the_same_setup_gives_the_same_run_with_workers_side_by_side_and_some_lost(
    template: Path,
) -> None:
    first, second = (run(template, n_workers=3, lose=0.6) for _ in range(2))
    assert trials_of(first) == trials_of(second)
    assert first.improvements == second.improvements
    assert sum(t.n_retries for t in first.trials) > 0


@pytest.mark.parametrize("n_workers", [1, 8])
def test_a_run_shows_what_its_budget_paid_for_and_the_study_ends_as_a_real_one(
    template: Path, n_workers: int
) -> None:
    outcome = run(template, "random", n_workers=n_workers)
    spent, values = zip(*outcome.improvements, strict=True)
    assert len(spent) > 1
    assert list(spent) == sorted(set(spent))
    assert list(values) == sorted(set(values))
    assert outcome.improvements[-1][0] <= 2.0
    # What ran when the budget was spent was trained out, as in a real study, and nothing was begun.
    assert {t.state for t in outcome.trials} == {"COMPLETE"}
    assert 2 * 9 <= sum(t.epochs for t in outcome.trials) <= (2 + n_workers - 1) * 9


def test_spent_counts_the_epochs_of_all_workers_in_the_order_of_simulated_time(
    template: Path,
) -> None:
    outcome = run(template, "random", n_workers=4, budget=2.5)
    ended = sorted((e.at, e.val_accuracy) for t in outcome.trials for e in t.curve)[:22]
    best, expected = 0.0, []
    for i, (_, value) in enumerate(ended, start=1):
        if value > best:
            best = value
            expected.append((i / 9, value))
    assert list(outcome.improvements) == expected
    assert max(at for at, _ in ended) < sum(e.seconds for t in outcome.trials for e in t.curve)


def test_a_paused_trial_goes_on_where_it_was(template: Path) -> None:
    outcome = run(template, seed=3, budget=6.0)
    promoted = [t for t in outcome.trials if t.n_segments > 1]
    assert promoted
    assert all([e.step for e in t.curve] == list(range(1, t.epochs + 1)) for t in promoted)
    assert any(t.state == "WAITING" and t.paused and t.epochs == 3 for t in outcome.trials)


def test_a_lost_worker_costs_its_epoch_and_no_trial(template: Path) -> None:
    outcome = run(template, "random", seed=4, budget=4.0, lose=0.6)
    toy = Toy()
    assert sum(t.n_retries for t in outcome.trials) > 1
    for trial in outcome.trials:
        assert trial.state == "COMPLETE"
        assert [(e.step, e.val_accuracy) for e in trial.curve] == [
            (e.step, e.val_accuracy) for e in toy.curve("hill", trial.params)
        ]
        assert trial.n_segments == trial.n_retries + 1
    spent, value = outcome.improvements[-1]
    epochs = [e for t in outcome.trials for e in t.curve]
    [at] = [e.at for e in epochs if e.val_accuracy == value]
    assert round(spent * 9) > sum(e.at <= at for e in epochs)


def test_a_strategy_that_fails_ends_the_run_and_not_only_the_trial(template: Path) -> None:
    class Broken(Toy):
        def adapted(self, strategy: Any) -> Any:
            strategy.ask = lambda *_: 1 / 0
            return strategy

    with pytest.raises(ZeroDivisionError):
        simulate(Setup("random", "hill", 0, 3, 2.0), Broken(), template)


def test_whoever_asks_sees_the_epochs_of_all_that_run(template: Path) -> None:
    seen: dict[int, int] = {}

    class Watched(Toy):
        def adapted(self, strategy: Any) -> Any:
            call = strategy.ask

            def ask(trials: Any, number: int) -> Any:
                seen[number] = sum(t.epochs for t in trials)
                return call(trials, number)

            strategy.ask = ask
            return strategy

    outcome = simulate(Setup("tpe", "hill", 1, 3, 2.0), Watched(), template)
    begun = {t.number: t.curve[0].at - t.curve[0].seconds for t in outcome.trials}
    ends = [e.at for t in outcome.trials for e in t.curve]
    assert seen == {
        number: sum(at < begin + 1e-6 for at in ends) for number, begin in begun.items()
    }
