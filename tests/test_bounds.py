"""Bounds: what they are called, what breaks them, and what comes of a trial that does."""

from dataclasses import replace

import pytest

from search.bounds import FACTS, bound_of, bound_text, broken_text, early_bounds, early_facts
from search.errors import InputError
from search.records import Bound, Epoch, State, TrialRecord, has_rank

TRIAL = TrialRecord(
    1, State.COMPLETE, {"lr": 0.1}, (Epoch(1, {"val_accuracy": 0.9}, 2.0, 0.0),), n_params=1_000_000
)


@pytest.mark.parametrize("text", ["n_params=200000", "model_mb=2.5", "latency_ms=5", "train_s=60"])
def test_a_bound_reads_as_it_is_written(text: str) -> None:
    assert bound_text(bound_of(text)) == text


def test_thousands_may_be_set_apart() -> None:
    assert bound_of("n_params = 200_000") == Bound("n_params", 200_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n_param=5", "did you mean 'n_params'?"),
        ("n_params", "give a number above 0, as in n_params=200000"),
        ("n_params=many", "give a number above 0"),
        ("latency_ms=0", "give a number above 0"),
        ("latency_ms=inf", "give a number above 0"),
        ("=5", "can't be bounded"),
    ],
)
def test_what_is_no_bound_is_refused_with_the_remedy(text: str, message: str) -> None:
    with pytest.raises(InputError, match="at_most") as raised:
        bound_of(text)
    assert message in str(raised.value)


def test_size_is_known_before_training_and_time_is_not() -> None:
    limits = early_bounds(
        [bound_of("n_params=1000"), bound_of("latency_ms=5"), bound_of("model_mb=1")]
    )
    assert limits == {"n_params": 1000, "model_mb": 1}
    assert broken_text(limits, early_facts(1000)) == ""
    assert broken_text(limits, early_facts(1_000_000)) == (
        "n_params is 1000000, above 1000, model_mb is 3.815, above 1"
    )


@pytest.mark.parametrize("fact", sorted(FACTS))
def test_every_bound_is_held_against_what_a_trial_has(fact: str) -> None:
    trial = replace(TRIAL, latency_ms=3.0, peak_host_mb=500.0, peak_device_mb=300.0)
    value = getattr(trial, fact)
    kept, broken = (replace(trial, bounds=(Bound(fact, limit),)) for limit in (value, value / 2))
    assert has_rank(kept)
    assert not kept.broken
    assert broken.broken == (fact,)
    assert broken.is_infeasible
    assert not has_rank(broken)


def test_what_is_not_known_yet_breaks_no_bound() -> None:
    assert not replace(TRIAL, bounds=(Bound("latency_ms", 1.0),)).broken
