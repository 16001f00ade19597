"""A suite as a person writes it: entries of models, data and settings, read and checked."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from search.errors import InputError
from search.registry import data_folders, nearest
from search.strategies import STRATEGIES
from search.study.read_settings import read_settings
from search.study.settings import (
    Count,
    Epochs,
    Fraction,
    Precision,
    Seconds,
    Seed,
    Seeds,
    Trainings,
    name_problem,
)
from search.study.spec import Split

_FORMS = {
    "too_short": "give at least one",
    "tuple_type": "give a list of systems, each with model and data",
    "model_type": "give a mapping with model and data",
}


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _existing_strategy(name: str) -> str:
    if name not in STRATEGIES:
        raise ValueError(nearest(name, STRATEGIES))
    return name


Names = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
SettingList = Annotated[tuple[dict[str, Any], ...], BeforeValidator(_listed), Field(min_length=1)]


class Strict(BaseModel):
    """What has these keys and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SearchSettings(Strict):
    """How a suite searches, by a study's settings. The rest is as in studies/default.yaml.

    What systems must share to be comparable (seed, validation_fraction, precision) are keys of the
    suite itself, and workers are the command's.
    """

    n_trials: Count | None = None
    epochs: Epochs | None = None
    """The most that a trial may train; the smallest counts of this, the entry's and the suite's."""
    budget: Trainings | None = None
    """In full trainings."""
    timeout_s: Seconds | None = None
    """Such searches run one after another, so that each has its time."""
    trial_timeout_s: Seconds | None = None
    strategy: Annotated[str, AfterValidator(_existing_strategy)] | None = None
    finalists: Annotated[int, Field(ge=1, le=50)] | None = None
    """At least one: finalists are what is compared."""
    n_replicates: Seeds | None = None
    """Seeds of each finalist; the entry's or the suite's `seeds` by default."""
    stop_when_flat: bool | None = None

    def over(self, other: "SearchSettings | None") -> "SearchSettings":
        """This, and from `other` what this leaves out."""
        return (other or SearchSettings()).model_copy(update=self.model_dump(exclude_none=True))


class Entry(Strict):
    """Systems in a suite file: every model × data set × setting of one entry."""

    model: Names
    data: Names
    setting: SettingList = ({},)
    """What differs from the document's setting; in a search, what is pinned."""
    search: SearchSettings | None = None
    """Search each of them; over the suite's own."""
    evaluate: Split | None = None
    """What to score on; by default the published figure's split, or the test set."""
    seeds: Seeds | None = None
    epochs: Epochs | None = None
    validation_fraction: Fraction | None = None
    note: str = ""


class SuiteFile(Strict):
    """A suite as written in studies/<name>.yaml."""

    systems: Annotated[tuple[Entry, ...], Field(min_length=1)]
    search: SearchSettings | None = None
    """Search every system."""
    seeds: Seeds = 3
    """Replicates of each system, or of each finalist."""
    seed: Seed = 0
    epochs: Epochs | None = None
    """The most that a system may train; the document's number by default."""
    validation_fraction: Fraction = 1 / 6
    precision: Precision = "float32"


def read_suite(name: str, flags: Mapping[str, Any]) -> SuiteFile:
    """The suite studies/<name>.yaml, or the file `name`, overlaid by `flags` that are not None.

    Raises InputError with every problem.
    """
    path = _find(name)
    given = {k: v for k, v in flags.items() if v is not None}
    raw = read_settings(path) | given
    if "seeds" in given:
        raw = _without_seeds(raw)
        if isinstance(raw.get("systems"), list):
            raw["systems"] = [_without_seeds(_without(entry, "seeds")) for entry in raw["systems"]]
    try:
        return SuiteFile.model_validate(raw)
    except ValidationError as error:
        # A list of which every item is wrong is not too short as well.
        errors = [e for e in error.errors() if not (e["type"] == "too_short" and e["input"])]
        raise InputError([_explain(path, e) for e in errors]) from error


def _without(entry: Any, key: str) -> Any:
    return {k: v for k, v in entry.items() if k != key} if isinstance(entry, dict) else entry


def _without_seeds(owner: Any) -> Any:
    """The suite or one of its entries without the seeds that its search gives by another name."""
    if not isinstance(owner, dict) or "search" not in owner:
        return owner
    return owner | {"search": _without(owner["search"], "n_replicates")}


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"SUITE: {name}: no such file")
        return path
    files: dict[str, Path] = {}
    for folder in reversed(data_folders("studies")):
        files |= {path.stem: path for path in folder.glob("*.yaml")}
    suites = {stem: path for stem, path in files.items() if "systems" in read_settings(path)}
    if name not in suites:
        raise InputError(
            f"SUITE: {name!r} is not known; {nearest(name, suites)}, or give the path of a suite"
            " file"
        )
    return suites[name]


def _explain(path: Path, error: Any) -> str:
    where = ".".join(str(key + 1) if isinstance(key, int) else key for key in error["loc"])
    if error["type"] == "extra_forbidden":
        owner, keys = _keys_at(error["loc"])
        return f"{path}: {where}: is not a key of {owner}; {nearest(str(error['loc'][-1]), keys)}"
    if error["type"] == "missing":
        return f"{path}: {where} is missing"
    text = _FORMS.get(error["type"], error["msg"])
    if error["type"] == "model_type" and error["loc"][-1] == "search":
        text = "give a mapping like {n_trials: 8}"
    return f"{path}: {where} = {error['input']!r}: {text[:1].lower()}{text[1:]}"


def _keys_at(loc: tuple[str | int, ...]) -> tuple[str, Iterable[str]]:
    """What has the key at `loc`, for people, and which keys that may have."""
    if loc[-2:-1] == ("search",):
        return "a suite's search", SearchSettings.model_fields
    owner = Entry if len(loc) > 1 else SuiteFile
    return "a suite", owner.model_fields


def suite_name(name: str) -> str:
    """The name that a suite's results are kept by. Raises InputError if it is no folder's."""
    stem = Path(name).stem if name.endswith((".yaml", ".yml")) or "/" in name else name
    if problem := name_problem(stem):
        raise InputError(f"NAME: {stem!r}: {problem}")
    return stem
