"""Which settings are judged on the test set, and how the study that trains them again grows."""

from dataclasses import replace

from search.study.finals import champion, choose, final_spec, keeps_model, sources
from search.study.spec import differences
from tests.study.helpers import spec, trial

TRIALS = [
    trial(0, [0.5, 0.6], "COMPLETE"),
    trial(1, [0.9, 0.7], "PRUNED"),
    trial(2, [0.99], "FAIL"),
    trial(3, [0.8], "COMPLETE"),
    trial(4, [], "FAIL"),
    trial(5, [0.9], "COMPLETE"),
]


def numbers(k: int) -> list[int]:
    return [t.number for t in choose(TRIALS, k)]


def test_finalists_are_the_best_by_validation_and_the_documents_setting() -> None:
    assert numbers(2) == [1, 5, 0]
    assert numbers(3) == [1, 5, 3, 0]
    assert numbers(4) == [1, 5, 3, 0]
    assert numbers(50) == [1, 5, 3, 0]
    assert numbers(0) == []
    assert choose([trial(0, [], "FAIL")], 3) == ()


def test_each_finalist_is_trained_to_its_best_epoch_on_every_seed_and_scored_on_the_test_set() -> None:
    made = final_spec(spec(finalists=2, n_replicates=3, timeout_s=9.0, budget=2.0), TRIALS)
    assert made is not None
    assert (made.name, made.n_trials, made.finalists, made.timeout_s, made.budget) == ("s.final", 9, 0, None, None)
    assert [r.source for r in made.replicates] == [1, 5, 0] * 3
    assert [r.stop_at for r in made.replicates[:3]] == [1, 1, 2]
    assert {(r.train_on, r.evaluate, r.epochs) for r in made.replicates} == {("all", "test", 9)}
    assert len({r.seed for r in made.replicates}) == 9
    assert [keeps_model(made.replicates, i) for i in range(9)] == [True] * 3 + [False] * 6
    assert champion(made.replicates, TRIALS) == 0
    assert champion((), TRIALS) is None
    assert final_spec(spec(finalists=0), TRIALS) is None


def test_a_search_that_went_on_adds_replicates_and_loses_none() -> None:
    first = final_spec(spec(finalists=1, n_replicates=2), TRIALS[:1])
    assert first is not None
    better = [*TRIALS[:1], trial(6, [0.95], "COMPLETE")]
    grown = final_spec(spec(finalists=1, n_replicates=2), better, first)
    assert grown is not None
    assert [r.source for r in grown.replicates] == [0, 0, 6, 6]
    assert differences(first, grown) == []
    assert final_spec(spec(finalists=1, n_replicates=2), better, grown) == grown
    fewer = final_spec(spec(finalists=1, n_replicates=1), better, grown)
    assert fewer is not None
    assert fewer.replicates == grown.replicates


def test_replicates_of_what_a_trial_was_before_it_was_trained_further_count_no_more() -> None:
    made = final_spec(spec(finalists=1, n_replicates=1), TRIALS[:1])
    assert made is not None
    assert sources(made.replicates, TRIALS) == {0: 0}
    further = replace(TRIALS[0], curve=trial(0, [0.5, 0.6, 0.7]).curve)
    assert sources(made.replicates, [further]) == {}
    again = final_spec(spec(finalists=1, n_replicates=1), [further], made)
    assert again is not None
    assert sources(again.replicates, [further]) == {1: 0}
    assert champion(again.replicates, [further]) == 1
