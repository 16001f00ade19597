"""How examples of each kind are scaled in training, and by the file that is kept."""

from pathlib import Path

import keras
import numpy as np
import pytest

from search.training.classifier_outputs import Outputs
from search.training.export import standalone
from search.training.inference import load_network
from search.training.scaling import Scaling, standard

RNG = np.random.default_rng(0)
ROWS = RNG.normal([5, -3, 7], [2, 100, 0], (9_000, 3)).astype(np.float32)


def test_numbers_are_standardised_by_what_is_trained_on() -> None:
    parts = [ROWS[:7_000], ROWS[7_000:]]
    scaled = np.asarray(standard(parts, None).in_graph(ROWS))
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 0], atol=1e-4)
    assert standard([ROWS], None).mean == pytest.approx(ROWS.mean(axis=0, dtype=float))
    images = RNG.integers(0, 256, (50, 4, 5, 3), np.uint8)
    by_channel = standard([images], 255)
    assert by_channel.mean == pytest.approx(images.mean(axis=(0, 1, 2)))
    assert by_channel.deviation == pytest.approx(images.std(axis=(0, 1, 2)))


BYTES = RNG.integers(0, 256, (6, 4, 5, 2), np.uint8)


@pytest.mark.parametrize(
    ("examples", "scaling", "largest"),
    [
        (BYTES, Scaling(), 1),
        (BYTES, Scaling("standardise"), 3),
        (BYTES * np.uint16(257), Scaling("unit", 65535), 1),
        (ROWS[:6], Scaling("unit", None), 300),
        (ROWS[:6], standard([ROWS], None), 4),
        (RNG.normal(size=(6, 7, 2)).astype("f4"), Scaling("standardise", None), 4),
    ],
)
def test_a_network_s_file_scales_as_training_does(
    examples: np.ndarray, scaling: Scaling, largest: float, tmp_path: Path
) -> None:
    shape = examples.shape[1:]
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(2, "tanh")]
    network = keras.Sequential(layers)
    scaled = np.asarray(scaling.in_graph(examples))
    assert scaled.dtype == np.float32
    assert largest / 10 < np.abs(scaled).max() <= largest
    standalone(network, shape, scaling, Outputs.SCORES).save(tmp_path / "network.keras")
    kept = load_network(tmp_path / "network.keras", "")
    expected = Outputs.SCORES.in_graph(network(scaled))
    np.testing.assert_allclose(kept(examples.astype(np.float32)), expected, atol=1e-3)
