"""What is kept of a trial for people to look at: layers, predictions and mistakes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.artifacts import join, whole
from search.datasets.samples import to_8_bits
from search.objectives import METRICS, Floats, Truth, decided
from search.records import Task
from search.training.feed import Part

_MAX_VALUES = 1000
"""A row of more numbers says nothing to anybody."""
MAX_WRONG = 48
"""Misclassified images that are kept, the most confident first."""


def scores(predicted: Floats, labels: Truth, task: Task) -> dict[str, float]:
    """The mean loss of predictions (n, n_classes), and of classes the accuracy, a fraction.

    The loss of classes and labels is the cross-entropy in nats, of numbers the squared error.
    """
    if task is Task.REGRESSION:
        return {"loss": METRICS["mse"].measure(labels, predicted)}
    return {
        "loss": METRICS["log_loss"].measure(labels, predicted),
        "accuracy": METRICS["accuracy"].measure(labels, predicted),
    }


@dataclass(frozen=True, eq=False)
class Judged:
    """What a network said of every example of one split, and what that is worth."""

    split: str
    step: int
    """The epoch whose weights made it."""
    task: Task
    predicted: Floats
    """Probabilities (n, n_classes), of a regression numbers (n, width)."""
    part: Part
    """The examples, with labels as they are stored."""
    shares: NDArray[np.float32] | None = None
    """What each example, or group of them, has to the objective's value; None where nobody asks, or
    where labels and decisions say it.
    """
    keeps_probabilities: bool = False


def write_predictions(folder: str | Path, number: int, judged: Judged) -> None:
    """Keep what trial `number` said as trial-NNNN.npz. Raises OSError.

    `folder` is a path or a store's URL. Kept are `true` and `predicted`, of classes (n,) with
    `confidence` and the worst mistakes, of labels rows of 0 and 1, of numbers float32 (n, width).
    """
    match judged.task:
        case Task.REGRESSION:
            said: dict[str, Any] = {
                "true": judged.part.labels.astype(np.float32),
                "predicted": judged.predicted.astype(np.float32),
            }
        case Task.MULTILABEL:
            said = {
                "true": judged.part.labels.astype(np.uint8),
                "predicted": decided(judged.predicted, judged.task).astype(np.uint8),
            }
        case _:
            said = _of_classes(judged.predicted, judged.part)
    others: dict[str, Any] = {}
    if judged.keeps_probabilities and judged.task is not Task.REGRESSION:
        others["probabilities"] = judged.predicted.astype(np.float16)
    if judged.shares is not None:
        others["shares"] = judged.shares.astype(np.float32)
    with whole(join(folder, f"trial-{number:04d}.npz")) as file:
        np.savez_compressed(
            file, split=np.array(judged.split), step=np.array(judged.step), **said, **others
        )


def _of_classes(probabilities: Floats, part: Part) -> dict[str, NDArray[Any]]:
    """What is kept of probabilities (n, n_classes): decisions, and mistakes, the most confident
    first, with their images or, where these are small rows of numbers, their values.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != part.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")[:MAX_WRONG]]
    said: dict[str, NDArray[Any]] = {
        "true": np.asarray(part.labels, dtype=np.uint16),
        "predicted": predicted.astype(np.uint16),
        "confidence": confidence.astype(np.float32),
        "wrong_index": worst,
    }
    examples = part.images
    rank = len(examples.shape)
    if rank == 4 and examples.dtype in {np.dtype(np.uint8), np.dtype(np.uint16)}:
        said["wrong_images"] = to_8_bits(examples[worst])
    elif rank == 2 and examples.shape[1] <= _MAX_VALUES:
        said["wrong_values"] = np.asarray(examples[worst])
    return said


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
