"""What there is: models with their documents' facts, data sets, and checks of spaces."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from search import registry
from search.datasets import load
from search.datasets.facts import Facts, facts_of
from search.errors import InputError
from search.models.sizes import size_of
from search.records import Task
from search.space.load import find_space, load_space
from search.space.space import Space
from search.space.training_params import hint
from search.training.probe import Corner, ProbeReport, build_all, probe
from search.training.question import Question

DEFAULT_SHAPE = (28, 28, 1)


def model_rows(say: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """A mapping per model: name, n_params at the document's setting, data, published, source.

    `say` is told before networks are built, which takes seconds.
    """
    spaces: dict[str, Space | None] = {}
    for name in registry.names(registry.MODELS):
        try:
            spaces[name] = load_space(find_space(name))
        except InputError:
            spaces[name] = None  # a user's model may have its space elsewhere, given by --space
    shapes = {name: _shape(space.data) for name, space in spaces.items() if space}
    sizes = {name: size_of(space, *shapes[name]) for name, space in spaces.items() if space}
    unknown = {name: space for name, space in spaces.items() if space and sizes[name] is None}
    if unknown:
        say("building the networks whose size is not known …")
        answers = build_all(
            [Question.of(space, space.document, *shapes[n]) for n, space in unknown.items()]
        )
        sizes |= dict(zip(unknown, (answer.n_params for answer in answers), strict=True))
    rows = []
    for name, space in spaces.items():
        row = {"name": name, **dict.fromkeys(("n_params", "data", "published", "source"))}
        if space is not None:
            row |= {"n_params": sizes[name], "data": space.data, "source": space.source}
            row["published"] = space.published.model_dump() if space.published else None
        rows.append(row)
    return rows


def dataset_rows() -> list[dict[str, Any]]:
    """One mapping per data set: its name, and its `Facts`, None where there are none."""
    rows = []
    for name in registry.names(registry.DATASETS):
        facts = facts_of(name)
        columns = facts._asdict() if facts else dict.fromkeys(Facts._fields)
        rows.append({"name": name, **columns})
    return rows


def check_space(file: Path, data: str | None) -> tuple[list[str], bool]:
    """Lines about the space in `file`, and whether it is sound. Raises InputError."""
    space = load_space(file)
    shape: tuple[int, ...]
    task, targets = Task.CLASSIFICATION, None
    if data is None:
        shape, n_classes = _shape(space.data)
    else:
        dataset = load(data)
        shape, n_classes, task = dataset.input_shape, dataset.n_classes, dataset.task
        targets = dataset.target_range
    report = probe(space, input_shape=shape, n_classes=n_classes, task=task, targets=targets)
    sizes = [c.n_params for c in report.corners if c.n_params is not None]
    n = len(report.corners)
    built = f"{n}" if len(sizes) == n else f"{len(sizes)} of {n}"
    noun = "images" if len(shape) == 3 else "examples"
    outputs = {Task.REGRESSION: "numbers", Task.MULTILABEL: "labels"}.get(task, "classes")
    lines = [
        (
            f"{file}: model {space.model}, {len(space.params)} parameters, {space.n_combinations:,}"
            " combinations in a grid"
        ),
        f"digest {space.digest}",
        f"{built} corners built on {'×'.join(map(str, shape))} {noun} with {n_classes} {outputs}",
    ]
    if sizes:
        lines.append(f"{min(sizes):,} to {max(sizes):,} network parameters")
    lines += [*(f"note: {remark}" for remark in report.remarks), *_errors(report)]
    if sizes:
        lines += [
            f"warning: {name} is never read by the model or by training{hint(name)}"
            for name in report.unread
        ]
    if error := report.baseline_error(space):
        lines.append(f"error: trial 0, the baseline, can't be built: {error}")
    return lines, bool(sizes) and not error


def _errors(report: ProbeReport) -> list[str]:
    """What can't be built, each reason once with the first setting that has it."""
    first: dict[str, list[Corner]] = {}
    for corner in report.corners:
        if corner.error:
            first.setdefault(corner.error, []).append(corner)
    return [
        f"can't be built: {error}: {dict(corners[0].setting)}"
        + (f" and {len(corners) - 1} more" if len(corners) > 1 else "")
        for error, corners in first.items()
    ]


def _shape(data: str | None) -> tuple[tuple[int, ...], int]:
    facts = facts_of(data or "")
    return (facts.input_shape, facts.n_classes) if facts else (DEFAULT_SHAPE, 10)
