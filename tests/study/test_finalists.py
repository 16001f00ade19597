"""Which settings are judged on the test set, and how the study that trains them again grows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from search.analysis.judging import judge
from search.records import Search, State, StudyRecord, TrialRecord
from search.study.finalist_costs import MOST, Rule, choose, expected_s, left_to_train_s
from search.study.finalists import champion, final_spec, keeps_model, sources, whole_baseline
from search.study.resume import differences
from search.study.spec import StudySpec
from tests.study.helpers import epoch, measured, spec, trial

TRIALS = [
    trial(0, [0.5, 0.6], "COMPLETE"),
    trial(1, [0.9, 0.7], "PRUNED"),
    trial(2, [0.99], "FAIL"),
    trial(3, [0.8], "COMPLETE"),
    trial(4, [], "FAIL"),
    trial(5, [0.9], "COMPLETE"),
]


RULE = Rule(finalists=2, n_replicates=3, baseline_epochs=9)
PLATEAU = {"optimizer": "sgd", "lr": 0.1, "schedule": "plateau", "epochs": 20}


def record(search: StudySpec, trials: Sequence[TrialRecord] = ()) -> StudyRecord:
    return StudyRecord(search.name, "mlp", "digits", search.model_dump(), tuple(trials))


def numbers(rule: Rule, trials: Sequence[TrialRecord] = TRIALS, **options: Any) -> list[int]:
    return [t.number for t in choose(rule, trials, **options).trials]


def made_of(
    search: StudySpec,
    trials: Sequence[TrialRecord],
    stored: StudySpec | None = None,
    **options: Any,
) -> StudySpec:
    made = final_spec(search, trials, stored, **options)
    assert made is not None
    return made


def test_without_a_test_set_the_best_is_trained_once_more_for_its_network() -> None:
    search = spec(finalists=1, n_replicates=1, has_test=False)
    (replicate,) = made_of(search, TRIALS).replicates
    assert (replicate.source, replicate.train_on, replicate.evaluate) == (1, "all", "train")
    assert keeps_model([replicate], 0)
    made = replace(TRIALS[1], number=0, state=State.COMPLETE)
    finalists = record(made_of(search, TRIALS), [made])
    searched = Search(record(search, TRIALS), finalists)
    assert champion(searched) == 0
    assert judge(searched, {}) is None


def test_finalists_are_the_best_by_validation_and_the_baseline() -> None:
    for n, expected in (
        (2, [1, 5, 0]),
        (3, [1, 5, 3, 0]),
        (4, [1, 5, 3, 0]),
        (50, [1, 5, 3, 0]),
        (0, []),
    ):
        assert numbers(replace(RULE, finalists=n)) == expected
    assert numbers(RULE, [trial(0, [], "FAIL")]) == []


def test_without_a_number_there_are_as_many_finalists_as_take_no_longer_than_the_search() -> None:
    """Every epoch here takes 2 s: 3 seeds of one epoch 6 s, and of the baseline's two 12 s."""
    rule = replace(RULE, finalists=None, baseline_epochs=2)
    search = [
        trial(0, [0.5, 0.6], "COMPLETE"),
        *(trial(n, [0.9, 0.1, 0.1, 0.1], "PRUNED") for n in range(1, 4)),
    ]
    assert sum(t.train_s for t in search) == 28
    assert numbers(rule, search) == [1, 2, 0]
    assert numbers(rule, search[:2]) == [1, 0]  # these two always, though they take longer
    many = [search[0], *(trial(n, [0.9] + 50 * [0.1], "PRUNED") for n in range(1, 30))]
    assert numbers(rule, many) == [*range(1, MOST + 1), 0]
    assert numbers(replace(rule, n_replicates=1), search) == [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("rule", "left_s", "is_trained"),
    [
        (Rule(None, 3, 9), None, True),  # 54 s of a baseline: less than a minute is never left out
        (Rule(None, 3, 90), None, False),  # 540 s, and the search took 16
        (Rule(1, 3, 90), None, True),  # a number of finalists allows it
        (Rule(1, 3, 9), 60.0, True),  # 6 s of the first beside it
        (Rule(1, 3, 9), 59.0, False),
    ],
)
def test_a_baseline_that_takes_longer_than_is_allowed_is_left_out(
    rule: Rule, left_s: float | None, is_trained: bool
) -> None:
    chosen = choose(rule, TRIALS, left_s=left_s)
    assert (chosen.has_baseline, [t.number for t in chosen.trials][-1] == 0) == (
        is_trained,
        is_trained,
    )
    assert choose(
        rule, TRIALS, left_s=left_s, keeps_baseline=True
    ).has_baseline  # what was begun is finished


def test_each_finalist_is_trained_to_its_best_epoch_and_the_baseline_for_its_own_epochs() -> None:
    search = spec(finalists=2, n_replicates=3, timeout_s=9.0, budget=2.0)
    made = made_of(search, TRIALS)
    assert (made.name, made.n_trials, made.finalists, made.timeout_s, made.budget) == (
        "s.final",
        9,
        0,
        None,
        None,
    )
    assert [r.source for r in made.replicates] == [1, 5, 0] * 3
    assert [r.stop_at for r in made.replicates[:3]] == [1, 1, 9]
    assert {(r.train_on, r.evaluate, r.epochs) for r in made.replicates} == {("all", "test", 9)}
    assert len({r.seed for r in made.replicates}) == 9
    assert [keeps_model(made.replicates, i) for i in range(9)] == [True] * 3 + [False] * 6
    assert champion(Search(record(search, TRIALS), record(made))) == 0
    assert champion(Search(record(search, TRIALS))) is None
    assert final_spec(spec(finalists=0), TRIALS) is None


def test_a_limit_of_the_search_does_not_cut_the_baseline() -> None:
    document = {"optimizer": "sgd", "lr": 0.1, "schedule": "cosine", "epochs": 20}
    first = replace(TRIALS[0], params=document)
    made = made_of(spec(finalists=1, n_replicates=2, first=(document,)), [first, *TRIALS[1:]])
    assert [(r.epochs, r.last_epoch) for r in made.replicates if r.source == 0] == [(20, 20)] * 2
    assert [(r.epochs, r.last_epoch) for r in made.replicates if r.source == 1] == [(9, 1)] * 2


@pytest.mark.parametrize(
    "params", [PLATEAU, PLATEAU | {"schedule": "constant", "early_stopping": 3}]
)
def test_a_baseline_that_watches_is_trained_once_with_validation_images_and_replayed(
    params: dict[str, Any],
) -> None:
    """The search let it train 9 of its 20 epochs, so what it would have watched later is not
    known.
    """
    search = spec(finalists=1, n_replicates=2, first=(params,))
    trials = [replace(TRIALS[0], params=params), *TRIALS[1:]]
    first = made_of(search, trials)
    pilot = first.replicates[0]
    assert [r.source for r in first.replicates] == [0, 1, 1]
    assert (pilot.is_pilot, pilot.train_on, pilot.evaluate, pilot.last_epoch) == (
        True,
        "train",
        "validation",
        20,
    )
    assert sources(Search(record(search, trials), record(first))) == {1: 1, 2: 1}
    assert not keeps_model(first.replicates, 0)

    assert made_of(search, trials, first, made=[trial(0, [0.5], "RUNNING")]) == first
    assert made_of(search, trials, first, made=[trial(0, [0.5], "FAIL")]) == first
    curve = tuple(measured(epoch(n, 0.5), lr=0.1 / n) for n in range(1, 13))
    ended = replace(
        trial(0, [], "COMPLETE"), curve=curve
    )  # it stopped early, or this is all it trained
    grown = made_of(search, trials, first, made=[ended])
    assert differences(first, grown) == []
    added = grown.replicates[3:]
    assert [(r.source, r.epochs, r.last_epoch, r.evaluate) for r in added] == [
        (0, 20, 12, "test")
    ] * 2
    rates = tuple(e.values["lr"] for e in curve) if params["schedule"] == "plateau" else None
    assert {r.rates for r in added} == {rates}
    assert whole_baseline(Search(record(search, trials), record(grown, [ended]))) == {3, 4}
    assert sources(Search(record(search, trials), record(grown, [ended]))) == {
        1: 1,
        2: 1,
        3: 0,
        4: 0,
    }
    assert made_of(search, trials, grown, made=[ended], left_s=0.0) == grown


def test_a_search_that_trained_a_baseline_that_watches_to_its_end_is_its_validated_training() -> (
    None
):
    params = PLATEAU | {"epochs": 9}
    first = replace(
        trial(0, [0.5, 0.7, 0.6], "COMPLETE"), params=params
    )  # best in its second epoch
    made = made_of(spec(finalists=1, n_replicates=1, first=(params,)), [first])
    [replicate] = made.replicates
    assert (replicate.epochs, replicate.last_epoch, replicate.rates) == (9, 3, (0.1, 0.1, 0.1))


def test_a_search_that_went_on_adds_replicates_and_loses_none() -> None:
    search = spec(finalists=1, n_replicates=2)
    first = made_of(search, TRIALS[:1])
    better = [*TRIALS[:1], trial(6, [0.95], "COMPLETE")]
    grown = made_of(search, better, first)
    assert [r.source for r in grown.replicates] == [0, 0, 6, 6]
    assert differences(first, grown) == []
    assert made_of(search, better, grown) == grown
    assert made_of(spec(finalists=1, n_replicates=1), better, grown).replicates == grown.replicates


def test_replicates_of_what_a_trial_was_before_it_was_trained_further_count_no_more() -> None:
    search = spec(finalists=1, n_replicates=1)
    before = [trial(0, [0.5], "COMPLETE"), trial(1, [0.7, 0.8])]
    made = made_of(search, before)
    assert sources(Search(record(search, before), record(made))) == {0: 1, 1: 0}
    further = [before[0], trial(1, [0.7, 0.8, 0.9])]
    assert sources(Search(record(search, further), record(made))) == {1: 0}
    again = made_of(search, further, made)
    assert sources(Search(record(search, further), record(again))) == {1: 0, 2: 1}
    assert champion(Search(record(search, further), record(again))) == 2
    assert keeps_model(again.replicates, 2)


def test_a_baseline_that_an_earlier_version_cut_is_trained_again_and_the_whole_one_counts() -> None:
    search = spec(finalists=1, n_replicates=1)
    whole = made_of(search, TRIALS)
    cut = [r.model_copy(update={"stop_at": 2}) if r.source == 0 else r for r in whole.replicates]
    old = whole.model_copy(update={"replicates": tuple(cut)})
    assert sources(Search(record(search, TRIALS), record(old))) == {0: 1, 1: 0}
    assert whole_baseline(Search(record(search, TRIALS), record(old))) == set()
    grown = made_of(search, TRIALS, old)
    assert sources(Search(record(search, TRIALS), record(grown))) == {0: 1, 2: 0}
    assert (
        whole_baseline(Search(record(search, TRIALS), record(grown))),
        keeps_model(grown.replicates, 2),
    ) == ({2}, True)


def test_the_time_that_finalists_take_is_told_before_and_while_they_train() -> None:
    assert expected_s(RULE, TRIALS, 100.0) == 2 * 6 + 3 * 9 * 2
    assert expected_s(replace(RULE, finalists=0), TRIALS, 100.0) == 0
    assert (
        expected_s(replace(RULE, finalists=None), TRIALS, 100.0) == 100
    )  # about as much as the search
    assert (
        expected_s(replace(RULE, finalists=None), TRIALS, 1.0) == 6 + 3 * 9 * 2
    )  # the first and the baseline
    made = made_of(spec(finalists=1, n_replicates=1), TRIALS)
    begun = [
        replace(trial(0, [0.5], "COMPLETE"), ended=datetime.now(UTC)),
        trial(1, [0.5, 0.5], "RUNNING"),
    ]
    assert [r.last_epoch for r in made.replicates] == [1, 9]
    assert [left_to_train_s(RULE, made.replicates, begun[:n], TRIALS) for n in range(3)] == [
        20,
        18,
        14,
    ]
