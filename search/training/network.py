"""A job's network: built, with starting weights, cut where features can be computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from search.datasets.split import read_split
from search.records import Task
from search.training.augment import augmentation
from search.training.classifier_outputs import (
    Outputs,
    Range,
    is_random,
    last_operation,
    outputs_of,
)
from search.training.determinism import be_deterministic
from search.training.features import cached_features, split_frozen
from search.training.hypermodel import HyperBuilder, builder_of
from search.training.job import Job
from search.training.own_compile import matching, only_loss
from search.training.pretrained import load_weights
from search.training.scaling import Scaling, standard
from search.training.train_loop import Images, Prepare

_MOST_VALUES = 2**16
"""Images that show whether a network is random: many where small, as its chances may be rare."""
_LEAST_SCALE = 0.05
"""What takes pixels to 0…1 or to -1…1 is far below it."""


@dataclass(frozen=True, eq=False)
class Network:
    """What is trained, and what stands before it."""

    whole: keras.Model
    """As the builder made it: images scaled by `scaling` → `outputs`."""
    trained: keras.Model
    """The part that training changes: `whole`, or the rest of it after `frozen`."""
    frozen: keras.Model | None
    """The part before it whose output never changes: computed once per image and cached."""
    augment: keras.Layer | None
    weights: str | None
    """SHA-256 of the file of starting weights, None where they are random."""
    scaling: Scaling
    compiled: bool = False
    """Whether it compiled itself: its own optimizer and loss are kept."""
    outputs: Outputs = Outputs.PROBABILITIES
    """What `whole` and `trained` give for an image."""

    @property
    def prepare(self) -> Prepare:
        """What a batch goes through before it reaches `trained`."""
        if self.frozen is not None:
            return lambda features: features
        return self.scaling.in_graph

    def features(self, images: Images, job: Job, part: str) -> Images:
        """`images` as `trained` takes them: themselves, or `frozen`'s output, cached if known."""
        if self.frozen is None:
            return images
        return cached_features(self.frozen, images, cache=Path(job.cache), key={"part": part})

    @property
    def variables(self) -> list[Any]:
        """All that training changes but the optimizer's."""
        return [*self.trained.variables, *(self.augment.variables if self.augment else ())]


def build_network(job: Job) -> Network:
    """Build the network of `job`, its initial weights drawn from the seed.

    Raises InputError when it can't be built, or its starting weights can't be found or don't fit.
    """
    keras.config.set_dtype_policy(job.precision)
    keras.utils.set_random_seed(job.seed)
    if job.deterministic:
        be_deterministic()
    whole, compiled = build_whole(job.model, job.params, job.input_shape, job.n_classes, job.task)
    weights = load_weights(whole, job.params)
    augment = augmentation(job.params, job.input_shape)
    scaling = _scaling_of(job)
    # What is cut off a compiled model would lose what it was compiled with.
    cut = not compiled and _can_cache(job.params, augment, job)
    frozen, trained = split_frozen(whole) if cut else (None, whole)
    return Network(
        whole,
        trained,
        frozen,
        augment,
        weights,
        scaling,
        compiled,
        outputs_of(whole, job.input_shape, job.task),
    )


def build_whole(
    model: str,
    params: Mapping[str, Any],
    input_shape: Sequence[int],
    n_classes: int,
    task: Task = Task.CLASSIFICATION,
) -> tuple[keras.Model, bool]:
    """The network that the builder of `model` makes, under Keras' dtype policy of now, and whether
    it compiled itself in a way that counts. Raises InputError when it is none for such data.
    """
    build = builder_of(model)
    whole = build(params, input_shape=tuple(input_shape), n_classes=n_classes, task=task)
    last = last_operation(whole)
    if (
        keras.config.dtype_policy().name != "float32"
        and last is not whole
        and isinstance(last, keras.Layer)
    ):
        # Probabilities near 1 have no neighbours in 16 bits.
        last.dtype_policy = "float32"
    return whole, isinstance(build, HyperBuilder) and bool(whole.compiled)


def remarks(
    whole: keras.Model,
    input_shape: tuple[int, ...],
    *,
    is_hp: bool,
    task: Task = Task.CLASSIFICATION,
    targets: Range | None = None,
) -> list[str]:
    """What a user should know of the network `whole`, of a builder for KerasTuner if `is_hp`,
    before it is trained.

    `targets` is the range of a regression's. Raises InputError when its outputs are nothing of the
    `task`.
    """
    outputs, remarked = outputs_of(whole, input_shape, task, targets), []
    is_kept = is_hp and whole.compiled
    if outputs.is_logits:
        function = "softmax" if outputs is Outputs.LOGITS else "sigmoid"
        remarked.append(
            f"the outputs are logits: {function} makes probabilities of them wherever these are"
            " scored or kept"
        )
    if outputs is Outputs.SCORES:
        rule = (
            "the outputs are from 0 to 1 for each class by itself, as of a sigmoid, and don't sum"
            " to 1"
        )
        remarked.append(
            f"{rule}: they are divided by their sum; softmax is the customary end for one class per"
            " image"
        )
    if whole.compiled and not is_kept:
        remedy = "leave it out, or write build(hp) to keep it"
        remarked.append(
            "the builder's compile() is replaced by the setting's optimizer, rate and loss;"
            f" {remedy}"
        )
    if is_kept and matching(only_loss(whole.loss), outputs) is not only_loss(whole.loss):
        value = outputs.is_logits
        remarked.append(
            f"compile() has a loss with from_logits={not value}, but the outputs are {outputs}:"
            f" {value} is taken"
        )
    n_images = int(np.clip(_MOST_VALUES // np.prod(input_shape), 2, 64))
    if is_random(whole, np.random.default_rng(0).random((n_images, *input_shape), np.float32)):
        rule = (
            "the network is random outside training, too: asked twice about an image, it gives two"
            " answers"
        )
        remedy = "have its layers look at `training`, as Keras' own do"
        remarked.append(
            f"{rule}; its accuracy varies by itself and its file can't be used: {remedy}"
        )
    if _is_scaled_again(whole):
        remarked.append(
            "its Rescaling layers divide pixels, which come scaled to 0…1 already unless they are"
            " floats: leave them out, or give floats, which come as they are"
        )
    return remarked


def _is_scaled_again(whole: keras.Model) -> bool:
    """Whether Rescaling layers make of 0…1 what they are meant to make of 0…255."""
    layers = whole._flatten_layers(
        include_self=False
    )  # the public `layers` leaves out layers inside layers
    scales = [
        np.abs(layer.scale).max() for layer in layers if isinstance(layer, keras.layers.Rescaling)
    ]
    return bool(np.prod(scales) < _LEAST_SCALE)


def _can_cache(params: Mapping[str, Any], augment: keras.Layer | None, job: Job) -> bool:
    # Augmented images are new ones in every epoch; the cache is of bytes scaled to 0…1.
    is_unit = params.get("scaling", "unit") == "unit" and job.pixel_max == 255
    return augment is None and bool(job.cache) and is_unit


def _scaling_of(job: Job) -> Scaling:
    how = str(job.params.get("scaling", "unit"))
    if how != "standard":
        return Scaling(how, job.pixel_max)
    split = read_split(Path(job.data))
    parts = [split.x_train] if job.train_on == "train" else [split.x_train, split.x_val]
    return standard(parts, job.pixel_max)
