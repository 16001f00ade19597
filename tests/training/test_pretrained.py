"""ImageNet weights: where they are looked for, and what a file must be to be loaded."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from search.errors import InputError
from search.training import weights_files
from search.training.pretrained import load_weights
from search.training.weights_files import find_weights

IMAGENET = {"weights": "imagenet"}
FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


def base(filters: int = 4, convs: int = 2, name: str = "vgg16") -> keras.Model:
    """As many small convolutions as wanted, and batch normalisation, whose weights are of both
    kinds.
    """
    convolutions = [layers.Conv2D(filters, 3, name=f"block1_conv{i + 1}") for i in range(convs)]
    return keras.Sequential(
        [keras.Input((None, None, 3)), *convolutions, layers.BatchNormalization()], name=name
    )


def network(one: keras.Model, *, trainable: bool = False) -> keras.Model:
    one.trainable = trainable
    return keras.Sequential(
        [keras.Input((32, 32, 3)), one, layers.GlobalAveragePooling2D(), layers.Dense(2)]
    )


def save(model: keras.Model, folder: Path) -> Path:
    """Save a model, its weights made to differ from any initializer's, under the name that Keras
    knows.
    """
    model.set_weights(
        [np.random.default_rng(i).random(w.shape) for i, w in enumerate(model.get_weights())]
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / FILE)
    return folder / FILE


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRIDLESS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Python that downloads: here a shell script that finds no network."""
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho no network >&2; exit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return script


def take_for_known(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.md5(file.read_bytes()).hexdigest()
    monkeypatch.setitem(
        weights_files.PUBLISHED, "vgg16", weights_files.PUBLISHED["vgg16"]._replace(md5=digest)
    )


def test_a_users_file_goes_into_the_frozen_base_and_nowhere_else(data: Path) -> None:
    source, model = base(), network(base())
    file = save(source, data)
    head = model.layers[-1].get_weights()
    assert load_weights(model, IMAGENET) == hashlib.sha256(file.read_bytes()).hexdigest()
    for ours, theirs in zip(model.layers[0].get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for now, before in zip(model.layers[-1].get_weights(), head, strict=True):
        np.testing.assert_array_equal(now, before)
    save(keras.Sequential([keras.Input((9, 9, 3)), *base().layers]), data)
    assert (
        load_weights(model, IMAGENET) == hashlib.sha256(file.read_bytes()).hexdigest()
    )  # another file, not cached


def test_a_frozen_base_is_never_left_random_when_the_builder_chose_it(data: Path) -> None:
    source, model = base(), network(base())
    save(source, data)
    assert load_weights(model, {})
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], source.get_weights()[0])


def test_the_real_vgg16_takes_the_file_that_keras_would(data: Path) -> None:
    first, second = (
        keras.applications.VGG16(include_top=False, weights=None, name="vgg16") for _ in range(2)
    )
    save(first, data)
    load_weights(network(second), IMAGENET)
    assert second.count_params() == 14_714_688
    for ours, theirs in zip(second.get_weights(), first.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("params", "trainable"), [({}, True), ({"weights": "none"}, True), ({"weights": "none"}, False)]
)
def test_no_weights_touch_nothing(params: dict[str, Any], trainable: bool) -> None:
    model = network(base(), trainable=trainable)
    before = model.get_weights()
    assert load_weights(model, params) is None
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: base(filters=5),
            r"layer 1 with weights is block1_conv1 \(3, 3, 3, 5\), \(5,\) in the file and "
            r"block1_conv1 \(3, 3, 3, 4\), \(4,\) in the network",
        ),
        (
            lambda: base(convs=1),
            (
                r"layer 2 with weights is batch_normalization\S* \(4,\), .* in the file and"
                r" block1_conv2"
            ),
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((9, 9, 3)), *base().layers, layers.Dense(3, name="top")]
            ),
            "layer 4 with weights is top .* in the file and missing in the network",
        ),
    ],
    ids=["shape", "fewer", "more"],
)
def test_a_file_of_another_network_is_refused_before_any_weight_is_changed(
    data: Path, other: Callable[[], keras.Model], message: str
) -> None:
    file, model = save(other(), data), network(base())
    before = model.get_weights()
    with pytest.raises(InputError, match=message) as refused:
        load_weights(model, IMAGENET)
    assert str(file) in str(refused.value)
    assert "--fix weights=none" in str(refused.value)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("damage", ["page", "cut", "empty", "folder", "other HDF5", "broken names"])
def test_a_damaged_file_is_refused_by_its_name(data: Path, damage: str) -> None:
    file = save(base(), data)
    whole = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
    elif damage in {"other HDF5", "broken names"}:
        with h5py.File(file, "w") as hdf5:
            hdf5.attrs["layer_names" if damage == "broken names" else "title"] = 5
    else:
        file.write_bytes(
            {"page": b"<!DOCTYPE html>", "cut": whole[: len(whole) // 2], "empty": b""}[damage]
        )
    with pytest.raises(InputError, match="--fix weights=none") as refused:
        load_weights(network(base()), IMAGENET)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        (base, IMAGENET, "one of the bases vgg16, .* has none"),
        (
            lambda: network(base(name="resnext50")),
            IMAGENET,
            "resnext50: Keras publishes no ImageNet weights; take vgg16",
        ),
        (lambda: network(base()), {"weights": "coco"}, "must be none or imagenet, not 'coco'"),
    ],
    ids=["no base", "not published", "unknown value"],
)
def test_what_can_not_be_had_is_said(
    model: Callable[[], keras.Model], params: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_weights(model(), params)


def test_keras_cache_is_used_only_with_the_known_content_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save(base(), tmp_path / "keras/models")
    with pytest.raises(
        InputError, match=r"Keras' cache: .* is not the known file .*; not used"
    ) as refused:
        find_weights("vgg16")
    assert f"Keras' download: not tried, since {file} is in its place" in str(refused.value)
    assert list(file.parent.iterdir()) == [file]
    take_for_known(file, monkeypatch)
    assert find_weights("vgg16") == file


def test_a_download_fills_keras_cache_once(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(base(), tmp_path / "net")
    take_for_known(source, monkeypatch)
    python.write_text(
        f'#!/bin/sh\necho "$5" >> {tmp_path}/calls; mkdir "$KERAS_HOME/models"; cp {source}'
        ' "$KERAS_HOME/models/"\n'
    )
    kept = tmp_path / "keras/models" / FILE
    assert find_weights("vgg16") == find_weights("vgg16") == kept
    assert kept.read_bytes() == source.read_bytes()
    assert list(kept.parent.iterdir()) == [kept]
    [url] = (tmp_path / "calls").read_text().split()
    assert url == f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{FILE}"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            f'mkdir "$KERAS_HOME/models"; echo half > "$KERAS_HOME/models/{FILE}"',
            "is not the known file",
        ),
        ("exit 0", "no file "),
    ],
    ids=["other content", "nothing"],
)
def test_a_download_that_fails_leaves_nothing(
    script: str, message: str, python: Path, tmp_path: Path
) -> None:
    python.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(InputError, match=f"Keras' download: .*{message}"):
        find_weights("vgg16")
    assert not list((tmp_path / "keras/models").iterdir())


def test_without_any_source_each_is_named_with_the_remedies(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        find_weights("vgg16")
    remedy, *tried = refused.value.problems
    for part in (FILE, "https://", "GRIDLESS_DATA", "network", "--fix weights=none"):
        assert part in remedy
    assert tried == [
        f"tried $GRIDLESS_DATA/{FILE}: no such file",
        f"tried Keras' cache: no file {tmp_path / 'keras/models' / FILE}",
        "tried Keras' download: no network",
    ]
