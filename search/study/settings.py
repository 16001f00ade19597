"""What a person may set about a study, in studies/*.yaml and by flags, checked at once."""

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from search.errors import InputError
from search.files import plain_name
from search.registry import data_folders, nearest
from search.space.yaml_file import read_yaml
from search.strategies import STRATEGIES

_LONGEST, _MOST_BYTES = 100, 200
"""Characters and bytes of a name: file systems allow 255 bytes, of which endings need some."""
FINAL = ".final"
"""What the name of a study's replicates ends with."""
_RESERVED = {"comparisons", "mlflow-artifacts"}
_NOT_NAMES = {"true", "false", "na", "nan", "null", "none", "auto"}
"""What CSV readers take for truth or for nothing, and what `--warm-start` does."""
_FLAG = {
    "epochs": "EPOCHS",
    "n_trials": "TRIALS",
    "timeout_s": "TIMEOUT",
    "workers": "WORKERS",
    "seed": "SEED",
    "name": "NAME",
}
"""How messages name what `make study` may set."""
_RULE = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
}
_BOUND = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
DEFAULT_STRATEGY = "default"
N_REPLICATES = 3
"""Fresh seeds for each finalist unless a number is given: the fewest whose interval is of use."""
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Trainings = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[int, Field(ge=1, le=1000)]
Fraction = Annotated[float, Field(ge=0.01, le=0.5)]


class Lasting(BaseModel):
    """Settings that a study keeps as a person gave them: its spec has each of these fields, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_trials: Count = 20
    """Settings to try, the first of them the document's own."""
    seed: Seed = 0
    strategy: str = DEFAULT_STRATEGY
    timeout_s: Seconds | None = None
    """Wall-clock seconds after which a command pauses what runs and ends."""
    budget: Trainings | None = None
    """Compute to spend, in full trainings (epochs spent / largest total)."""
    trial_timeout_s: Seconds | None = 86_400.0
    """Hard limit on the training time of one trial, in seconds of its process's life."""
    validation_fraction: Fraction = 1 / 6
    """Part of the training images that validates: of 60,000 as many as the test set has."""
    warm_start: str = "none"
    """Where starting points come from: the best settings of a study by its name, of all studies of
    this model in the storage (auto), or nowhere (none).
    """
    precision: Precision = "float32"
    """Keras' dtype policy: mixed ones are faster where the hardware has them."""
    deterministic: bool = False
    """Only operations that give the same bits each time; on a GPU that costs speed."""
    trials_per_gpu: Annotated[int, Field(ge=1, le=64)] = 1
    """Trials that run on one GPU at the same time, each held to its part of the memory."""
    stop_when_flat: bool = False
    """End the search once an hour more promises less than its validation images' noise."""


class Settings(Lasting):
    """What a person may set about a study: keys of studies/*.yaml, flags of `gridless study`."""

    name: str | None = None
    epochs: Epochs | None = None
    """The most epochs that a trial may train; the space's largest by default."""
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads of one worker."""
    gpus: Annotated[str, Field(coerce_numbers_to_str=True)] = "all"
    """all, none, or a list like 0,2 of the GPUs to use."""
    share_gpus: bool = False
    """Take GPUs that other commands of this machine use, too."""
    finalists: Annotated[int, Field(ge=0, le=50)] | None = None
    """How many of the best settings are trained again after the search and scored on the test set;
    0 for none, None for as many as about the search's own time pays for.
    """
    n_replicates: Seeds | None = None
    """Fresh seeds that each finalist is trained on; None for N_REPLICATES."""

    @property
    def lasting(self) -> dict[str, Any]:
        """Those that a study keeps as they are."""
        return self.model_dump(include=set(Lasting.model_fields))

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str | None) -> str | None:
        name = name and unicodedata.normalize("NFC", name)
        if name is not None and (problem := name_problem(name)):
            raise ValueError(problem)
        return name

    @field_validator("warm_start")
    @classmethod
    def _warm_start_can_be_a_study(cls, name: str) -> str:
        if name not in {"auto", "none"} and (problem := name_problem(name)):
            raise ValueError(f"give auto, none or a study's name; {problem}")
        return name

    @field_validator("strategy")
    @classmethod
    def _strategy_exists(cls, name: str) -> str:
        if name not in STRATEGIES:
            raise ValueError(nearest(name, STRATEGIES))
        return name


def name_problem(name: str) -> str | None:
    """What is wrong with `name` as a study's name, or None."""
    if not name or plain_name(name) != name or name[0] in "._-":
        return "use letters, digits, dots, dashes and underscores, beginning with a letter or digit"
    if len(name) > _LONGEST or len(name.encode()) > _MOST_BYTES:
        return (
            f"use at most {_LONGEST} letters, {_MOST_BYTES} bytes as UTF-8; this has"
            f" {len(name.encode())} bytes"
        )
    if name in _RESERVED or name.endswith(FINAL):
        return "this name is kept for the program's own files; choose another"
    if name.lower() in _NOT_NAMES or _is_number(name):
        return "tables would read it as a value, not as text; add a word to it"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_settings(path: Path) -> dict[str, Any]:
    """The keys of a studies/*.yaml file. Raises InputError if it is no YAML mapping."""
    file = read_yaml(path, may_be_empty=True)
    if file.problems:
        raise InputError([f"{path}:{line}: {problem}" for line, problem in file.problems])
    return file.data


def settings_for(stem: str, flags: Mapping[str, Any]) -> tuple[Settings | None, list[str]]:
    """Settings from studies/default.yaml, then studies/<stem>.yaml, then `flags`, and every problem
    found.

    The settings are None exactly when there are problems.
    """
    problems: list[str] = []
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for file in (_settings_file("default"), _settings_file(stem)):
        try:
            content = read_settings(file) if file else {}
        except InputError as error:
            problems += error.problems
            continue
        merged |= content
        origin |= {key: str(file) for key in content}
    given = {k: v for k, v in flags.items() if v is not None}
    merged |= given
    origin |= {k: _FLAG.get(k, "--" + k.removesuffix("_s").replace("_", "-")) for k in given}
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        problems += [_explain(e, origin) for e in error.errors()]
    return (None, problems) if problems else (settings, [])


def _settings_file(stem: str) -> Path | None:
    return next((p for f in data_folders("studies") if (p := f / f"{stem}.yaml").is_file()), None)


def _explain(error: Any, origin: Mapping[str, str]) -> str:
    key = str(error["loc"][0])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{origin[key]}: {key!r} is not a setting; {nearest(key, Settings.model_fields)}"
    if kind == "value_error":
        rule = str(context["error"])
    else:
        bounds = [
            f"must be {words} {context[end]}" for end, words in _BOUND.items() if end in context
        ]
        rule = bounds[0] if bounds else _RULE.get(kind, error["msg"])
    return (
        f"{origin[key]}: {key} = {error['input']!r}"
        f" {'is wrong: ' if kind == 'value_error' else ''}{rule}"
    )
