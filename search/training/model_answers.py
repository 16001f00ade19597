"""Answers questions about a model by building it, in a process that has the framework loaded."""

import itertools
import json
import signal
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from search.errors import InputError
from search.failure_reason import reason_of
from search.objectives import objective_of
from search.processes import stay_kept
from search.records import Task
from search.registry import become_users
from search.space.from_kerastuner import COMPILED
from search.space.hyper_choices import for_builder
from search.space.params import ends
from search.space.space import ChoiceParam, Space
from search.text import message_of
from search.training.explore import explore
from search.training.params_read import Recorder
from search.training.question import Question

MARK = "gridless-answer:"
"""What the line of output begins with that holds the answer."""
_FACTS = ("input_shape", "n_classes", "task")


def answer(question: str, lifeline: Connection) -> None:
    """Answer the `question`, one of those below; end at once when `lifeline` closes."""
    stay_kept(lifeline)  # what a builder starts would keep whoever asks waiting
    become_users()
    # A KeyboardInterrupt is the builder's: whoever asks ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        reply = answer_to(json.loads(question))
    except InputError as error:
        reply = {"problems": list(error.problems)}
    except KeyboardInterrupt as error:
        reply = {"problems": [f"the model's module raised KeyboardInterrupt: {message_of(error)}"]}
    sys.stdout.write(f"\n{MARK}{json.dumps(reply)}\n")


def answer_to(question: Mapping[str, Any]) -> dict[str, Any]:
    """What is answered to one of the questions that `probe`, `discovery` and `kept` ask."""
    if "build" in question:
        networks = [Question(**{**row, "task": Task(row["task"])}) for row in question["build"]]
        return {"built": [_build(network, weights=question["weights"]) for network in networks]}
    if "verify" in question:
        from search.training.inference import verified  # noqa: PLC0415  # loads Keras

        folder, model = Path(question["verify"]["folder"]), question["verify"]["model"]
        return verified(folder, model)._asdict()
    if "discover" in question:
        return dict(explore(question["discover"]))
    return _probe(question["probe"])


def _build(network: Question, *, weights: bool) -> tuple[int | None, str | None]:
    import keras  # noqa: PLC0415  only the probe's own process loads it

    from search.training.classifier_outputs import outputs_of  # noqa: PLC0415
    from search.training.network import build_whole  # noqa: PLC0415
    from search.training.pretrained import load_weights  # noqa: PLC0415

    try:
        model, _ = build_whole(
            network.model, network.setting, network.input_shape, network.n_classes, network.task
        )
        outputs_of(model, network.input_shape, network.task)
        if weights:
            load_weights(model, network.setting)
        return int(model.count_params()), None
    except BaseException as problem:  # whatever a builder raises, the setting can't be built
        return None, reason_of(problem)
    finally:
        keras.backend.clear_session()


def _probe(question: Mapping[str, Any]) -> dict[str, Any]:
    from search.training.measure import is_logged  # noqa: PLC0415  loads Keras
    from search.training.objectives_tried import check_objectives  # noqa: PLC0415

    space = Space.from_dict(question["space"])
    shape, n_classes = tuple(question["input_shape"]), question["n_classes"]
    task = Task(question["task"])
    if question["weights"] and space.document.get("weights", "none") != "none":
        document = Question.of(space, space.document, shape, n_classes, task)
        _, error = _build(document, weights=True)
        if error:
            raise InputError(error)
    objectives = [objective_of(text) for text in question["objectives"]]
    logs = task is Task.REGRESSION or any(is_logged(objective) for objective in objectives)
    builds = _Builds(space, shape, n_classes, task, question["targets"], logs=logs)
    settings = space.corners() if question["corners"] else [space.document]
    corners = [builds.corner(setting) for setting in settings]
    sound = next((c["setting"] for c in corners if c["error"] is None), None)
    if sound is None and not question["corners"]:
        # The document's own setting can't be built here: look for one that can among all corners.
        return _probe({**question, "corners": True})
    unbuildable = {} if sound is None else _unbuildable(space, sound, builds)
    remarks = [*builds.remarks(), *_without_effect(space, task)]
    if sound is not None:
        parts = {part: np.load(file, mmap_mode="r") for part, file in question["parts"].items()}
        names = question["class_names"] or [*map(str, range(n_classes))]
        remarks += check_objectives(objectives, builds.logged, task, names, parts)
    unread = [n for n in space.params if n not in builds.names_read]
    return {
        "corners": corners,
        "unbuildable": unbuildable,
        "unread": unread,
        "remarks": remarks,
    }


def _without_effect(space: Space, task: Task) -> list[str]:
    """What training reads of `space` and a regression has no use for."""
    if task is not Task.REGRESSION:
        return []
    lines = []
    if "label_smoothing" in space.params:
        lines.append("label_smoothing does nothing to a regression: leave it out")
    metric = space.params.get("plateau_metric")
    if metric is not None and "val_accuracy" in ends(metric):
        rule = "plateau_metric = val_accuracy never lowers a rate: a regression has no accuracy"
        lines.append(f"{rule}; write val_loss")
    return lines


class _Build(NamedTuple):
    """What became of a network."""

    values: Mapping[str, Any]
    """Those that its builder read."""
    n_params: int | None
    error: str | None

    def is_of(self, setting: Mapping[str, Any]) -> bool:
        """Whether the network of `setting` is the same one."""
        return all(setting.get(name) == value for name, value in self.values.items())


class _Builds:
    """Networks of one model, one for all settings that agree in what its builder reads."""

    def __init__(
        self,
        space: Space,
        input_shape: tuple[int, ...],
        n_classes: int,
        task: Task,
        targets: tuple[float, float] | None,
        *,
        logs: bool,
    ) -> None:
        """`logs`: whether what the networks log of validation data is asked for."""
        from search.training.hypermodel import HyperBuilder, builder_of  # noqa: PLC0415
        from search.training.recipe import training_params  # noqa: PLC0415

        self._build = builder_of(space.model)
        self._facts: dict[str, Any] = {
            "input_shape": input_shape,
            "n_classes": n_classes,
            "task": task,
        }
        self._targets = targets
        self._space = space
        self._builds: list[_Build] = []
        self._remarks: list[list[str]] = []
        self._logs = logs
        self.logged: list[tuple[str, ...]] = []
        """What each network logs of validation data, where that is asked for."""
        self._is_hp = isinstance(self._build, HyperBuilder)
        self.names_read = set(training_params()) - set(COMPILED if self._is_hp else ())

    def corner(self, setting: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a `Corner`."""
        build = next((b for b in self._builds if b.is_of(setting)), None)
        if build is None:
            build = self._try(setting)
            self._builds.append(build)
            self.names_read |= set(build.values)
        return {"setting": dict(setting), "n_params": build.n_params, "error": build.error}

    def remarks(self) -> list[str]:
        """What there is to say of the networks that can be built."""
        lines = []
        for remark in dict.fromkeys(itertools.chain(*self._remarks)):
            is_of_all = all(remark in remarks for remarks in self._remarks)
            lines.append(remark if is_of_all else f"with some settings, {remark}")
        return lines

    def _names_logged(self, model: Any) -> tuple[str, ...]:
        from search.training.classifier_outputs import outputs_of  # noqa: PLC0415
        from search.training.own_log import logged_names  # noqa: PLC0415

        shape, n_classes, task = (self._facts[name] for name in _FACTS)
        outputs = outputs_of(model, shape, task, self._targets)
        is_kept = self._is_hp and bool(model.compiled)
        return logged_names(model, outputs, n_classes, is_kept=is_kept)

    def _try(self, setting: Mapping[str, Any]) -> _Build:
        import keras  # noqa: PLC0415  only the probe's own process loads it

        from search.training.network import remarks  # noqa: PLC0415

        names: set[str] = set()
        n_params, error = None, None
        try:
            params = Recorder(for_builder(setting, self._space.source), names)
            model = self._build(params, **self._facts)
            n_params = int(model.count_params())
            if not model.compiled:
                self.names_read |= set(COMPILED)
            if self._logs:
                self.logged.append(self._names_logged(model))
            self._remarks.append(
                remarks(
                    model,
                    self._facts["input_shape"],
                    is_hp=self._is_hp,
                    task=self._facts["task"],
                    targets=self._targets,
                )
            )
        except BaseException as problem:  # whatever a builder raises, the setting can't be built
            n_params, error = None, reason_of(problem)
        finally:
            keras.backend.clear_session()
        return _Build({name: setting.get(name) for name in names}, n_params, error)


def _unbuildable(
    space: Space, sound: Mapping[str, Any], builds: _Builds
) -> dict[str, dict[str, str]]:
    reasons: dict[str, dict[str, str]] = {}
    for name, param in space.params.items():
        if not isinstance(param, ChoiceParam) or name not in sound:
            continue
        for choice in param.choices:
            values = {**sound, name: choice}
            active = space.active(values)
            setting = space.complete({n: v for n, v in values.items() if n in active})
            if error := builds.corner(setting)["error"]:
                reasons.setdefault(name, {})[json.dumps(choice)] = error
    return reasons
