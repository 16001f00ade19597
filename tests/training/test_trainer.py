"""Training by segments: what is promised when it is cut, and what ends it."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from keras import layers

from search.datasets.split import Prepared, read_test
from search.errors import InputError, TrialError
from search.report.read_evidence import read_evidence
from search.strategies.protocol import Decision
from search.training.job import Job
from search.training.network import build_network
from search.training.trainer import train

Metrics = list[dict[str, Any]]
SETTINGS = [
    {"units": 16, "dropout": 0.3, "optimizer": "adam", "lr": 0.01, "batch_size": 100},
    {
        "units": 16,
        "dropout": 0.3,
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "batch_size": 50,
    },
    {"units": 16, "dropout": 0.2, "optimizer": "adadelta", "lr": 1.0, "batch_size": 600},
]
SMALL = {"depth": 1, "units": 16, "batch_size": 500}
# Weights that all but stand still, so that every rate and the end are known; how they are seen is
# drawn anew.
STILL = SMALL | {
    "dropout": 0.3,
    "lr": 1e-12,
    "schedule": "plateau",
    "plateau_patience": 1,
    "plateau_factor": 0.5,
    "early_stopping": 2,
    "rotate": 20,
    "zoom": 0.2,
}
MOVING = SMALL | {
    "dropout": 0.3,
    "optimizer": "adam",
    "lr": 0.02,
    "schedule": "cosine",
    "shift": 0.1,
    "flip": True,
    "label_smoothing": 0.1,
    "max_norm": 1.0,
    "remainder": "drop",
    "scaling": "standardise",
}


@pytest.fixture(autouse=True)
def usual_precision() -> Iterator[None]:
    """A job sets Keras' own policy, in a process that a trial has to itself."""
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def job(digits: Prepared, tmp_path: Path) -> Callable[..., Job]:
    def make(params: Mapping[str, Any] = SETTINGS[0], name: str = "a", **changes: Any) -> Job:
        facts = {
            "model": "mlp",
            "seed": 5,
            "total_epochs": 4,
            "input_shape": digits.input_shape,
            "n_classes": 10,
        }
        checkpoint = str(tmp_path / f"{name}.npz")
        places = {
            "data": str(digits.folder),
            "checkpoint": checkpoint,
            "evidence": str(tmp_path),
            "cache": str(tmp_path),
        }
        return Job(**({**facts, **places, "params": params} | changes))

    return make


def run(job: Job, *, pause_at: int | None = None) -> tuple[str, Metrics]:
    """How a segment ended, and what it reported, without the times."""
    seen: Metrics = []

    def on_epoch(step: int, metrics: Mapping[str, Any]) -> str:
        seen.append({k: v for k, v in metrics.items() if k not in {"seconds", "at"}})
        return "pause" if step == pause_at else "go on"

    return train(job, on_built=lambda _n: None, on_epoch=on_epoch), seen


@pytest.mark.parametrize("params", SETTINGS, ids=lambda p: p["optimizer"])
def test_a_trial_cut_into_segments_is_bit_for_bit_the_same(
    job: Callable[..., Job], params: Mapping[str, Any]
) -> None:
    """Dropout, momentum and the order of images all go on where they stopped."""
    how, whole = run(job(params, "whole"))
    assert (how, len(whole)) == ("done", 4)
    assert run(job(params, "whole")) == ("done", whole), "all from the checkpoint, as reported"
    for cut in (1, 3):
        assert run(job(params, "cut"), pause_at=cut) == ("pause", whole[:cut])
    assert run(job(params, "cut")) == ("done", whole)


@pytest.mark.parametrize(
    ("params", "changes"),
    [(STILL, {}), (MOVING, {}), (MOVING, {"precision": "mixed_float16", "train_on": "all"})],
)
def test_no_part_of_a_recipe_is_lost_where_a_trial_is_cut(
    job: Callable[..., Job], params: Mapping[str, Any], changes: Mapping[str, Any]
) -> None:
    """Augmentation, schedules, early stopping and the scale of a loss in 16 bits go on where they
    stopped.
    """
    how, whole = run(job(params, "whole", **changes))
    assert how == "done"
    assert len({m["loss"] for m in whole}) == len(whole) > 2
    assert run(job(params, "cut", **changes), pause_at=2) == ("pause", whole[:2])
    assert run(job(params, "cut", **changes)) == ("done", whole)


def test_seeds_give_different_runs_and_the_same_seed_the_same(job: Callable[..., Job]) -> None:
    first, again, other = (
        run(job(name=n, seed=s, total_epochs=1))[1] for n, s in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first != other


def test_what_is_reported_of_an_epoch(job: Callable[..., Job]) -> None:
    n_params: list[int] = []
    seen: list[tuple[int, Mapping[str, Any]]] = []

    def on_epoch(step: int, metrics: Mapping[str, Any]) -> str:
        seen.append((step, metrics))
        return "stop"

    assert train(job(), on_built=n_params.append, on_epoch=on_epoch) == "stop"
    [(step, metrics)] = seen
    assert n_params == [64 * 16 + 16 + 2 * (16 * 16 + 16) + 16 * 10 + 10]
    assert step == metrics["step"] == 1
    assert metrics.keys() == {
        "step",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "lr",
        "seconds",
        "at",
    }
    assert metrics["lr"] == pytest.approx(0.01)
    assert 0 <= metrics["val_accuracy"] <= 1


def test_a_torn_checkpoint_is_ignored(job: Callable[..., Job]) -> None:
    whole = run(job())[1]
    file = Path(job().checkpoint)
    for torn in (b"", b"PK\x03\x04 not a checkpoint", file.read_bytes()[:-500]):
        file.write_bytes(torn)
        assert run(job()) == ("done", whole)


def test_a_store_out_of_reach_costs_no_epoch_and_is_made_up_for_when_it_is_back(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The last checkpoint that was kept leads to the same epochs again; one that can't be read now
    is waited for.
    """
    whole = run(job(name="whole", total_epochs=3))[1]
    kept = job(
        checkpoint=f"memory://{tmp_path}/1.npz",
        evidence=f"memory://{tmp_path}/evidence",
        total_epochs=3,
    )
    assert run(kept, pause_at=1) == ("pause", whole[:1])
    with monkeypatch.context() as away:
        away.setattr(MemoryFile, "commit", _no_route)
        assert run(kept, pause_at=2) == ("pause", whole[:2])
    with monkeypatch.context() as away:
        away.setattr(MemoryFileSystem, "get_file", _no_route)
        with pytest.raises(ConnectionError, match="no route"):
            run(kept)
    assert run(kept) == ("done", whole)
    assert read_evidence(kept.evidence, 0).predictions is not None


def _no_route(*_: Any, **__: Any) -> None:
    raise RuntimeError("no route to the store")


def test_a_checkpoint_of_another_setting_is_ignored(job: Callable[..., Job]) -> None:
    run(job(), pause_at=2)
    assert len(run(job(seed=6))[1]) == 4


def test_a_loss_that_is_not_finite_fails_the_trial_with_that_reason(
    job: Callable[..., Job],
) -> None:
    with pytest.raises(TrialError, match="NaN"):
        run(job({"optimizer": "sgd", "lr": 1e30, "units": 16, "batch_size": 100}))


def test_a_network_that_can_not_be_built_says_why(job: Callable[..., Job]) -> None:
    with pytest.raises(InputError, match="variant 7"):
        run(job({"variant": "7"}, model="convNN"))


def test_training_needs_no_test_data(job: Callable[..., Job], digits: Prepared) -> None:
    """The folder that a job names holds none, and nothing of it says where they are."""
    assert digits.test_folder is not None
    files = {p.name for p in digits.folder.iterdir()}
    assert files == {"x_train.npy", "y_train.npy", "x_val.npy", "y_val.npy", "meta.json"}
    assert digits.test_folder.name not in (digits.folder / "meta.json").read_text()


def test_a_plateau_lowers_the_rate_and_early_stopping_ends_the_trial(
    job: Callable[..., Job],
) -> None:
    how, seen = run(job(STILL, total_epochs=9))
    assert (how, [m["step"] for m in seen]) == ("done", [1, 2, 3])
    assert [m["lr"] / seen[0]["lr"] for m in seen] == [1, 1, 0.5]


def test_a_replicate_that_stops_early_sees_the_rates_of_the_long_horizon(
    job: Callable[..., Job],
) -> None:
    """A cosine of 10 epochs, left after 3 of them: not one that has been squeezed into 3."""
    params = SMALL | {"lr": 0.1, "schedule": "cosine"}
    _, seen = run(job(params, total_epochs=10, stop_at=3, train_on="all"))
    assert [m["lr"] for m in seen] == pytest.approx(
        [0.05 * (1 + math.cos(math.pi * e / 10)) for e in range(3)]
    )
    assert {m["val_loss"] for m in seen} == {m["val_accuracy"] for m in seen} == {None}


def test_a_replicate_replays_rates_exactly_and_nothing_else_decides(
    job: Callable[..., Job],
) -> None:
    """The setting's own rate and plateau are not heeded, and it does not stop early."""
    rates = (0.1, 0.1, 0.02, 0.3)
    _, seen = run(job(STILL, rates=rates, train_on="all"))
    recorded = tuple(m["lr"] for m in seen)
    assert recorded == tuple(float(np.float32(r)) for r in rates)
    assert seen[-1]["loss"] < seen[0]["loss"]
    assert run(job(STILL, "again", rates=recorded, train_on="all"))[1] == seen


def test_a_replicate_is_scored_once_on_the_right_images_and_the_same_after_a_kill(
    job: Callable[..., Job], digits: Prepared, tmp_path: Path
) -> None:
    scored_job = job(
        MOVING, number=7, train_on="all", evaluate="test", test_data=str(digits.test_folder)
    )
    evaluations: list[Mapping[str, Any]] = []
    for _ in range(
        2
    ):  # the second time from its checkpoint, as when it was killed before the score was stored
        train(
            scored_job,
            on_built=lambda _n: None,
            on_epoch=lambda *_: "go on",
            on_evaluated=evaluations.append,
        )
    assert len(evaluations) == 2
    assert evaluations[0] == evaluations[1]
    assert (evaluations[0]["split"], evaluations[0]["n"]) == ("test", 360)
    kept = read_evidence(tmp_path, 7).predictions
    assert kept is not None
    assert (kept.split, kept.step) == ("test", 4)
    np.testing.assert_array_equal(kept.true, read_test(Path(str(digits.test_folder)))[1])
    assert evaluations[0]["accuracy"] == np.mean(kept.true == kept.predicted) > 0.3
    assert 0 < evaluations[0]["loss"] < math.log(10)


def test_a_network_that_broke_in_its_last_step_is_never_scored(job: Callable[..., Job]) -> None:
    """Nothing validates a replicate, and the loss of an epoch of one step is from before that
    step.
    """
    broken = job(
        SMALL | {"lr": 1e38, "batch_size": 2000}, train_on="all", total_epochs=1, evaluate="train"
    )
    with pytest.raises(TrialError, match="NaN"):
        run(broken)


def test_smoothed_labels_are_trained_on_and_validation_is_judged_by_plain_cross_entropy(
    job: Callable[..., Job],
) -> None:
    still = SMALL | {"lr": 1e-12}
    plain, smooth = (
        run(job(still | {"label_smoothing": s}, f"s{s}", total_epochs=1))[1][0] for s in (0.0, 0.4)
    )
    assert smooth["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-6)
    assert abs(smooth["loss"] - plain["loss"]) > 0.01


def test_half_precision_trains_and_answers_in_single(job: Callable[..., Job]) -> None:
    scored_job = job(SMALL | {"lr": 0.1}, precision="mixed_bfloat16", total_epochs=2)
    _, seen = run(scored_job)
    assert all(
        math.isfinite(m[name])
        for m in seen
        for name in ("loss", "accuracy", "val_loss", "val_accuracy")
    )
    assert seen[1]["loss"] < seen[0]["loss"]
    model = build_network(scored_job).whole
    assert [layer.compute_dtype for layer in model.layers if layer.weights] == [
        "bfloat16",
        "float32",
    ]
    answer = model(np.zeros((1, *scored_job.input_shape), np.float32))
    assert keras.backend.standardize_dtype(answer.dtype) == "float32"


def build_on_a_frozen_base(
    params: Mapping[str, Any], *, input_shape: tuple[int, int, int], n_classes: int
) -> keras.Model:
    base = keras.Sequential(
        [keras.Input(input_shape), layers.Conv2D(4, 3), layers.BatchNormalization()], name="base"
    )
    base.trainable = False
    head = [layers.Flatten(), layers.Dropout(0.2), layers.Dense(n_classes, activation="softmax")]
    return keras.Sequential([keras.Input(input_shape), base, *head])


def test_the_features_of_a_frozen_base_are_computed_once_and_only_the_head_is_trained(
    job: Callable[..., Job], digits: Prepared, tmp_path: Path
) -> None:
    """Nothing of that shows: the numbers are those of the whole network, and so is its count of
    parameters.
    """
    model_name, test = f"{__name__}:build_on_a_frozen_base", str(digits.test_folder)
    base_kernel, head_kernel = (3, 3, 1, 4), (6 * 6 * 4, 10)
    n_params: list[int] = []
    scored: list[Mapping[str, Any]] = []

    def kernels(name: str, params: Mapping[str, Any], **changes: Any) -> set[tuple[int, ...]]:
        """Train for an epoch, and give the shapes of the kernels in the checkpoint."""
        scored_job = job(
            params,
            name,
            model=model_name,
            total_epochs=1,
            evaluate="test",
            test_data=test,
            **changes,
        )
        train(
            scored_job,
            on_built=n_params.append,
            on_epoch=lambda *_: "go on",
            on_evaluated=scored.append,
        )
        with np.load(scored_job.checkpoint) as kept:
            return {kept[key].shape for key in kept.files} & {base_kernel, head_kernel}

    def files() -> dict[str, int]:
        return {f.name: f.stat().st_mtime_ns for f in tmp_path.glob("features-*.npy")}

    assert kernels("kept", {}) == {head_kernel}
    before = files()
    sizes = sorted(len(np.load(tmp_path / name, mmap_mode="r")) for name in before)
    assert sizes == sorted([digits.n_train, digits.n_val, digits.n_test])
    assert kernels("again", {}) == {head_kernel}
    assert kernels("whole", {}, cache="") == {base_kernel, head_kernel}
    assert kernels("turned", {"rotate": 10}) == {
        base_kernel,
        head_kernel,
    }  # new images in every epoch
    assert files() == before
    assert scored[0] == scored[1]
    assert scored[0]["loss"] == pytest.approx(scored[2]["loss"], rel=1e-4)
    assert set(n_params) == {4 * 9 + 4 + 4 * 4 + 1440 + 10}


def test_latency_is_measured_where_it_is_asked_for_however_a_segment_ends(
    job: Callable[..., Job],
) -> None:
    facts: dict[str, float] = {}
    for name, measures in (("a", ()), ("b", ("latency_ms",))):
        train(
            job(name=name, measures=measures),
            on_built=lambda _n: None,
            on_epoch=lambda _step, _metrics: Decision.PAUSE,
            on_measured=facts.update,
        )
        assert bool(facts) == bool(measures)
    assert set(facts) == {"latency_ms", "batch_latency_ms"}
    assert 0 < facts["latency_ms"] < 1000
