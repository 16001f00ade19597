"""Every system searches the same space on the same images and spends what it may, no more."""

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.lab.peers.fitting import Fits
from search.lab.peers.grid import cells, grid_settings
from search.lab.peers.keras_tuner_search import ask, bayesian
from search.lab.peers.meter import BudgetSpentError, Meter
from search.lab.peers.systems import GRID, OURS, SYSTEMS, missing
from search.lab.peers.task import Task
from search.space.load import find_space, load_space
from search.space.space import Space
from tests.lab.peers.conftest import SPACE
from tests.space.strategies import spaces, steadily

OTHERS = [name for name in SYSTEMS if name != OURS]


def search(name: str, task: Task, meter: Meter) -> None:
    if missing(name):
        pytest.skip(f"{', '.join(missing(name))} is not installed")
    system = SYSTEMS[name]
    getattr(importlib.import_module(f"search.lab.peers.{system.module}"), system.function)(
        task, meter
    )


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.filterwarnings("ignore")  # of the systems themselves
def test_a_system_spends_its_budget_on_valid_settings(
    name: str, make_task: Callable[..., Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task, built = make_task(), []
    build = Fits.build

    def noted(self: Fits, setting: Mapping[str, Any]) -> Any:
        built.append(dict(setting))
        return build(self, setting)

    monkeypatch.setattr(Fits, "build", noted)
    meter = Meter(None if name == GRID else task.max_epochs)
    try:
        search(name, task, meter)
    except BudgetSpentError:
        assert name != GRID
    assert len(meter.values) == len(meter.seconds) == 6
    assert len(meter.settings) >= 3
    assert all(0 <= v <= 1 for v in meter.values)
    # A trained network is better than one guess in ten; what was metered are validation accuracies.
    assert max(meter.values) > 0.15
    trained = [json.loads(setting) for setting in meter.settings]
    assert [
        problem for setting in [*trained, *built] for problem in SPACE.problems_of(setting)
    ] == []
    if not name.startswith("KerasTuner"):  # which has no place for a setting that is known
        assert SPACE.document in trained
    if name in {GRID, "Optuna"}:  # Ray builds elsewhere
        assert built[0] == SPACE.document


def test_the_grid_has_the_settings_of_the_product() -> None:
    settings = grid_settings(SPACE, 8)
    # lr and optimizer come first, then units; momentum is the document's where there is one.
    assert len(settings) == 8
    assert {s["optimizer"] for s in settings} == {"sgd", "adam"}
    assert sorted({s["units"] for s in settings}) == [11, 23]
    assert sorted({round(s["lr"], 5) for s in settings}) == [0.01778, 0.05623]
    assert {s.get("momentum") for s in settings} == {0.5, None}
    assert grid_settings(SPACE, 1) == [dict(SPACE.document)]


def test_a_grid_makes_room_for_the_documents_setting() -> None:
    settings = cells(SPACE, 8)
    assert settings[0] == SPACE.document
    assert len(settings) <= 8
    assert cells(SPACE, 1) == [SPACE.document]


def test_ray_draws_every_value_of_a_range() -> None:
    tune = pytest.importorskip("ray.tune", reason="ray is not installed")
    assert tune  # what follows imports it
    from search.lab.peers.ray_tune import domain

    def drawn(raw: dict[str, Any]) -> set[Any]:
        whole = Space.from_dict(
            {"model": "mlp", "document": {"x": raw["low"]}, "params": {"x": raw}}
        )
        return set(domain(whole.params["x"]).sample(size=300))

    assert drawn({"type": "int", "low": 1, "high": 3}) == {1, 2, 3}
    assert drawn({"type": "int", "low": 1, "high": 3, "log": True}) == {1, 2, 3}
    assert drawn({"type": "int", "low": 1, "high": 7, "step": 3}) == {1, 4, 7}
    assert drawn({"type": "float", "low": 0.1, "high": 0.3, "step": 0.1}) == {0.1, 0.2, 0.3}


@settings(max_examples=15, deadline=None)  # how long it takes tells of the machine
@given(n=st.integers(1, 60), model=st.sampled_from(["mlp", "convNN", "lenet5", "small_cnn"]))
def test_a_grid_is_no_larger_than_allowed_and_all_of_it_can_be_trained(n: int, model: str) -> None:
    space = load_space(find_space(model))
    grid = grid_settings(space, n)
    assert 1 <= len(grid) <= n
    assert [p for s in grid for p in space.problems_of(s)] == []
    assert len({str(sorted(s.items(), key=str)) for s in grid}) == len(grid)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(space=spaces(), n=st.integers(1, 12))
def test_a_grid_of_any_space_is_of_valid_settings(space: Space, n: int) -> None:
    grid = grid_settings(space, n)
    assert 1 <= len(grid) <= n
    assert [p for s in grid for p in space.problems_of(s)] == []


@steadily
@given(space=spaces(discrete=True))
def test_a_grid_grows_to_the_whole_of_a_space(space: Space) -> None:
    assert len(grid_settings(space, 10_000)) == space.n_combinations


@steadily
@given(space=spaces(), seed=st.integers(0, 1000))
def test_keras_tuner_draws_valid_settings_of_any_space(space: Space, seed: int) -> None:
    hp = keras_tuner.HyperParameters()
    assert ask(hp, space) == space.document
    for drawn in (seed, seed + 1):
        for param in list(hp.space):
            hp.values[param.name] = param.random_sample(drawn)
        assert space.problems_of(ask(hp, space)) == []


def test_keras_tuner_has_other_settings_for_every_seed_and_the_same_for_one(
    make_task: Callable[..., Task],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def untrained(
        self: Fits, _model: Any, setting: Mapping[str, Any], **_options: Any
    ) -> dict[str, float]:
        self._meter.begin(setting)
        self._meter.epoch(0.5)
        return {"val_accuracy": 0.5}

    monkeypatch.setattr(
        Fits, "build", lambda *_: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    )
    monkeypatch.setattr(Fits, "fit", untrained)

    def settings_of(seed: int, folder: str) -> set[str]:
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        meter = Meter(3)
        with pytest.raises(BudgetSpentError):
            bayesian(make_task(seed=seed, epochs=1), meter)
        return meter.settings

    first = settings_of(0, "a")
    assert settings_of(0, "b") == first
    assert first.isdisjoint(settings_of(1, "c"))


def test_keras_tuner_asks_for_what_is_active_only() -> None:
    hp = keras_tuner.HyperParameters()
    assert ask(hp, SPACE) == SPACE.document
    hp.values["optimizer"] = "adam"
    assert ask(hp, SPACE) == {k: v for k, v in SPACE.document.items() if k != "momentum"} | {
        "optimizer": "adam"
    }


def test_a_meter_is_not_to_be_taken_for_a_failed_setting() -> None:
    meter = Meter(2)
    meter.begin({"lr": 0.1})
    meter.epoch(0.5)
    with pytest.raises(BudgetSpentError) as caught:
        meter.epoch(0.4)
    assert not isinstance(caught.value, Exception)
    with pytest.raises(BudgetSpentError):
        meter.begin({"lr": 0.2})
    assert (len(meter.settings), meter.values) == (1, [0.5, 0.4])
