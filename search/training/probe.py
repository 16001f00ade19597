"""Builds a model at the corners of its space, to know before the search what can't be built.

Runs in a process of its own (`python -m search.training.probe`, JSON in and out), since it loads the framework.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from search.errors import InputError, StudyError
from search.keeper import stay_kept
from search.registry import become_users
from search.secret import without_secrets
from search.space.hyper import for_builder
from search.space.hyperparameters import COMPILED
from search.space.types import ChoiceParam, Space
from search.training.memory import address_space_note
from search.training.reason import reason_of
from search.training.recorder import Recorder

MARK = "gridless-probe:"


@dataclass(frozen=True)
class Corner:
    """One setting, and what became of it."""

    setting: Mapping[str, Any]
    n_params: int | None
    error: str | None


@dataclass(frozen=True)
class ProbeReport:
    """What building at the corners showed."""

    corners: tuple[Corner, ...]
    unbuildable: Mapping[str, Mapping[str, str]]
    """Parameter → {choice, as JSON → why a network with it can't be built}, the rest as in a setting that can."""
    unread: tuple[str, ...]
    """Parameters that neither the builder nor training ever asked for."""
    remarks: tuple[str, ...] = ()
    """What a user should know of the networks."""

    def usable(self, space: Space) -> tuple[Space, list[str]]:
        """`space` without what can't be built, and a notice for each value dropped.

        Raises InputError when nothing can be built, or nothing is left of a parameter.
        """
        if all(c.error for c in self.corners):
            raise InputError(f"model {space.model}: can't be built on this data: {self.corners[0].error}")
        notices = list(self.remarks)
        for name, values in self.unbuildable.items():
            space = space.without(name, [json.loads(v) for v in values])
            notices += [f"dropped {name} = {value}: {why}" for value, why in values.items()]
        return space, notices


def probe(
    space: Space, *, input_shape: tuple[int, int, int], n_classes: int, corners: bool = True, weights: bool = False
) -> ProbeReport:
    """Build every choice, and every corner if `corners`, in a fresh process; with `weights`, load starting weights.

    Raises InputError when the model can't be loaded, or the starting weights that the document's setting asks for
    can't be found or don't fit, and StudyError when the probe breaks.
    """
    facts = {"input_shape": input_shape, "n_classes": n_classes}
    question = {"space": space.as_dict(), "corners": corners, "weights": weights, **facts}
    answer = ask({"probe": question})
    return ProbeReport(
        corners=tuple(Corner(**c) for c in answer["corners"]),
        unbuildable=answer["unbuildable"],
        unread=tuple(answer["unread"]),
        remarks=tuple(answer["remarks"]),
    )


class Question(NamedTuple):
    """A network to build."""

    model: str
    setting: Mapping[str, Any]
    input_shape: tuple[int, int, int]
    n_classes: int


class Answer(NamedTuple):
    """What became of it: its parameters, or why it can't be built."""

    n_params: int | None
    error: str | None


def build_all(questions: Sequence[Question], *, weights: bool = False) -> list[Answer]:
    """Build each network in one fresh process; with `weights`, load the starting weights that a setting asks for.

    Raises StudyError when the process breaks.
    """
    rows = [q._asdict() for q in questions]
    return [Answer(*row) for row in ask({"build": rows, "weights": weights})["built"]]


def ask(question: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a fresh process. Raises InputError with the problems that it found, StudyError when it breaks."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    variables = without_secrets(os.environ) | quiet
    done = subprocess.run(
        [sys.executable, "-m", "search.training.probe"],
        input=json.dumps(question), capture_output=True, text=True, check=False, env=variables,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not lines:
        rule = f"building the model ended with exit code {done.returncode}{address_space_note()}"
        raise StudyError(f"{rule}:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(lines[-1].removeprefix(MARK))
    if "problems" in answer:
        raise InputError(answer["problems"])
    return answer


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    if "build" in question:
        return {"built": [_build(Question(**row), weights=question["weights"]) for row in question["build"]]}
    if "verify" in question:
        verified = importlib.import_module("search.training.inference").verified  # which asks by this module
        return dict(verified(Path(question["verify"]["folder"]), question["verify"]["model"])._asdict())
    if "discover" in question:
        explore = importlib.import_module("search.training.discovery").explore  # which asks by this module
        return dict(explore(question["discover"]))
    return _probe(question["probe"])


def _build(wanted: Question, *, weights: bool) -> tuple[int | None, str | None]:
    import keras  # noqa: PLC0415  only the probe's own process loads it

    from search.training.network import build_whole  # noqa: PLC0415
    from search.training.outputs import outputs_of  # noqa: PLC0415
    from search.training.pretrained import load_weights  # noqa: PLC0415

    try:
        model, _ = build_whole(wanted.model, wanted.setting, wanted.input_shape, wanted.n_classes)
        outputs_of(model, wanted.input_shape)
        if weights:
            load_weights(model, wanted.setting)
        return int(model.count_params()), None
    except BaseException as problem:  # whatever a builder raises says that this setting can't be built
        return None, reason_of(problem)
    finally:
        keras.backend.clear_session()


def _probe(question: Mapping[str, Any]) -> dict[str, Any]:
    space = Space.from_dict(question["space"])
    if question["weights"] and space.document.get("weights", "none") != "none":
        facts = {"input_shape": question["input_shape"], "n_classes": question["n_classes"]}
        _, error = _build(Question(space.model, space.document, **facts), weights=True)
        if error:
            raise InputError(error)
    builds = _Builds(space, tuple(question["input_shape"]), question["n_classes"])
    settings = space.corners() if question["corners"] else [space.document]
    corners = [builds.corner(setting) for setting in settings]
    sound = next((c["setting"] for c in corners if c["error"] is None), None)
    if sound is None and not question["corners"]:
        # The document's own setting can't be built here: look for one that can among all corners.
        return _probe({**question, "corners": True})
    unbuildable = {} if sound is None else _unbuildable(space, sound, builds)
    unread = [n for n in space.params if n not in builds.asked]
    return {"corners": corners, "unbuildable": unbuildable, "unread": unread, "remarks": builds.remarks()}


class _Builds:
    """Networks of one model, each built once for all settings that agree in what its builder reads."""

    def __init__(self, space: Space, input_shape: tuple[int, ...], n_classes: int) -> None:
        from search.training.hypermodel import HyperBuilder, builder_of  # noqa: PLC0415
        from search.training.recipe import training_params  # noqa: PLC0415

        self._build = builder_of(space.model)
        self._facts: dict[str, Any] = {"input_shape": input_shape, "n_classes": n_classes}
        self._space = space
        self._known: list[tuple[dict[str, Any], int | None, str | None]] = []
        self._remarks: list[list[str]] = []
        self._is_hp = isinstance(self._build, HyperBuilder)
        self.asked = set(training_params()) - set(COMPILED if self._is_hp else ())

    def corner(self, setting: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a `Corner`."""
        same = (known for known in self._known if all(setting.get(n) == v for n, v in known[0].items()))
        found = next(same, None)
        if found is None:
            found = self._try(setting)
            self._known.append(found)
            self.asked |= set(found[0])
        return {"setting": dict(setting), "n_params": found[1], "error": found[2]}

    def remarks(self) -> list[str]:
        """What there is to say of the networks that can be built."""
        every = dict.fromkeys(remark for one in self._remarks for remark in one)
        return [r if all(r in one for one in self._remarks) else f"with some settings, {r}" for r in every]

    def _try(self, setting: Mapping[str, Any]) -> tuple[dict[str, Any], int | None, str | None]:
        import keras  # noqa: PLC0415  only the probe's own process loads it

        from search.training.network import remarks  # noqa: PLC0415

        asked: set[str] = set()
        n_params, error = None, None
        try:
            model = self._build(Recorder(for_builder(setting, self._space.source), asked), **self._facts)
            n_params = int(model.count_params())
            self.asked |= set() if model.compiled else set(COMPILED)
            self._remarks.append(remarks(model, self._facts["input_shape"], is_hp=self._is_hp))
        except BaseException as problem:  # whatever a builder raises says that this setting can't be built
            n_params, error = None, reason_of(problem)
        finally:
            keras.backend.clear_session()
        return {name: setting.get(name) for name in asked}, n_params, error


def _unbuildable(space: Space, sound: Mapping[str, Any], builds: _Builds) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, param in space.params.items():
        if not isinstance(param, ChoiceParam) or name not in sound:
            continue
        for choice in param.choices:
            others = dict(sound) | {name: choice}
            active = space.active(others)
            error = builds.corner(space.complete({n: v for n, v in others.items() if n in active}))["error"]
            if error:
                found.setdefault(name, {})[json.dumps(choice)] = error
    return found


def main() -> None:
    """Answer the question on stdin."""
    become_users()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a KeyboardInterrupt is the builder's: whoever asks ends this process
    try:
        answer = _answer(json.load(sys.stdin))
    except InputError as error:
        answer = {"problems": list(error.problems)}
    except KeyboardInterrupt as error:
        answer = {"problems": [f"the model's module raised KeyboardInterrupt: {error}"]}
    sys.stdout.write(f"\n{MARK}{json.dumps(answer)}\n")


if __name__ == "__main__":
    stay_kept()  # what a builder starts would keep whoever asks waiting
    main()
