"""Answers the questions of `search.training.ask`: `python -m search.training.answer`, JSON in and
out.
"""

import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.errors import InputError
from search.processes import stay_kept
from search.registry import become_users
from search.space.from_kerastuner import COMPILED
from search.space.hyper_choices import for_builder
from search.space.space import ChoiceParam, Space
from search.text import message_of
from search.training.ask import MARK
from search.training.discovery import explore
from search.training.probe import Question
from search.training.reason import reason_of
from search.training.recorder import Recorder


def answer_to(question: Mapping[str, Any]) -> dict[str, Any]:
    """What is answered to one of the questions that `probe`, `discovery` and `kept` ask."""
    if "build" in question:
        return {
            "built": [
                _build(Question(**row), weights=question["weights"]) for row in question["build"]
            ]
        }
    if "verify" in question:
        from search.training.inference import verified  # noqa: PLC0415  # loads Keras

        return dict(
            verified(Path(question["verify"]["folder"]), question["verify"]["model"])._asdict()
        )
    if "discover" in question:
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
    except (
        BaseException
    ) as problem:  # whatever a builder raises says that this setting can't be built
        return None, reason_of(problem)
    finally:
        keras.backend.clear_session()


def _probe(question: Mapping[str, Any]) -> dict[str, Any]:
    space = Space.from_dict(question["space"])
    if question["weights"] and space.document.get("weights", "none") != "none":
        facts = {"input_shape": question["input_shape"], "n_classes": question["n_classes"]}
        _, error = _build(Question.of(space, space.document, **facts), weights=True)
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
    return {
        "corners": corners,
        "unbuildable": unbuildable,
        "unread": unread,
        "remarks": builds.remarks(),
    }


class _Builds:
    """Networks of one model, each built once for all settings that agree in what its builder
    reads.
    """

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
        same = (
            known for known in self._known if all(setting.get(n) == v for n, v in known[0].items())
        )
        found = next(same, None)
        if found is None:
            found = self._try(setting)
            self._known.append(found)
            self.asked |= set(found[0])
        return {"setting": dict(setting), "n_params": found[1], "error": found[2]}

    def remarks(self) -> list[str]:
        """What there is to say of the networks that can be built."""
        every = dict.fromkeys(remark for one in self._remarks for remark in one)
        return [
            r if all(r in one for one in self._remarks) else f"with some settings, {r}"
            for r in every
        ]

    def _try(self, setting: Mapping[str, Any]) -> tuple[dict[str, Any], int | None, str | None]:
        import keras  # noqa: PLC0415  only the probe's own process loads it

        from search.training.network import remarks  # noqa: PLC0415

        asked: set[str] = set()
        n_params, error = None, None
        try:
            model = self._build(
                Recorder(for_builder(setting, self._space.source), asked), **self._facts
            )
            n_params = int(model.count_params())
            self.asked |= set() if model.compiled else set(COMPILED)
            self._remarks.append(remarks(model, self._facts["input_shape"], is_hp=self._is_hp))
        except (
            BaseException
        ) as problem:  # whatever a builder raises says that this setting can't be built
            n_params, error = None, reason_of(problem)
        finally:
            keras.backend.clear_session()
        return {name: setting.get(name) for name in asked}, n_params, error


def _unbuildable(
    space: Space, sound: Mapping[str, Any], builds: _Builds
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, param in space.params.items():
        if not isinstance(param, ChoiceParam) or name not in sound:
            continue
        for choice in param.choices:
            others = dict(sound) | {name: choice}
            active = space.active(others)
            error = builds.corner(space.complete({n: v for n, v in others.items() if n in active}))[
                "error"
            ]
            if error:
                found.setdefault(name, {})[json.dumps(choice)] = error
    return found


def main() -> None:
    """Answer the question on stdin."""
    become_users()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a KeyboardInterrupt is the builder's: whoever asks ends this process
    try:
        answer = answer_to(json.load(sys.stdin))
    except InputError as error:
        answer = {"problems": list(error.problems)}
    except KeyboardInterrupt as error:
        answer = {"problems": [f"the model's module raised KeyboardInterrupt: {message_of(error)}"]}
    sys.stdout.write(f"\n{MARK}{json.dumps(answer)}\n")


if __name__ == "__main__":
    stay_kept()  # what a builder starts would keep whoever asks waiting
    main()
