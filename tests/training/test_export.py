"""The files of a trained network: they say what it said as it was trained, or it is known that they
don't.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from search.datasets.split import Prepared
from search.errors import InputError
from search.report.read_evidence import read_evidence
from search.training.feed import read_evaluation, read_feed
from search.training.inference import open_network, probabilities, verified
from search.training.job import Job
from search.training.kept_network import Verdict, read_kept
from search.training.model_answers import answer_to
from search.training.trainer import train
from search.training.verify import verify

NETS = """
import keras
from keras import layers

@keras.saving.register_keras_serializable("kept_nets")
class Twice(layers.Layer):
    def call(self, x):
        return 2 * x

class Plain(layers.Layer):
    def __init__(self, factor):
        super().__init__()
        self.factor, self.inner = factor, layers.Dense(8)

    def call(self, x):
        return self.inner(self.factor * x)

class Random(layers.Layer):
    def call(self, x):
        return x * keras.random.uniform((keras.ops.shape(x)[0], 1))

class Own(keras.Model):
    def __init__(self, n):
        super().__init__()
        self.flatten, self.head = layers.Flatten(), layers.Dense(n)

    def call(self, x):
        return self.head(self.flatten(x))

def build(params, *, input_shape, n_classes):
    class Inside(layers.Layer):
        def call(self, x):
            return x + 1

    if params["kind"] == "own":
        return Own(n_classes)
    middle = {"logits": [], "sigmoid": [], "registered": [Twice()], "plain": [Plain(2)], "random": [Random()],
              "inside": [Inside(), layers.Lambda(lambda x: 3 * x)]}[params["kind"]]
    last = layers.Dense(n_classes, "sigmoid" if params["kind"] == "sigmoid" else None)
    return keras.Sequential([keras.Input(input_shape), layers.Flatten(), *middle, last])
"""


def job(digits: Prepared, folder: Path, model: str, params: Mapping[str, Any]) -> Job:
    return Job(
        model,
        {"lr": 0.01, "batch_size": 64, "optimizer": "adam", **params},
        1,
        1,
        str(digits.folder),
        digits.input_shape,
        digits.n_classes,
        str(folder / "c.npz"),
        str(folder),
        train_on="all",
        evaluate="test",
        test_data=str(digits.test_folder),
        model_file=str(folder / "model.keras"),
    )


def run(scored_job: Job) -> None:
    assert (
        train(scored_job, on_built=lambda _n: None, on_epoch=lambda _step, _metrics: "go on")
        == "done"
    )


@pytest.fixture
def own_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's module in a folder of its own, forgotten afterwards."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "kept_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.delitem(sys.modules, "kept_nets", raising=False)
    keras.saving.get_custom_objects().pop("kept_nets>Twice", None)
    return "kept_nets:build"


@pytest.mark.parametrize("scaling", ["unit", "standardise"])
def test_the_kept_network_says_of_raw_pixels_what_the_replicate_said(
    digits: Prepared, tmp_path: Path, scaling: str
) -> None:
    scored_job = job(digits, tmp_path, "mlp", {"units": 16, "scaling": scaling})
    run(scored_job)
    predictions = read_evidence(tmp_path, 0).predictions
    assert predictions is not None
    model = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True, compile=False)
    images = read_evaluation(scored_job, read_feed(scored_job)).images
    assert images.dtype == np.uint8
    given = model.predict(images, verbose=0)
    np.testing.assert_allclose(given.max(axis=1), predictions.confidence, atol=1e-5)
    np.testing.assert_array_equal(given.argmax(axis=1), predictions.predicted)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("logits", "alone"),
        ("sigmoid", "alone"),
        ("registered", "module"),
        ("plain", "weights"),
        ("inside", "weights"),
        ("own", "weights"),
    ],
)
def test_whatever_could_be_trained_can_be_used(
    digits: Prepared, tmp_path: Path, own_nets: str, kind: str, how: str
) -> None:
    run(job(digits, tmp_path, own_nets, {"kind": kind}))
    sys.modules.pop("kept_nets")
    keras.saving.get_custom_objects().pop("kept_nets>Twice", None)
    assert verified(tmp_path, own_nets).how == how
    kept = read_kept((tmp_path / "model.npz").read_bytes())
    assert kept.pixels.shape == (64, 8, 8, 1)
    given = probabilities(open_network(tmp_path, own_nets), kept.pixels)
    np.testing.assert_allclose(given, kept.probabilities, atol=1e-5)
    np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-5)


def test_a_network_that_does_not_repeat_itself_or_has_lost_its_module_is_not_passed_on(
    digits: Prepared, tmp_path: Path, own_nets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(job(digits, tmp_path, own_nets, {"kind": "plain"}))
    monkeypatch.setattr("search.training.verify.ask", answer_to)
    assert verify(tmp_path, own_nets).how == "weights"
    missing = verify(tmp_path, "kept_nots:build")
    assert (missing.how, "kept_nots" in missing.problem) == (None, True)
    with pytest.raises(InputError, match=r"module of its model into reach"):
        open_network(tmp_path, "kept_nots:build")
    kept = (tmp_path / "model.npz").read_bytes()
    (tmp_path / "model.npz").write_bytes(kept[:99])
    with pytest.raises(InputError, match=r"can't be put into|is damaged"):
        open_network(tmp_path, own_nets)
    (tmp_path / "model.npz").write_bytes(kept)
    source = tmp_path / "code" / "kept_nets.py"
    source.write_text(NETS.replace("self.factor * x", "-self.factor * x") + "\n")
    sys.modules.pop("kept_nets")
    assert verify(tmp_path, own_nets) == Verdict(
        None, "it does not repeat what the network said as it was trained"
    )
    with pytest.raises(InputError, match=r"the code of .* has changed since"):
        open_network(tmp_path, own_nets)


def test_a_network_that_is_random_when_it_is_asked_is_called_so(
    digits: Prepared, tmp_path: Path, own_nets: str
) -> None:
    run(job(digits, tmp_path, own_nets, {"kind": "random"}))
    verdict = verified(tmp_path, own_nets)
    assert (verdict.how, "another answer each time" in verdict.problem) == (None, True), verdict
