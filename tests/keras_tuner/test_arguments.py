"""What can't be kept is refused by name, with the remedy, all at once."""

import pytest

import search.keras_tuner as kt
from search.errors import InputError
from search.keras_tuner.stored_call import restored, stored


def build(hp: object) -> None:
    raise AssertionError("it is not built while arguments are wrong")


def test_every_argument_that_cannot_be_kept_is_named() -> None:
    with pytest.raises(InputError) as caught:
        kt.BayesianOptimization(
            build, "val_loss", alpha=1e-3, num_initial_points=2, worker=3, tuner_id="tuner7"
        )
    problems = "\n".join(caught.value.problems)
    assert "alpha: how much noise there is, is learned from the trials; leave it out" in problems
    assert "num_initial_points: " in problems
    assert "tuner_id: " in problems
    assert (
        "worker: is no argument of KerasTuner's, nor a setting; did you mean 'workers'?" in problems
    )


@pytest.mark.parametrize("name", ["oracles", "Oracle", "SklearnTuner", "engine"])
def test_what_is_not_there_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=f"search.keras_tuner has no {name}: "):
        getattr(kt, name)
    assert not hasattr(kt, "anything_else")


def test_a_tuner_of_an_oracle_is_refused() -> None:
    with pytest.raises(InputError, match="oracle: settings are chosen here: take RandomSearch"):
        kt.Tuner(object(), build)


def test_methods_that_would_not_be_called_are_refused() -> None:
    class Own(kt.RandomSearch):
        def on_trial_end(self, trial: object) -> None:
            pass

    with pytest.raises(InputError, match=r"on_trial_end\(\): it would not be called"):
        Own(build, "val_loss")


def test_what_can_be_read_once_only_is_refused() -> None:
    with pytest.raises(InputError, match=r"x\[0\]: a generator can be read only once; give arrays"):
        stored("x", [(i for i in range(3))])
    assert restored(stored("y", {"a": (1, None)})) == {"a": (1, None)}
