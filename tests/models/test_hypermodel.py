"""What was written for KerasTuner runs here unchanged: its space, its own compile, its trials cut
and gone on with.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from search.actions.importing.sources import read_past
from search.actions.space_source import differs_in_conditions
from search.datasets import load
from search.datasets.split import Prepared, prepare
from search.errors import InputError
from search.registry import load_builder
from search.space.from_kerastuner import space_from, space_of
from search.space.space import Space
from search.training.classifier_outputs import Outputs
from search.training.discovery import hypers_of
from search.training.explore import explore
from search.training.hypermodel import builder_of, setting_hp
from search.training.job import Job
from search.training.network import build_network
from search.training.own_compile import RowsOfLabels, loss_of_numbers
from search.training.trainer import train
from tests.cli.helpers import gridless, rows

SHAPE = (8, 8, 1)
MODELS = "tests.models.hypers:"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GRIDLESS_DATA", raising=False)
        data = load("digits")
    return prepare(data, seed=0, validation_fraction=0.5, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def job(digits: Prepared, tmp_path: Path) -> Callable[..., Job]:
    def make(model: str, params: Mapping[str, Any], name: str = "a") -> Job:
        return Job(
            MODELS + model,
            params,
            5,
            3,
            str(digits.folder),
            SHAPE,
            10,
            str(tmp_path / f"{name}.npz"),
            str(tmp_path),
        )

    return make


def space_found(model: str) -> Space:
    """As `gridless study` finds it, but in this process."""
    answer = explore(
        {"model": MODELS + model, "input_shape": SHAPE, "n_classes": 10, "task": "classification"}
    )
    return space_from(MODELS + model, hypers_of(answer), compiles=answer["compiles"])


def converted(ask: Callable[[Any], None]) -> Space:
    hp = keras_tuner.HyperParameters()
    ask(hp)
    return space_of("m", hp.get_config()["space"], compiles=True)


def run(job: Job, *, pause_at: int | None = None) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []

    def on_epoch(step: int, metrics: Mapping[str, Any]) -> str:
        seen.append({k: v for k, v in metrics.items() if k not in {"seconds", "at"}})
        return "pause" if step == pause_at else "go on"

    train(job, on_built=lambda _n: None, on_epoch=on_epoch)
    return seen


@pytest.mark.parametrize(
    ("ask", "param"),
    [
        (
            lambda hp: hp.Int("a", 6, 13, step=3, default=9),
            {"type": "int", "low": 6, "high": 12, "step": 3},
        ),
        (
            lambda hp: hp.Int("a", 2, 30, sampling="log"),
            {"type": "int", "low": 2, "high": 30, "log": True},
        ),
        (
            lambda hp: hp.Int("a", 2, 32, step=2, sampling="log"),
            {"type": "choice", "choices": [2, 4, 8, 16, 32]},
        ),
        (
            lambda hp: hp.Float("a", 0.1, 0.8, step=0.1),
            {"type": "float", "low": 0.1, "high": 0.8, "step": 0.1},
        ),
        (
            lambda hp: hp.Float("a", 1, 2, sampling="reverse_log"),
            {"type": "float", "low": 1.0, "high": 2.0},
        ),
        (lambda hp: hp.Int("a", 3, 3), {"type": "constant", "value": 3}),
        (lambda hp: hp.Boolean("a"), {"type": "choice", "choices": [False, True]}),
        (lambda hp: hp.Choice("a", ["x", "y", "x"]), {"type": "choice", "choices": ["x", "y"]}),
        (lambda hp: hp.Fixed("a", 0.5), {"type": "constant", "value": 0.5}),
    ],
)
def test_each_kind_of_hyperparameter_has_its_counterpart(ask: Any, param: Any) -> None:
    space = converted(ask).as_dict()
    assert space["params"]["a"] == param
    assert space["document"]["batch_size"] == 32
    assert "lr" not in space["params"]  # it compiles itself


def test_one_name_may_mean_other_things_in_other_scopes() -> None:
    def ask(hp: Any) -> None:
        hp.Choice("kind", ["a", "b", "c"])
        for kind in ("a", "b"):
            with hp.conditional_scope("kind", [kind]):
                hp.Int("units", 1, 9)
        with hp.conditional_scope("kind", ["c"]):
            hp.Int("units", 100, 900)

    space = converted(ask)
    assert {n: p.when for n, p in space.params.items() if n.startswith("units")} == {
        "units": {"kind": ("a", "b")},
        "units__2": {"kind": ("c",)},
    }
    hp = setting_hp({"kind": "c", "units__2": 500})
    ask(hp)
    assert hp.values == {"kind": "c", "units": 500}


def test_names_that_no_space_can_tell_apart_are_refused() -> None:
    with pytest.raises(InputError, match="'a/b' and 'a_b' would both be called a_b"):
        converted(lambda hp: [hp.Boolean(name) for name in ("a/b", "a_b")])


def test_the_space_is_found_with_scopes_loops_and_defaults() -> None:
    space = space_found("scoped")
    params = space.as_dict()["params"]
    assert params["filters"] == {
        "type": "int",
        "low": 2,
        "high": 8,
        "log": True,
        "when": {"kind": ["cnn"]},
    }
    # `dropout` is a rate here, and the second block is asked for only where there is one.
    assert set(params) == {
        "kind",
        "filters",
        "depth",
        "block_0_units",
        "block_1_units",
        "hp_dropout",
        "optimizer",
        "batch_size",
    }
    assert space.document["kind"] == "mlp"
    assert space.document["hp_dropout"] is False


def test_a_setting_reaches_the_builder_and_what_nobody_chose_is_its_default(
    caplog: pytest.LogCaptureFixture,
) -> None:
    setting = {
        "kind": "mlp",
        "depth": 2,
        "block_0_units": 5,
        "block_1_units": 6,
        "hp_dropout": True,
    }
    with caplog.at_level(logging.WARNING):
        model = builder_of(MODELS + "scoped")(setting, input_shape=SHAPE, n_classes=10)
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [
        5,
        6,
        10,
    ]
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in model.layers) == 2
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert "optimizer is not in the space" in caplog.text


def test_a_hypermodel_is_told_of_the_data_and_one_that_leaves_compiling_is_compiled() -> None:
    model = builder_of(MODELS + "Hyper")({"units": 7}, input_shape=SHAPE, n_classes=10)
    assert model.count_params() == 64 * 7 + 7 + 7 * 10 + 10
    space = space_found("uncompiled")
    assert {"optimizer", "lr", "units"} <= set(space.params)
    plain = builder_of(MODELS + "uncompiled")(space.document, input_shape=SHAPE, n_classes=10)
    assert (plain.input_shape, plain.compiled) == ((None, *SHAPE), False)


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("for_five_classes", "10 units"),
        ("for_larger_images", "9×9×1.*8×8×1"),
        ("with_two_losses", "several losses"),
        ("without_a_loss", "no loss"),
    ],
)
def test_what_can_not_learn_these_data_is_refused_with_the_reason(model: str, part: str) -> None:
    with pytest.raises(InputError, match=part):
        builder_of(MODELS + model)({}, input_shape=SHAPE, n_classes=10)


def test_a_hypermodel_without_a_build_and_what_a_fit_of_its_own_would_do_are_named() -> None:
    with pytest.raises(
        InputError, match=r"hypers:Unbuilt is a HyperModel without a build\(hp\) of its own"
    ):
        builder_of(MODELS + "Unbuilt")
    (notice,) = explore(
        {
            "model": MODELS + "Weighing",
            "input_shape": SHAPE,
            "n_classes": 10,
            "task": "classification",
        }
    )["notices"]
    assert "fit() is not called" in notice
    assert "not used: shuffle, class_weight, hyperparameter 'shuffle'" in notice


def test_of_an_image_size_only_what_fits_the_data_is_left() -> None:
    space = space_found("one_size")
    assert space.as_dict()["params"]["image_size"] == {"type": "choice", "choices": [8]}
    assert space.params["units_2"].when == {"n_layers": (3,)}
    assert space.document == {"image_size": 8, "n_layers": 1, "units_0": 4, "batch_size": 32}
    builder_of(MODELS + "one_size")(space.document, input_shape=SHAPE, n_classes=10)


def test_a_study_may_go_on_with_a_space_found_without_conditions() -> None:
    now = converted(
        lambda hp: [hp.Boolean("a"), hp.Int("b", 1, 9, parent_name="a", parent_values=[True])]
    )
    before = converted(lambda hp: [hp.Boolean("a"), hp.Int("b", 1, 9)])
    assert differs_in_conditions(before, now)
    assert not differs_in_conditions(
        converted(lambda hp: [hp.Boolean("a"), hp.Int("b", 1, 8)]), now
    )
    assert not differs_in_conditions(now, now)


def test_a_model_that_can_not_be_built_at_all_has_no_space() -> None:
    with pytest.raises(InputError, match=r"can't be built on this data: .*10 units"):
        space_found("for_five_classes")


def test_a_class_that_needs_more_than_the_data_say_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"Named needs label, which data don't say: make an inst"):
        builder_of(MODELS + "Named")({}, input_shape=SHAPE, n_classes=10)


@pytest.mark.parametrize(
    ("name", "n_params", "notices"),
    [("plain", 650, []), ("of_shape", 65 * 6 + 7 * 10, ["width keeps its default: "])],
)
def test_a_function_of_no_more_than_the_datas_facts_is_a_model_without_hyperparameters(
    name: str, n_params: int, notices: list[str]
) -> None:
    builder = builder_of(f"tests.models.hypers:{name}")
    model = builder({"batch_size": 8}, input_shape=(8, 8, 1), n_classes=10)
    assert model.count_params() == n_params
    assert model.optimizer is not None
    question = {"model": f"tests.models.hypers:{name}", "input_shape": (8, 8, 1), "n_classes": 10}
    answer = explore(question | {"task": "classification"})
    assert answer["hyperparameters"] == []
    assert [notice[:25] for notice in answer["notices"]] == notices


def test_a_function_that_is_neither_ours_nor_for_keras_tuner_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "neither.py").write_text("def build(params): ...\ndef more(hp, width): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("build", "more"):
        with pytest.raises(InputError, match=r"build\(hp\)"):
            load_builder(f"neither:{name}")


PREDICTED = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]], np.float32)


@pytest.mark.parametrize(
    "loss", ["categorical_crossentropy", "mse", keras.losses.CategoricalCrossentropy()]
)
def test_a_loss_of_rows_of_labels_takes_numbers(loss: Any) -> None:
    taken = loss_of_numbers(loss, 3)
    assert isinstance(taken, RowsOfLabels)
    expected = keras.losses.get(loss)(np.eye(3, dtype=np.float32)[[0, 2]], PREDICTED)
    assert float(taken(np.array([0, 2]), PREDICTED)) == pytest.approx(float(np.mean(expected)))


def test_a_loss_of_numbers_stays_and_one_of_neither_is_refused() -> None:
    loss_here = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert loss_of_numbers(loss_here, 3) is loss_here
    with pytest.raises(InputError, match="takes neither labels as numbers"):
        loss_of_numbers(lambda y_true, y_pred: keras.ops.zeros((3, 3)), 3)


def test_a_trial_keeps_its_optimizer_and_goes_on_bit_for_bit(job: Callable[..., Job]) -> None:
    """One's own rate, Adam's moments and dropout; the outputs are made probabilities."""
    params = {"units": 8, "learning_rate": 0.001, "batch_size": 64, "lr": 9.0, "optimizer": "sgd"}
    network = build_network(job("tutorial", params))
    assert network.compiled
    assert network.outputs is Outputs.LOGITS
    whole = run(job("tutorial", params, "whole"))
    assert [m["lr"] for m in whole] == [pytest.approx(0.001)] * 3
    assert whole[2]["loss"] < whole[0]["loss"] < 3
    assert 0 < whole[2]["val_loss"] < 3
    assert run(job("tutorial", params, "cut"), pause_at=1) == whole[:1]
    assert run(job("tutorial", params, "cut")) == whole


def test_labels_as_rows_and_as_numbers_train_alike(job: Callable[..., Job]) -> None:
    by_rows, by_numbers = (
        run(job(name, {"units": 8}, name))[-1] for name in ("by_rows", "by_numbers")
    )
    assert by_rows == pytest.approx(by_numbers, rel=1e-4)


def test_a_project_that_keras_tuner_wrote_is_read(tmp_path: Path) -> None:
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("val_accuracy", "max"), max_trials=2, seed=1
    )
    hp = oracle.get_space()
    hp.Int("units", 4, 8)
    oracle.update_space(hp)
    oracle._set_project_dir(str(tmp_path), "project")
    oracle.verbose = 0
    trial = oracle.create_trial("tuner0")
    for step, value in enumerate((0.25, 0.5)):
        oracle.update_trial(trial.trial_id, {"val_accuracy": value}, step=step)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    (read,) = read_past(str(tmp_path / "project"), None).trials
    assert (dict(read.values), read.val_accuracy, read.problem) == (
        trial.hyperparameters.values,
        0.5,
        None,
    )


def test_a_study_of_it_by_one_command(own_home: Path) -> None:
    more = ("--n-trials", "2", "--epochs", "1", "--workers", "1", "--finalists", "0", "--no-mlflow")
    done = gridless("study", MODELS + "tutorial", "digits", *more)
    assert done.returncode == 0, done.stderr
    assert "2 hyperparameters" in done.stderr
    assert (
        "source: found by building the model"
        in (own_home / "tutorial-digits" / "study.yaml").read_text()
    )
    table = rows(own_home, "tutorial-digits")
    assert [r["state"] for r in table] == ["COMPLETE", "COMPLETE"]
    document = next(r for r in table if r["trial"] == "0")
    assert (document["param.units"], document["param.learning_rate"], document["epochs"]) == (
        "4",
        "0.01",
        "1",
    )
