"""Augmented and scaled pixels."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from search.training.augment import augmentation
from search.training.scaling import scale, scale_in_graph

HEIGHT, WIDTH = 40, 60
CENTRE = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])


def _coordinates(n: int) -> np.ndarray[Any, Any]:
    """Images whose two channels are each pixel's own x and y, so that a pixel tells where it was
    taken from.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    return np.repeat(np.stack([x, y], axis=-1)[None], n, axis=0)


def _augmented(params: dict[str, Any], n: int = 200, seed: int = 3) -> np.ndarray[Any, Any]:
    keras.utils.set_random_seed(seed)
    layer = augmentation(params, (HEIGHT, WIDTH, 2))
    assert layer is not None
    return keras.ops.convert_to_numpy(layer(_coordinates(n), training=True))


def _maps(images: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The linear part and the shift of the centre of each image's transform, from the pixels taken
    from inside.
    """
    where = _coordinates(1)[0].reshape(-1, 2) - CENTRE
    linear, shift = [], []
    for image in images.reshape(len(images), -1, 2):
        inside = ((image > 0.01) & (image < [WIDTH - 1.01, HEIGHT - 1.01])).all(axis=1)
        solution = np.linalg.lstsq(
            np.c_[where[inside], np.ones(inside.sum())], image[inside] - CENTRE, rcond=None
        )[0]
        # All others are the nearest pixel's: none comes from elsewhere.
        taken = np.c_[where, np.ones(len(where))] @ solution + CENTRE
        np.testing.assert_allclose(image, np.clip(taken, 0, [WIDTH - 1, HEIGHT - 1]), atol=0.02)
        linear.append(solution[:2].T)
        shift.append(solution[2])
    return np.array(linear), np.array(shift)


def _spans(values: np.ndarray[Any, Any], bound: float) -> None:
    """Assert that the values fill ±bound evenly."""
    assert np.abs(values).max() <= bound * 1.001
    assert (values.min() < -0.9 * bound, values.max() > 0.9 * bound) == (True, True)
    assert abs(values.std() - bound / 3**0.5) < 0.15 * bound


def test_none_is_asked_for() -> None:
    assert augmentation({"lr": 1}, (8, 8, 1)) is None
    assert augmentation({"rotate": 0, "shift": 0.0, "zoom": 0, "flip": False}, (8, 8, 1)) is None


def test_rotation() -> None:
    linear, shift = _maps(_augmented({"rotate": 30}))
    angles = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    turned = np.array(
        [
            [np.cos(np.radians(angles)), -np.sin(np.radians(angles))],
            [np.sin(np.radians(angles)), np.cos(np.radians(angles))],
        ]
    )
    np.testing.assert_allclose(linear, turned.transpose(2, 0, 1), atol=1e-3)
    np.testing.assert_allclose(shift, 0, atol=1e-2)
    _spans(angles, 30)


def test_shift() -> None:
    linear, shift = _maps(_augmented({"shift": 0.25}))
    np.testing.assert_allclose(linear, np.broadcast_to(np.eye(2), linear.shape), atol=1e-3)
    _spans(shift[:, 0], 0.25 * WIDTH)
    _spans(shift[:, 1], 0.25 * HEIGHT)
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.2


def test_zoom() -> None:
    linear, shift = _maps(_augmented({"zoom": 0.2}))
    np.testing.assert_allclose(linear[:, [0, 1], [1, 0]], 0, atol=1e-3)
    np.testing.assert_allclose(shift, 0, atol=1e-2)
    _spans(linear[:, 0, 0] - 1, 0.2)
    _spans(linear[:, 1, 1] - 1, 0.2)


def test_flip_mirrors_every_other_image_exactly() -> None:
    images, plain = _augmented({"flip": True}), _coordinates(1)[0]
    mirrored = np.array([np.array_equal(image, plain[:, ::-1]) for image in images])
    assert all(np.array_equal(image, plain) for image in images[~mirrored])
    assert 70 < mirrored.sum() < 130


def test_all_at_once_is_one_transform_and_only_where_training() -> None:
    params = {"rotate": 10, "shift": 0.1, "zoom": 0.1, "flip": True}
    linear, _ = _maps(_augmented(params))
    assert (np.linalg.det(linear) < 0).sum() in range(70, 130)
    layer = augmentation(params, (HEIGHT, WIDTH, 2))
    assert layer is not None
    assert layer(_coordinates(2)) is not None
    np.testing.assert_array_equal(layer(_coordinates(2)), _coordinates(2))
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = augmentation(params, (HEIGHT, WIDTH, 2))
        assert half is not None
        assert half(_coordinates(2), training=True).dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


def test_it_repeats_by_seed_and_goes_on_from_its_variables() -> None:
    params = {"rotate": 20, "zoom": 0.1}
    np.testing.assert_array_equal(_augmented(params, 4), _augmented(params, 4))
    assert not np.array_equal(_augmented(params, 4), _augmented(params, 4, seed=4))
    layer, other = (augmentation(params, (HEIGHT, WIDTH, 2)) for _ in range(2))
    assert layer is not None
    assert other is not None
    transform = tf.function(lambda images: layer(images, training=True))
    first = transform(_coordinates(4))
    for mine, theirs in zip(other.variables, layer.variables, strict=True):
        mine.assign(theirs)
    second = transform(_coordinates(4))
    assert not np.array_equal(first, second)
    again = tf.function(lambda images: other(images, training=True))
    np.testing.assert_array_equal(again(_coordinates(4)), second)


def _pixels() -> np.ndarray[Any, Any]:
    images = np.random.default_rng(0).integers(0, 256, (50, 12, 10, 3), dtype=np.uint8)
    images[0], images[1], images[2] = 0, 255, 7
    images[2, 0, 0, 0] = 8  # a deviation below the least
    images[3] = 0
    images[3, 5, 5, 1] = 255
    return images


@pytest.mark.parametrize("how", ["unit", "standardise"])
def test_both_scalings_are_the_same_and_tensorflows(how: str) -> None:
    images = _pixels()
    scaled = scale(images, how)
    assert (scaled.dtype, scaled.shape) == (np.float32, images.shape)
    expected = tf.image.per_image_standardization(images) if how == "standardise" else images / 255
    graph = tf.function(lambda x: scale_in_graph(x, how))
    for given in (images, images.astype(np.float32)):
        np.testing.assert_allclose(scaled, graph(given), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scaled, expected, rtol=2e-6, atol=1e-6)


def test_pixels_are_not_changed_and_other_scalings_are_refused() -> None:
    images = _pixels()
    scale(images, "standardise")
    np.testing.assert_array_equal(images, _pixels())
    for function in (scale, scale_in_graph):
        with pytest.raises(ValueError, match="'standardize' is not known"):
            function(images, "standardize")
