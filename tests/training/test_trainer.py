"""Training by segments: what is promised when it is cut, and what ends it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from search.datasets.split import Prepared
from search.errors import InputError, TrialError
from search.training.job import Job
from search.training.trainer import train

Metrics = list[dict[str, Any]]
SETTINGS = [
    {"units": 16, "dropout": 0.3, "optimizer": "adam", "lr": 0.01, "batch_size": 100},
    {"units": 16, "dropout": 0.3, "optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "batch_size": 50},
    {"units": 16, "dropout": 0.2, "optimizer": "adadelta", "lr": 1.0, "batch_size": 600},
]


@pytest.fixture
def job(digits: Prepared, tmp_path: Path) -> Callable[..., Job]:
    def make(params: Mapping[str, Any] = SETTINGS[0], name: str = "a", **changes: Any) -> Job:
        facts = {"model": "mlp", "seed": 5, "total_epochs": 4, "input_shape": digits.input_shape, "n_classes": 10}
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
def test_a_trial_cut_into_segments_is_bit_for_bit_the_same(job: Callable[..., Job], params: Mapping[str, Any]) -> None:
    """Dropout, momentum and the order of images all go on where they stopped."""
    assert run(job(params, "whole"))[0] == "done"
    whole = run(job(params, "whole"))[1]  # all from the checkpoint: as it was reported
    for cut in (1, 3):
        how, first = run(job(params, f"cut{cut}"), pause_at=cut)
        assert how == "pause"
        assert len(first) == cut
        how, both = run(job(params, f"cut{cut}"))
        assert how == "done"
        assert both == whole


def test_seeds_give_different_runs_and_the_same_seed_the_same(job: Callable[..., Job]) -> None:
    first, again, other = (run(job(name=n, seed=s, total_epochs=1))[1] for n, s in (("a", 1), ("b", 1), ("c", 2)))
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
    assert metrics.keys() == {"step", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds", "at"}
    assert metrics["lr"] == pytest.approx(0.01)
    assert 0 <= metrics["val_accuracy"] <= 1


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a checkpoint", None])
def test_a_torn_checkpoint_is_ignored(job: Callable[..., Job], damage: bytes | None) -> None:
    whole = run(job(name="whole"))[1]
    run(job(), pause_at=2)
    file = Path(job().checkpoint)
    file.write_bytes(file.read_bytes()[:-500] if damage is None else damage)
    assert run(job()) == ("done", whole)


def test_a_checkpoint_of_another_setting_is_ignored(job: Callable[..., Job]) -> None:
    run(job(), pause_at=2)
    assert len(run(job(seed=6))[1]) == 4


def test_a_loss_that_is_not_finite_fails_the_trial_with_that_reason(job: Callable[..., Job]) -> None:
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
