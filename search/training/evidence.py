"""What is kept of a trial for people to look at: layers, predictions and mistakes."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.artifacts import join, whole
from search.training.train_loop import Images, Labels

MAX_WRONG = 48
"""Misclassified images that are kept, the most confident first."""
_LEAST = 1e-7


def scores(probabilities: NDArray[np.float32], labels: Labels) -> dict[str, float]:
    """Mean cross-entropy (nats) and accuracy (a fraction) of probabilities (n, n_classes)."""
    of_labels = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    # Not by clipping with NumPy's clip, which would turn a NaN into a number.
    return {"loss": float(-np.log(np.maximum(of_labels, _LEAST)).mean()), "accuracy": accuracy}


def write_predictions(
    folder: str | Path,
    number: int,
    *,
    split: str,
    step: int,
    probabilities: NDArray[np.float32],
    labels: Labels,
    images: Images,
) -> None:
    """Keep what trial `number` predicted after epoch `step` as trial-NNNN.npz, its worst mistakes
    with their images.

    `probabilities` (n, n_classes), `labels` (n,), `images` uint8 (n, h, w, c); `folder` is a path
    or a store's URL. Raises OSError.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")[:MAX_WRONG]]
    with whole(join(folder, f"trial-{number:04d}.npz")) as file:
        np.savez_compressed(
            file,
            split=np.array(split),
            step=np.array(step),
            true=np.asarray(labels, dtype=np.uint16),
            predicted=predicted.astype(np.uint16),
            confidence=confidence.astype(np.float32),
            wrong_index=worst,
            wrong_images=np.asarray(images[worst]),
        )


def write_network(folder: str | Path, number: int, model: keras.Model) -> None:
    """Keep the layers of trial `number` as network-NNNN.json. Raises OSError."""
    text = json.dumps(describe(model), separators=(",", ":"))
    with whole(join(folder, f"network-{number:04d}.json")) as file:
        file.write(text.encode())


def describe(model: keras.Model) -> dict[str, Any]:
    """A built `model`'s layers: name, type, output_shape, n_params, trainable, inputs (names)."""
    layers = [
        {
            "name": layer.name,
            "type": type(layer).__name__,
            "output_shape": _shape(layer),
            "n_params": int(layer.count_params()) if layer.built else 0,
            "trainable": bool(layer.trainable),
            "inputs": _inputs(layer),
        }
        for layer in model.layers
    ]
    previous = ""
    for layer in layers:
        if not layer["inputs"] and previous:  # a Sequential's layers say nothing of their order
            layer["inputs"] = [previous]
        previous = layer["name"]
    n_trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    return {"layers": layers, "n_params": int(model.count_params()), "n_trainable": n_trainable}


def _shape(layer: keras.Layer) -> list[Any]:
    try:
        shape = layer.output.shape
    except (
        AttributeError,
        ValueError,
    ):  # a layer that was called more than once, or never symbolically
        return []
    return list(shape[1:])


def _inputs(layer: keras.Layer) -> list[str]:
    nodes = getattr(layer, "_inbound_nodes", [])
    parents = nodes[0].parent_nodes if nodes else []
    return [node.operation.name for node in parents]
