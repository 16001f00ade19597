"""Loading a network from its file: what the project writes and a user's own layers, but never
code.
"""

import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import keras
import numpy as np
import pytest

from search.errors import InputError
from search.training.inference import load_network, probabilities

OWN = """
import keras

@keras.saving.register_keras_serializable("own_nets")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def build(params, *, input_shape, n_classes):
    raise NotImplementedError
"""


def save(path: Path, *middle: keras.Layer) -> Path:
    """Three classes by brightness: dark, middling, bright."""
    last = keras.layers.Dense(3, activation="softmax")
    layers = [keras.layers.Rescaling(1 / 255), *middle, keras.layers.GlobalAveragePooling2D(), last]
    network = keras.Sequential([keras.Input((4, 6, 1)), *layers])
    last.set_weights([np.array([[-10.0, 0.0, 10.0]]), np.array([5.0, 1.0, -5.0])])
    network.save(path)
    return path


def grey(*levels: int) -> np.ndarray:
    return np.stack([np.full((4, 6, 1), level, np.uint8) for level in levels])


def test_what_was_saved_answers_for_raw_pixels_however_many(tmp_path: Path) -> None:
    network = load_network(save(tmp_path / "model.keras"), "mlp")
    answers = probabilities(network, grey(0, 128, 255, 0))
    assert answers.argmax(axis=1).tolist() == [0, 1, 2, 0]
    assert np.allclose(answers.sum(axis=1), 1)
    assert probabilities(network, grey(*[255] * 300)).argmax(axis=1).tolist() == [2] * 300


def test_layers_that_a_users_module_registers_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    import own_nets

    path = save(tmp_path / "model.keras", own_nets.Twice())
    monkeypatch.delitem(sys.modules, "own_nets")
    monkeypatch.delitem(keras.saving.get_custom_objects(), "own_nets>Twice")
    with pytest.raises(InputError, match=r"can't be loaded.*module of its model"):
        load_network(path, "mlp")
    answers = probabilities(load_network(path, "own_nets:build"), grey(64))
    assert answers.argmax(axis=1).tolist() == [1]


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    path = save(tmp_path / "model.keras", keras.layers.Lambda(lambda x: x, output_shape=(4, 6, 1)))
    with pytest.raises(InputError, match=r"(?i)can't be loaded.*lambda"):
        load_network(path, "mlp")


def test_weights_that_are_damaged_in_a_sound_file(tmp_path: Path) -> None:
    whole = save(tmp_path / "model.keras")
    with zipfile.ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = members["model.weights.h5"]
    for start in range(64, len(weights) - 512, 512):
        members["model.weights.h5"] = weights[:start] + b"\xff" * 512 + weights[start + 512 :]
        with zipfile.ZipFile(tmp_path / "damaged.keras", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        with suppress(InputError):  # some bytes matter to nobody
            load_network(tmp_path / "damaged.keras", "mlp")


def test_a_file_that_is_torn_or_takes_several_inputs(tmp_path: Path) -> None:
    whole = save(tmp_path / "model.keras").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text"):
        (tmp_path / "torn.keras").write_bytes(content)
        with pytest.raises(InputError, match="can't be loaded"):
            load_network(tmp_path / "torn.keras", "mlp")
    pair = [keras.Input((3,)), keras.Input((2,))]
    keras.Model(pair, keras.layers.Concatenate()(pair)).save(tmp_path / "other.keras")
    with pytest.raises(InputError, match=r"no network from examples of one shape .*: it takes"):
        load_network(tmp_path / "other.keras", "mlp")
