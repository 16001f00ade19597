"""The network of a job: built, given its starting weights, and cut where features can be computed once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from search.training.augment import augmentation
from search.training.determinism import be_deterministic
from search.training.engine import Images, Prepare
from search.training.features import cached_features, split_frozen
from search.training.hypermodel import HyperBuilder, builder_of
from search.training.job import Job
from search.training.own_compile import gives_logits
from search.training.pretrained import load_weights
from search.training.scaling import scale_in_graph


@dataclass(frozen=True, eq=False)
class Network:
    """What is trained, and what stands before it."""

    whole: keras.Model
    """As the builder made it: images scaled by `scaling` → class probabilities."""
    trained: keras.Model
    """The part that training changes: `whole`, or the rest of it after `frozen`."""
    frozen: keras.Model | None
    """The part before it whose output never changes: computed once per image and cached."""
    augment: keras.Layer | None
    weights: str | None
    """SHA-256 of the file of starting weights, None where they are random."""
    scaling: str
    compiled: bool = False
    """Whether it compiled itself: its own optimizer and loss are kept."""
    logits: bool = False
    """Whether its outputs are no probabilities yet, but what softmax makes them of."""

    @property
    def prepare(self) -> Prepare:
        """What a batch goes through before it reaches `trained`."""
        if self.frozen is not None:
            return lambda features: features
        return lambda images: scale_in_graph(images, self.scaling)

    def features(self, images: Images, job: Job, part: str) -> Images:
        """`images` as `trained` takes them: themselves, or what `frozen` makes of them, from the cache if known."""
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
    build = builder_of(job.model)
    whole = build(job.params, input_shape=tuple(job.input_shape), n_classes=job.n_classes)
    compiled = isinstance(build, HyperBuilder) and bool(whole.compiled)
    if job.precision != "float32":
        # Probabilities near 1 have no neighbours in 16 bits.
        whole.layers[-1].dtype_policy = "float32"
    weights = load_weights(whole, job.params)
    augment = augmentation(job.params, job.input_shape)
    scaling = str(job.params.get("scaling", "unit"))
    # What is cut off a compiled model would lose what it was compiled with.
    cut = not compiled and _can_cache(job.params, augment, job)
    frozen, trained = split_frozen(whole) if cut else (None, whole)
    logits = compiled and gives_logits(whole)
    return Network(whole, trained, frozen, augment, weights, scaling, compiled, logits)


def _can_cache(params: Mapping[str, Any], augment: keras.Layer | None, job: Job) -> bool:
    # Augmented images are new ones in every epoch; the cache is of images scaled to 0…1.
    return augment is None and bool(job.cache) and params.get("scaling", "unit") == "unit"
