"""Putting ImageNet weights into the frozen base of a network.

Builders leave the base's weights random; whoever trains calls `load_weights` after building.
"""

import itertools
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import keras

from search.errors import InputError
from search.training.weights_files import (
    FIXES,
    PUBLISHED,
    UNPUBLISHED,
    find_weights,
    hash_of,
    url_of,
)

_Layers = list[tuple[str, list[tuple[int, ...]]]]
"""Name and weights' shapes of each layer that has weights, in order."""


def load_weights(model: keras.Model, params: Mapping[str, Any]) -> str | None:
    """Put the weights that `params["weights"]` asks for into the base of `model`.

    "imagenet" loads the file that `find_weights` finds into the one layer that is a model named
    like a base, and returns the file's SHA-256 (64 hex digits). "none" changes nothing and returns
    None. Without the parameter it is what the builder took it for: "imagenet" for a frozen base,
    otherwise "none".

    Raises InputError for another value, when `model` has no such base, and when the file is damaged
    or its layers are not the base's; a model that it was raised for must not be used.
    """
    models = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    bases = [layer for layer in models if layer.name in (*PUBLISHED, *UNPUBLISHED)]
    # Random and frozen is never meant, so a builder's own default decides here too.
    default = "none" if all(base.trainable for base in bases) else "imagenet"
    weights = params.get("weights", default)
    if weights == "none":
        return None
    if weights != "imagenet":
        raise InputError(f"weights: must be none or imagenet, not {weights!r}")
    if (scaling := params.get("scaling", "unit")) != "unit":
        raise InputError(
            f"scaling: ImageNet weights want pixels in 0…1, not {scaling!r}; give scaling=unit"
        )
    if len(bases) != 1:
        raise InputError(
            f"weights: imagenet needs a network with one of the bases {', '.join(PUBLISHED)}, "
            f"{model.name} has {len(bases) or 'none'}; give --fix weights=none"
        )
    path = find_weights(bases[0].name)
    _load(bases[0], path)
    return hash_of(path, "sha256")


def _load(base: keras.Model, path: Path) -> None:
    try:
        with h5py.File(path, "r") as file:
            layers = _file_layers(file)
        _compare(base, layers, path)
        base.load_weights(path)
    # All that h5py and Keras raise for files that are damaged or hold something else.
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: can't be read as a file of Keras weights ({error}); "
            f"replace it by {url_of(PUBLISHED[base.name])}, or {FIXES}"
        ) from error


def _file_layers(file: Any) -> _Layers:
    # A whole model saved as .h5 has its weights one level down.
    is_whole = "layer_names" not in file.attrs and "model_weights" in file
    group = file["model_weights"] if is_whole else file
    layers = [
        (name, [tuple(group[name][weight].shape) for weight in _names(group[name], "weight_names")])
        for name in _names(group, "layer_names")
    ]
    return [layer for layer in layers if layer[1]]


def _names(group: Any, key: str) -> list[str]:
    """Read a list of names, which Keras cuts into numbered attributes when it is long."""
    parts: Sequence[Any] = [group.attrs[key]] if key in group.attrs else []
    if not parts:
        numbered = (f"{key}{i}" for i in itertools.count())
        parts = [group.attrs[k] for k in itertools.takewhile(lambda k: k in group.attrs, numbered)]
    names = chain.from_iterable(parts)
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _compare(base: keras.Model, layers: _Layers, path: Path) -> None:
    """Raise InputError at the first layer that differs, before any weight is changed."""
    needed: _Layers = [
        (
            layer.name,
            [tuple(w.shape) for w in (*layer.trainable_weights, *layer.non_trainable_weights)],
        )
        for layer in base.layers
        if layer.weights
    ]
    # By position, as Keras loads such files: the names of many layers are numbered as they were
    # made.
    for i, (ours, theirs) in enumerate(itertools.zip_longest(needed, layers), 1):
        if ours is None or theirs is None or ours[1] != theirs[1]:
            raise InputError(
                f"{path}: does not fit {base.name} without its top: layer {i} with weights is"
                f" {_shown(theirs)} in the file and {_shown(ours)} in the network; replace the file"
                f" by {url_of(PUBLISHED[base.name])}, or {FIXES}"
            )


def _shown(layer: tuple[str, list[tuple[int, ...]]] | None) -> str:
    return "missing" if layer is None else f"{layer[0]} {', '.join(map(str, layer[1]))}"
