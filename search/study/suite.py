"""A resolved suite: systems (a model on data, at a fixed setting or searched) to be compared."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from search.errors import InputError
from search.files import unwritable, whole_file
from search.space.space import Published
from search.study.read_settings import read_settings
from search.study.spec import Split
from search.study.suite_file import SearchSettings, Strict


class System(Strict):
    """One resolved system: what `gridless bench` runs and `gridless compare` reads."""

    study: str
    """Its search's or first training's study; that of its replicates is `<study>.final`."""
    model: str
    data: str
    data_source: str
    setting: dict[str, Any]
    """The setting that is trained; of a search, that of its trial 0."""
    search: SearchSettings | None = None
    """How its settings are searched; None where one is fixed."""
    evaluate: Split
    seeds: int
    epochs: int
    """Those that it trains; of a search, the most that a trial may train."""
    validation_fraction: float = 1 / 6
    published: Published | None = None
    """The document's figure, only where the data set is the document's."""
    published_epochs: int | None = None
    label: str = ""
    """Tells systems of one model apart: what differs from the document's setting."""
    note: str = ""


class Suite(Strict):
    """A resolved suite, kept in runs/<name>/suite.yaml."""

    name: str
    systems: tuple[System, ...]


def write_suite(suite: Suite, folder: Path) -> None:
    """Keep `suite` in `folder`. Raises InputError when it can't be written."""
    try:
        with whole_file(folder / "suite.yaml") as file:
            YAML(typ="safe", pure=True).dump(suite.model_dump(mode="json", exclude_none=True), file)
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error


def stored_systems(folder: Path) -> tuple[System, ...]:
    """The systems of the suite in `folder`; none without one. Raises InputError if damaged."""
    return stored_suite(folder).systems if (folder / "suite.yaml").is_file() else ()


def stored_suite(folder: Path) -> Suite:
    """The suite that was run into `folder`. Raises InputError when there is none."""
    path = folder / "suite.yaml"
    if not path.is_file():
        suites = sorted(p.parent.name for p in folder.parent.glob("*/suite.yaml"))
        raise InputError(
            f"{folder.name!r} is no suite that was run here; known: {', '.join(suites) or 'none'};"
            " `gridless bench` runs one"
        )
    try:
        return Suite.model_validate(read_settings(path))
    except ValidationError as error:
        raise InputError(
            f"{path}: is damaged ({error.error_count()} problems); run `gridless bench` again"
        ) from error
