"""Features of a frozen base: what is cut off a network, and that it is computed once."""

import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from search.training.features import cached_features, split_frozen

KEY = {"data": "d1-train", "weights": "w1"}
IMAGES = np.random.default_rng(0).integers(0, 256, (21, 8, 8, 1), np.uint8)


def base(*extra: keras.Layer, trainable: bool = False) -> keras.Model:
    """A base whose normalisation would change if it were trained, with names that Keras makes
    up.
    """
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(6, 3, activation="relu")(inputs)
    for layer in (layers.BatchNormalization(), *extra, layers.Conv2D(5, 3)):
        x = layer(x)
    model = keras.Model(inputs, x, name="vgg16")
    model.trainable = trainable
    return model


def half_frozen() -> keras.Model:
    """A base that says it is frozen while one of its layers is trained all the same."""
    model = base()
    model.layers[1].trainable = True
    return model


def network(*front: keras.Layer, of: keras.Model | None = None) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Resizing(12, 12),
            layers.Conv2D(3, 1, trainable=False),
            *front,
            base() if of is None else of,
            layers.GlobalAveragePooling2D(),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(4, activation="softmax"),
        ],
        name="network",
    )


def first_part(model: keras.Model) -> keras.Model:
    prefix, _ = split_frozen(model)
    assert prefix is not None
    return prefix


def forbid(prefix: keras.Model) -> keras.Model:
    def refuse(_batch: Any) -> None:
        pytest.fail("computed again")

    prefix.predict_on_batch = refuse
    return prefix


def test_a_head_trained_on_the_features_is_the_whole_networks(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    model = network()
    prefix, head = split_frozen(model)
    assert prefix is not None
    assert [layer.name for layer in (*prefix.layers, *head.layers)] == [
        layer.name for layer in model.layers
    ]
    assert not prefix.trainable_weights
    frozen, start = prefix.get_weights(), model.predict(IMAGES / np.float32(255), verbose=0)
    features = cached_features(prefix, IMAGES, cache=tmp_path, key=KEY, batch_size=8)
    assert (features.shape, features.dtype, features.flags.writeable) == (
        (21, 5),
        np.float32,
        False,
    )
    head.compile(keras.optimizers.Adam(0.05), loss="sparse_categorical_crossentropy")
    head.fit(features, np.arange(21) % 4, epochs=5, verbose=0)
    whole = model.predict(IMAGES / np.float32(255), verbose=0)
    np.testing.assert_allclose(head.predict(features, verbose=0), whole, rtol=1e-4, atol=1e-5)
    assert np.abs(whole - start).max() > 0.05  # it has learnt
    for now, before in zip(prefix.get_weights(), frozen, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize(
    "model",
    [
        lambda: network(of=base(trainable=True)),
        lambda: network(of=half_frozen()),
        lambda: network(layers.Dropout(0.1)),
        lambda: network(layers.RandomFlip()),
        lambda: network(
            layers.BatchNormalization(center=False, scale=False)
        ),  # its averages change in training
        lambda: network(of=base(layers.Dropout(0.1))),
        lambda: keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4)]),
        lambda: keras.Sequential([keras.Input((12, 12, 3)), base(), layers.Flatten()]),
        base,
    ],
    ids=[
        "trained",
        "half",
        "random",
        "augmented",
        "averages",
        "random inside",
        "no base",
        "no head",
        "functional",
    ],
)
def test_other_networks_stay_whole(model: Callable[[], keras.Model]) -> None:
    whole = model()
    prefix, rest = split_frozen(whole)
    assert prefix is None
    assert rest is whole


def test_computed_once_whatever_the_batch_and_however_many_layers_were_made(tmp_path: Path) -> None:
    model, again = network(), network()
    again.set_weights(model.get_weights())
    first = cached_features(first_part(model), IMAGES, cache=tmp_path, key=KEY, batch_size=4)
    assert again.layers[0].name != model.layers[0].name
    second = cached_features(
        forbid(first_part(again)), IMAGES, cache=tmp_path, key=KEY, batch_size=100
    )
    np.testing.assert_array_equal(first, second)
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_other_weights_images_or_layers_have_their_own_file(tmp_path: Path) -> None:
    prefix = first_part(network())
    deeper = first_part(network(layers.ReLU()))
    deeper.set_weights(prefix.get_weights())
    other = first_part(network())  # of weights that nobody named: drawn by chance
    for n, (part, key) in enumerate(
        [(prefix, KEY), (other, KEY), (prefix, {"data": "d1-val"}), (deeper, KEY)], 1
    ):
        cached_features(part, IMAGES, cache=tmp_path, key=key)
        assert len(list(tmp_path.glob("*.npy"))) == n


class Applied(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """A user's layer, of which Keras can't tell a configuration."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


def test_layers_without_a_configuration_have_features_and_other_code_has_others(
    tmp_path: Path,
) -> None:
    prefix = first_part(network(Applied(lambda x: 2 * x)))
    with pytest.raises(NotImplementedError):
        prefix.get_config()
    doubled = cached_features(prefix, IMAGES, cache=tmp_path, key=KEY)
    same, edited = (first_part(network(Applied(f))) for f in (lambda x: x + x, lambda x: 3 * x))
    same.set_weights(prefix.get_weights())
    edited.set_weights(prefix.get_weights())
    np.testing.assert_array_equal(
        cached_features(forbid(same), IMAGES, cache=tmp_path, key=KEY), doubled
    )
    tripled = cached_features(edited, IMAGES, cache=tmp_path, key=KEY)
    scaled = edited.predict(IMAGES / np.float32(255), verbose=0)
    np.testing.assert_allclose(tripled, scaled, rtol=1e-4, atol=1e-5)
    assert np.abs(tripled - doubled).max() > 0.01


def test_those_who_ask_at_once_wait_for_the_first(tmp_path: Path) -> None:
    prefixes = [first_part(network()) for _ in range(3)]
    for prefix in prefixes:
        prefix.set_weights(prefixes[0].get_weights())
    start, sizes, seen = threading.Barrier(3), [], []

    def ask(prefix: keras.Model) -> None:
        compute = prefix.predict_on_batch

        def counted(batch: Any) -> Any:
            sizes.append(len(batch))
            return compute(batch)

        prefix.predict_on_batch = counted
        start.wait()
        seen.append(cached_features(prefix, IMAGES, cache=tmp_path, key=KEY, batch_size=10))

    threads = [threading.Thread(target=ask, args=[prefix]) for prefix in prefixes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [10, 10, 1]
    for features in seen:
        np.testing.assert_array_equal(features, seen[0])


@pytest.mark.parametrize("damage", ["cut", "empty", "shape", "type"])
def test_a_torn_or_other_file_is_computed_again(tmp_path: Path, damage: str) -> None:
    prefix = first_part(network())
    whole = np.array(cached_features(prefix, IMAGES, cache=tmp_path, key=KEY))
    [file] = tmp_path.glob("*.npy")
    if damage in {"cut", "empty"}:
        file.write_bytes(file.read_bytes()[:-1] if damage == "cut" else b"")
    else:
        np.save(file, whole[1:] if damage == "shape" else whole.astype(np.float64))
    again = cached_features(prefix, IMAGES, cache=tmp_path, key=KEY)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, whole)
    cached_features(forbid(prefix), IMAGES, cache=tmp_path, key=KEY)


def test_a_full_disk_is_told_and_leaves_no_part(tmp_path: Path) -> None:
    flat = keras.Sequential([keras.Input((12, 12, 3)), base(), layers.Flatten(), layers.Dense(2)])
    images = np.zeros((1500, 12, 12, 3), np.uint8)  # 1.9 MB of features
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            cached_features(first_part(flat), images, cache=tmp_path, key=KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [file for file in tmp_path.iterdir() if file.suffix != ".lock"]
