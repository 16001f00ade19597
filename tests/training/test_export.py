"""The file of a trained network: it stands alone."""

import logging
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from search.datasets.split import Prepared
from search.report.evidence import read_evidence
from search.training.export import save_model, standalone
from search.training.feed import read_evaluation, read_feed
from search.training.job import Job
from search.training.trainer import train


@pytest.mark.parametrize("scaling", ["unit", "standardise"])
def test_the_kept_network_says_of_raw_pixels_what_the_replicate_said(
    digits: Prepared, tmp_path: Path, scaling: str
) -> None:
    job = Job(
        "mlp", {"lr": 0.01, "batch_size": 64, "optimizer": "adam", "units": 16, "scaling": scaling}, 1, 2,
        str(digits.folder), digits.input_shape, digits.n_classes, str(tmp_path / "c.npz"), str(tmp_path),
        train_on="all", evaluate="test", test_data=str(digits.test_folder), model_file=str(tmp_path / "m.keras"),
    )  # fmt: skip
    assert train(job, on_built=lambda _n: None, on_epoch=lambda _step, _metrics: "go on") == "done"
    said = read_evidence(tmp_path, 0).predictions
    assert said is not None
    model = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True, compile=False)
    images = read_evaluation(job, read_feed(job)).images
    assert images.dtype == np.uint8
    probabilities = model.predict(images, verbose=0)
    np.testing.assert_allclose(probabilities.max(axis=1), said.confidence, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), said.predicted)


def test_a_network_that_no_file_can_hold_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Own(layers.Layer):  # type: ignore[misc]
        def call(self, x: object) -> object:
            return x

        def get_config(self) -> dict[str, object]:
            raise NotImplementedError("own layers have no configuration")

    inputs = keras.Input((2, 2, 1))
    network = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(Own()(inputs))))
    with caplog.at_level(logging.WARNING):
        save_model(standalone(network, (2, 2, 1), "unit"), str(tmp_path / "m.keras"))
    assert not (tmp_path / "m.keras").exists()
    assert "own layers have no configuration" in caplog.text
