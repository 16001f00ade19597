"""One segment of a trial: from its last checkpoint, epoch by epoch, to its end or a pause."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from search.bounds import broken_text, early_facts
from search.errors import TrialError, UnfitError
from search.records import Ending
from search.strategies.protocol import Decision
from search.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from search.training.evidence import Judged, write_network, write_predictions
from search.training.export import save_network
from search.training.feed import (
    Feed,
    Part,
    chunks,
    epoch_order,
    n_updates,
    read_evaluation,
    read_feed,
)
from search.training.job import Job
from search.training.kept_network import N_IMAGES, Facts, Kept
from search.training.latency import latencies
from search.training.loop import train_loop
from search.training.network import Network, build_network
from search.training.own_compile import compile_again
from search.training.recipe import compile_model, steps_per_execution
from search.training.schedule import rate_of, stops_early
from search.training.scorer import NAN_REASON, Scorer
from search.training.train_loop import TrainLoop, make_train_loop

logger = logging.getLogger(__name__)
History = list[Mapping[str, Any]]
OnEpoch = Callable[[int, Mapping[str, Any]], Decision]
"""Called with (step, metrics) after each epoch; answers what comes next."""
OnMeasured = Callable[[Mapping[str, float]], None]
"""Called with what the job's `measures` are, by the names of facts."""
OnEvaluated = Callable[[Mapping[str, Any]], None]
"""Called with {split, accuracy, loss, n} of a job that evaluates."""


def train(
    job: Job,
    *,
    on_built: Callable[[int], None],
    on_epoch: OnEpoch,
    on_measured: OnMeasured = lambda _facts: None,
    on_evaluated: OnEvaluated = lambda _evaluation: None,
) -> Ending:
    """Train `job` from its checkpoint on; DONE, or PAUSE or STOP as `on_epoch` decided.

    Repeats bit for bit on the same CPU type, threads, versions and backend, however it was cut into
    segments: the weights start from the trial's seed, each epoch's order of images from (seed,
    epoch), and rates and early stopping are functions of the epochs so far. `on_built(n_params)` is
    called before the first epoch, `on_measured` after the last one here if the job asks for it.
    Epochs that a checkpoint holds are reported again, since whoever
    listens may have missed the last.

    Raises TrialError when the loss is not finite, UnfitError when the network breaks a bound,
    InputError when the network can't be built, and
    OSError when a checkpoint can't be read or the disk is full. A store that is out of reach while
    writing raises nothing.
    """
    if job.loop:
        return train_loop(job, on_epoch)
    network = build_network(job)
    n_params = int(network.whole.count_params())
    if broken := broken_text(job.at_most, early_facts(n_params)):
        on_built(n_params)
        raise UnfitError(broken)
    feed = read_feed(job)
    run = _Run(job, network, feed)
    history = run.restore()
    on_built(n_params)
    with _going_on_without("the network's layers"):
        write_network(job.evidence, job.number, network.whole)
    ending = _train_on(job, run, history, on_epoch)
    if "latency_ms" in job.measures:
        on_measured(latencies(network, feed.train))
    if ending is not Ending.DONE:
        return ending
    if job.model_file is not None:
        with _going_on_without("the network"):
            save_network(network.whole, network.scaling, run.kept(), job.model_file)
    if job.evaluate is not None:
        on_evaluated(run.evaluate(len(history)))
    return Ending.DONE


def _train_on(job: Job, run: "_Run", history: History, on_epoch: OnEpoch) -> Ending:
    """Report the epochs of `history`, and train and report those to come, until one ends it."""
    for metrics in history:
        if (decision := on_epoch(metrics["step"], metrics)) != Decision.GO_ON:
            return Ending(decision)
    while len(history) < job.last_epoch and not (
        job.rates is None and stops_early(job.params, history)
    ):
        history.append(run.epoch(history))
        run.save(history)
        if (decision := on_epoch(len(history), history[-1])) != Decision.GO_ON:
            return Ending(decision)
    return Ending.DONE


class _Run:
    """A job with its network and data in memory."""

    def __init__(self, job: Job, network: Network, feed: Feed) -> None:
        self._job = job
        self._network = network
        self._images = feed
        self._batch_size = int(job.params.get("batch_size", 32))
        self._drop = job.params.get("remainder", "keep") == "drop"
        n_images = len(feed.train.labels)
        updates = n_updates(n_images, self._batch_size, drop=self._drop)
        model = network.trained
        replayed = job.rates is not None
        self._scorer = Scorer(job, network)
        if network.compiled:
            compile_again(
                model,
                outputs=network.outputs,
                n_classes=job.n_classes,
                steps_per_execution=steps_per_execution(self._batch_size),
            )
        else:
            compile_model(
                model,
                job.params,
                total_updates=updates * job.total_epochs,
                assigned=replayed,
                outputs=network.outputs,
            )
        model.optimizer.build(model.trainable_variables)
        name = Path(job.data).name
        train = Part(
            network.features(feed.train.images, job, f"{name}/{job.train_on}"),
            network.outputs.targets(feed.train.labels),
            feed.train.weights,
        )
        validation = feed.validation and Part(
            network.features(feed.validation.images, job, f"{name}/validation"),
            feed.validation.labels,
        )
        self._feed = Feed(train, validation)
        self._loop: TrainLoop = make_train_loop(
            model,
            sample=next(chunks(train, np.arange(1), 1)),
            batch_size=self._batch_size,
            prepare=network.prepare,
            augment=network.augment,
        )

    def restore(self) -> History:
        """Take up the checkpoint, if there is one of this job: its history."""
        checkpoint = load_checkpoint(self._job.checkpoint, self._fingerprint())
        if checkpoint is None:
            return []
        for variable, value in zip(
            self._state(), [*checkpoint.model, *checkpoint.optimizer], strict=True
        ):
            variable.assign(value)
        return list(checkpoint.history)

    def save(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the checkpoint after the last epoch of `history`."""
        arrays = [keras.ops.convert_to_numpy(v) for v in self._state()]
        n_model = len(self._network.variables)
        state = Checkpoint(self._fingerprint(), tuple(history), arrays[:n_model], arrays[n_model:])
        with _going_on_without(f"the checkpoint of epoch {len(history)}"):
            save_checkpoint(self._job.checkpoint, state)

    def _state(self) -> list[Any]:
        return [*self._network.variables, *self._network.trained.optimizer.variables]

    def _fingerprint(self) -> str:
        return self._job.fingerprint(keras.backend.backend(), self._network.weights)

    def epoch(self, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Train the epoch after `history` and validate; its metrics, of which val_* are None
        without validation.

        Raises TrialError when a loss is not finite.
        """
        began = time.perf_counter()
        step = len(history) + 1
        lr = self._set_rate(history, step)
        labels = self._feed.train.labels
        order = epoch_order(
            len(labels), self._batch_size, seed=self._job.seed, step=step, drop=self._drop
        )
        measured = self._loop.train(chunks(self._feed.train, order, self._batch_size))
        names = ("loss", "accuracy") if self._scorer.has_accuracy else ("loss",)
        if missing := [name for name in names if name not in measured]:
            raise TrialError(
                f"training reported no {', '.join(missing)}: the model must leave compile() and"
                " metrics alone"
            )
        if not math.isfinite(measured["loss"]):
            raise TrialError(f"{NAN_REASON} in epoch {step}")
        return {
            **{name: measured[name] for name in names},
            **self._validate(history, step),
            "step": step,
            "lr": lr,
            "seconds": time.perf_counter() - began,
            "at": time.time(),
        }

    def _set_rate(self, history: Sequence[Mapping[str, Any]], step: int) -> float:
        optimizer = self._network.trained.optimizer
        rates = self._job.rates
        rate = rates[step - 1] if rates is not None else rate_of(self._job.params, history, step)
        if rate is not None and not self._network.compiled:
            optimizer.learning_rate = rate
        return float(keras.ops.convert_to_numpy(optimizer.learning_rate))

    def _validate(self, history: Sequence[Mapping[str, Any]], step: int) -> dict[str, Any]:
        validation, images = self._feed.validation, self._images.validation
        if validation is None or images is None:
            return self._scorer.none()
        outputs = self._loop.predict(validation.images)
        values = self._scorer.validate(images.labels, outputs, step)
        objective = self._scorer.objective
        earlier = [objective.score(m[objective.key]) for m in history]
        if objective.score(values[objective.key]) > max(earlier, default=-math.inf):
            self._keep("validation", step, outputs, images, None)
        return values

    def evaluate(self, step: int) -> dict[str, Any]:
        """Score the network on the examples that the job names: {split, accuracy, loss, n}, and
        `values` where there is more.

        Raises TrialError when the last update left a network that answers with NaN.
        """
        split = str(self._job.evaluate)
        images = read_evaluation(self._job, self._images)
        name = f"{Path(self._job.data).name}/{self._job.train_on if split == 'train' else split}"
        outputs = self._loop.predict(self._network.features(images.images, self._job, name))
        facts = self._scorer.evaluate(images.labels, outputs, step)
        self._keep(split, step, outputs, images, self._scorer.shares(images.labels, outputs))
        return {"split": split, "n": len(images.labels), **facts}

    def kept(self) -> Kept:
        """What shows of a copy of the network that it is the same."""
        some = np.unique(np.linspace(0, len(self._feed.train.labels) - 1, N_IMAGES).astype(int))
        job = self._job
        facts = Facts(
            job.params,
            job.input_shape,
            job.n_classes,
            self._network.outputs,
            job.precision,
            job.task,
            scaling=asdict(self._network.scaling),
        )
        return Kept(
            facts,
            np.asarray(self._images.train.images[some]),
            self._predict(self._feed.train.images[some]),
        )

    def _predict(self, images: Any) -> Any:
        return self._network.outputs.probabilities(self._loop.predict(images))

    def _keep(self, split: str, step: int, outputs: Any, part: Part, shares: Any) -> None:
        judged = Judged(
            split,
            step,
            self._job.task,
            self._network.outputs.probabilities(outputs),
            part,
            shares,
            keeps_probabilities=self._job.evaluate is not None,
        )
        with _going_on_without(f"the predictions of epoch {step}"):
            write_predictions(self._job.evidence, self._job.number, judged)


@contextlib.contextmanager
def _going_on_without(what: str) -> Iterator[None]:
    """Train on when a store is out of reach: the last checkpoint leads to the same numbers."""
    try:
        yield
    except (ConnectionError, TimeoutError) as error:
        logger.warning("%s could not be kept: %s", what, error)
