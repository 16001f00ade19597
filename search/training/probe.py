"""Builds a model at the corners of its space, in a fresh process, before the search starts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from search.errors import InputError
from search.records import Task
from search.space.space import Space
from search.training.model_process import ask
from search.training.question import Question

_NO_PARTS: Mapping[str, Path] = MappingProxyType({})


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
    """Parameter → {choice, as JSON → why it can't be built, the rest as in a setting that can}."""
    unread: tuple[str, ...]
    """Parameters that neither the builder nor training ever asked for."""
    remarks: tuple[str, ...] = ()
    """What a user should know of the networks."""

    def usable(self, space: Space) -> tuple[Space, list[str]]:
        """`space` without what can't be built, and a notice for each value dropped.

        Raises InputError when nothing can be built, or nothing is left of a parameter.
        """
        if all(c.error for c in self.corners):
            raise InputError(
                f"model {space.model}: can't be built on this data: {self.corners[0].error}"
            )
        notices = list(self.remarks)
        for name, values in self.unbuildable.items():
            space = space.without(name, [json.loads(v) for v in values])
            notices += [f"dropped {name} = {value}: {why}" for value, why in values.items()]
        if error := self.baseline_error(space):
            notices.append(f"trial 0, the baseline, can't be built and will fail: {error}")
        return space, notices

    def baseline_error(self, space: Space) -> str | None:
        """Why the baseline of `space` can't be built, if it can't."""
        baseline = dict(space.document)
        return next(
            (c.error for c in self.corners if c.error and dict(c.setting) == baseline), None
        )


def probe(
    space: Space,
    *,
    input_shape: tuple[int, ...],
    n_classes: int,
    task: Task = Task.CLASSIFICATION,
    targets: tuple[float, float] | None = None,
    objectives: Sequence[str] = (),
    parts: Mapping[str, Path] = _NO_PARTS,
    class_names: Sequence[str] = (),
    corners: bool = True,
    weights: bool = False,
) -> ProbeReport:
    """Build every choice, and every corner if `corners`, in a fresh process; with `weights`, load
    starting weights.

    `targets` is the range of a regression's. `objectives` are tried on made-up predictions, also
    for the targets in the .npy files of `parts`, validation and test.

    Raises InputError when the model can't be loaded, or the starting weights that the document's
    setting asks for can't be found or don't fit, or an objective can't be measured, and StudyError
    when the probe breaks.
    """
    facts = {"input_shape": input_shape, "n_classes": n_classes, "task": task, "targets": targets}
    switches = {"corners": corners, "weights": weights}
    measured = {
        "objectives": list(objectives),
        "parts": {part: str(file) for part, file in parts.items()},
        "class_names": list(class_names),
    }
    answer = ask({"probe": {"space": space.as_dict(), **switches, **facts, **measured}})
    return ProbeReport(
        corners=tuple(Corner(**c) for c in answer["corners"]),
        unbuildable=answer["unbuildable"],
        unread=tuple(answer["unread"]),
        remarks=tuple(answer["remarks"]),
    )


class Answer(NamedTuple):
    """What became of it: its parameters, or why it can't be built."""

    n_params: int | None
    error: str | None


def build_all(questions: Sequence[Question], *, weights: bool = False) -> list[Answer]:
    """Build each network in one fresh process; with `weights`, load the starting weights that a
    setting asks for.

    Raises StudyError when the process breaks.
    """
    rows = [q._asdict() for q in questions]
    return [Answer(*row) for row in ask({"build": rows, "weights": weights})["built"]]
