"""A suite: systems (a model with a setting, on a data set) that are each trained on several seeds and compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML

from search.errors import InputError
from search.files import unwritable, whole_file
from search.registry import data_folders, nearest
from search.space.types import Published
from search.study.spec import Precision, name_problem, read_settings

Split = Literal["test", "validation", "train"]
Seeds = Annotated[int, Field(ge=1, le=1000)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
_FORMS = {
    "too_short": "give at least one",
    "tuple_type": "give a list of systems, each with model and data",
    "model_type": "give a mapping with model and data",
}


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Names = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
Settings = Annotated[tuple[dict[str, Any], ...], BeforeValidator(_listed), Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(_Strict):
    """Systems in a suite file: every model × data set × setting of one entry."""

    model: Names
    data: Names
    setting: Settings = ({},)
    """What differs from the document's setting."""
    evaluate: Split | None = None
    """What to score on; the published figure's own split where there is one, otherwise the test set."""
    seeds: Seeds | None = None
    epochs: Epochs | None = None
    validation_fraction: Annotated[float, Field(ge=0.01, le=0.5)] | None = None
    note: str = ""


class SuiteFile(_Strict):
    """A suite as written in studies/<name>.yaml."""

    systems: Annotated[tuple[Entry, ...], Field(min_length=1)]
    seeds: Seeds = 3
    """Replicates of each system."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    epochs: Epochs | None = None
    """The most that a system may train; the document's number by default."""
    validation_fraction: Annotated[float, Field(ge=0.01, le=0.5)] = 1 / 6
    precision: Precision = "float32"


class System(_Strict):
    """One resolved system: what `gridless bench` runs and `gridless compare` reads."""

    study: str
    """The study of its first training, where it has one; that of its replicates is `<study>.final`."""
    model: str
    data: str
    data_source: str
    setting: dict[str, Any]
    evaluate: Split
    seeds: int
    epochs: int
    validation_fraction: float = 1 / 6
    published: Published | None = None
    """The document's figure, only where the data set is the document's."""
    published_epochs: int | None = None
    label: str = ""
    """Tells systems of one model apart: what differs from the document's setting."""
    note: str = ""


class Suite(_Strict):
    """A resolved suite, kept in runs/<name>/suite.yaml."""

    name: str
    systems: tuple[System, ...]


def read_suite(name: str, flags: Mapping[str, Any]) -> SuiteFile:
    """The suite studies/<name>.yaml, or the file `name`, overlaid by `flags` that are not None.

    Raises InputError with every problem.
    """
    path = _find(name)
    given = {k: v for k, v in flags.items() if v is not None}
    raw = read_settings(path) | given
    if "seeds" in given and isinstance(raw.get("systems"), list):
        raw["systems"] = [_without(entry, "seeds") for entry in raw["systems"]]
    try:
        return SuiteFile.model_validate(raw)
    except ValidationError as error:
        # A list of which every item is wrong is not too short as well.
        found = [e for e in error.errors() if not (e["type"] == "too_short" and e["input"])]
        raise InputError([_explain(path, e) for e in found]) from error


def _without(entry: Any, key: str) -> Any:
    return {k: v for k, v in entry.items() if k != key} if isinstance(entry, dict) else entry


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"SUITE: {name}: no such file")
        return path
    files = {p.stem: p for folder in reversed(data_folders("studies")) for p in folder.glob("*.yaml")}
    suites = {stem: path for stem, path in files.items() if "systems" in read_settings(path)}
    if name not in suites:
        raise InputError(f"SUITE: {name!r} is not known; {nearest(name, suites)}, or give the path of a suite file")
    return suites[name]


def _explain(path: Path, error: Any) -> str:
    where = ".".join(str(key + 1) if isinstance(key, int) else key for key in error["loc"])
    if error["type"] == "extra_forbidden":
        known = Entry.model_fields if len(error["loc"]) > 1 else SuiteFile.model_fields
        return f"{path}: {where}: is not a key of a suite; {nearest(str(error['loc'][-1]), known)}"
    if error["type"] == "missing":
        return f"{path}: {where} is missing"
    text = _FORMS.get(error["type"], error["msg"])
    return f"{path}: {where} = {error['input']!r}: {text[:1].lower()}{text[1:]}"


def suite_name(name: str) -> str:
    """The name under which a suite file's results are kept. Raises InputError when it is no folder's name."""
    stem = Path(name).stem if name.endswith((".yaml", ".yml")) or "/" in name else name
    if problem := name_problem(stem):
        raise InputError(f"NAME: {stem!r}: {problem}")
    return stem


def write_suite(suite: Suite, folder: Path) -> None:
    """Keep `suite` in `folder`. Raises InputError when it can't be written."""
    try:
        with whole_file(folder / "suite.yaml") as file:
            YAML(typ="safe", pure=True).dump(suite.model_dump(mode="json"), file)
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error


def stored_systems(folder: Path) -> tuple[System, ...]:
    """The systems of the suite that was run into `folder`; none if there is none. Raises InputError if damaged."""
    return stored_suite(folder).systems if (folder / "suite.yaml").is_file() else ()


def stored_suite(folder: Path) -> Suite:
    """The suite that was run into `folder`. Raises InputError when there is none."""
    path = folder / "suite.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.parent.name for p in folder.parent.glob("*/suite.yaml"))) or "none"
        raise InputError(f"{folder.name!r} is no suite that was run here; known: {known}; `gridless bench` runs one")
    try:
        return Suite.model_validate(read_settings(path))
    except ValidationError as error:
        raise InputError(f"{path}: is damaged ({error.error_count()} problems); run `gridless bench` again") from error
