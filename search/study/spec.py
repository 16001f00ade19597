"""What a study is: settings from YAML files and flags, checked all at once, and the resolved StudySpec."""

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from search.errors import InputError
from search.files import plain_name
from search.registry import data_folders, nearest
from search.space.space import Space
from search.space.yaml_file import read_yaml
from search.strategies import STRATEGIES
from search.study.user_code import code_difference

_FIXED = (
    "model",
    "data",
    "metric",
    "epochs",
    "seed",
    "strategy",
    "validation_fraction",
    "data_digest",
    "precision",
    "deterministic",
)
"""What a resumed study must not change; n_trials may only grow, and everything else is free."""
_LONGEST, _MOST_BYTES = 100, 200
"""Characters and bytes of a name: file systems allow 255 bytes, of which endings need some."""
_RESERVED = {"comparisons", "mlflow-artifacts"}
_NOT_NAMES = {"true", "false", "na", "nan", "null", "none", "auto"}
"""What CSV readers take for truth or for nothing, and what `--warm-start` does."""
_FLAG = {"epochs": "EPOCHS", "n_trials": "TRIALS", "timeout_s": "TIMEOUT"}
_FLAG |= {"workers": "WORKERS", "seed": "SEED", "name": "NAME"}
_RULE = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
}

DEFAULT_STRATEGY = "default"
N_REPLICATES = 3
"""Fresh seeds for each finalist unless a number is given: the fewest whose interval is of use."""
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """What a person may set about a study: the keys of studies/*.yaml and the flags of `gridless study`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    n_trials: Count = 20
    """Settings to try, the first of them the document's own."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """The most epochs that a trial may train; the space's largest by default."""
    timeout_s: Seconds | None = None
    """Wall-clock seconds after which a command pauses what runs and ends."""
    budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Compute to spend, in full trainings (epochs spent / largest total)."""
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads of one worker."""
    gpus: Annotated[str, Field(coerce_numbers_to_str=True)] = "all"
    """all, none, or a list like 0,2 of the GPUs to use."""
    trials_per_gpu: Annotated[int, Field(ge=1, le=64)] = 1
    """Trials that run on one GPU at the same time, each held to its part of the memory."""
    share_gpus: bool = False
    """Take GPUs that other commands of this machine use, too."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    strategy: str = DEFAULT_STRATEGY
    warm_start: str = "none"
    """Where starting points come from: the best settings of a study by its name, of all studies of this model in the
    storage (auto), or nowhere (none)."""
    trial_timeout_s: Seconds | None = 86_400.0
    """Hard limit on the training time of one trial, in seconds of its process's life."""
    validation_fraction: Annotated[float, Field(ge=0.01, le=0.5)] = 1 / 6
    """Part of the training images that validates: a sixth of 60,000 leaves as many as the test set has."""
    precision: Precision = "float32"
    """Keras' dtype policy: mixed_bfloat16 and mixed_float16 are faster where the hardware has them."""
    deterministic: bool = False
    """Only operations that give the same bits each time. CPUs give them anyway; on a GPU it costs speed."""
    finalists: Annotated[int, Field(ge=0, le=50)] | None = None
    """How many of the best settings are trained again after the search and scored on the test set; 0 for none, None
    for as many as about the search's own time pays for."""
    n_replicates: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Fresh seeds that each finalist is trained on; None for N_REPLICATES."""
    stop_when_flat: bool = False
    """End the search once another hour is not expected to gain more than the noise of its validation images."""

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
    def _strategy_is_known(cls, name: str) -> str:
        if name not in STRATEGIES:
            raise ValueError(nearest(name, STRATEGIES))
        return name


class Replicate(BaseModel):
    """One setting to be trained again on a fresh seed and scored once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    setting: dict[str, Any]
    seed: int
    source: int | None = None
    """The trial that it repeats; None for a setting that no trial had, such as a document's."""
    epochs: int
    """The horizon of schedules."""
    stop_at: int | None = None
    """Where training ends, if before `epochs`."""
    rates: tuple[float, ...] | None = None
    """The learning rate of each epoch as the source recorded it; None where the schedule needs no validation."""
    train_on: Literal["train", "all"]
    evaluate: Literal["test", "validation", "train"]

    @property
    def last_epoch(self) -> int:
        """The epochs that it trains."""
        return min(self.epochs, self.stop_at or self.epochs)

    @property
    def is_pilot(self) -> bool:
        """Whether it watches validation images for replicates of the same trial that have none to watch."""
        return self.source is not None and self.train_on == "train"


class StudySpec(BaseModel):
    """A resolved study: everything that decides what its trials do. Stored with the study and in study.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model: str
    data: str
    """Short name of the data set."""
    data_source: str
    """What loads it: a registered name or the path of a file."""
    metric: str = "val_accuracy"
    n_trials: int
    epochs: int
    seed: int
    strategy: str
    workers: int
    threads: int
    timeout_s: float | None
    budget: float | None
    trial_timeout_s: float | None
    validation_fraction: float
    data_digest: str
    space_digest: str
    first: tuple[dict[str, Any], ...]
    """Settings of the first trials: the document's own, those that the user asked to try, starting points."""
    warm_start: str = "none"
    """Where its starting points came from."""
    space: dict[str, Any]
    precision: Precision = "float32"
    deterministic: bool = False
    trials_per_gpu: int = 1
    finalists: int | None = 0
    """None for as many as about the search's own time pays for."""
    n_replicates: int = 5
    stop_when_flat: bool = False
    replicates: tuple[Replicate, ...] = ()
    """What a study of replicates runs, one per trial; such a study searches nothing."""
    code: dict[str, str] | None = None
    """The user's files that build its networks, with their digests; None where an older version did not record them."""

    @property
    def search_space(self) -> Space:
        """The space as an object."""
        return Space.from_dict(self.space)

    def total_epochs(self, number: int, params: Mapping[str, Any]) -> int:
        """The epochs that trial `number` with `params` may train: its own wish within the study's limit."""
        if replicate := self.replicate(number):
            return replicate.last_epoch
        return min(int(params.get("epochs", self.epochs)), self.epochs)

    def first_setting(self, number: int) -> dict[str, Any] | None:
        """The fixed setting of trial `number`, or None if the strategy chooses."""
        if replicate := self.replicate(number):
            return dict(replicate.setting)
        return dict(self.first[number]) if number < len(self.first) else None

    def replicate(self, number: int) -> Replicate | None:
        """What trial `number` repeats, or None in a study that searches."""
        return self.replicates[number] if number < len(self.replicates) else None


def name_problem(name: str) -> str | None:
    """What is wrong with `name` as a study's name, or None."""
    if not name or plain_name(name) != name or name[0] in "._-":
        return "use letters, digits, dots, dashes and underscores, beginning with a letter or digit"
    if len(name) > _LONGEST or len(name.encode()) > _MOST_BYTES:
        return f"use at most {_LONGEST} letters, {_MOST_BYTES} bytes as UTF-8; this has {len(name.encode())} bytes"
    if name in _RESERVED or name.endswith(".final"):
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
    """The keys of a studies/*.yaml file. Raises InputError when it is not a readable YAML mapping."""
    file = read_yaml(path, may_be_empty=True)
    if file.problems:
        raise InputError([f"{path}:{line}: {problem}" for line, problem in file.problems])
    return file.data


def settings_for(stem: str, flags: Mapping[str, Any]) -> tuple[Settings | None, list[str]]:
    """Settings from studies/default.yaml, then studies/<stem>.yaml, then `flags`, and every problem found.

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
    elif "ge" in context or "gt" in context:
        rule = f"must be {'at least ' + str(context['ge']) if 'ge' in context else 'more than ' + str(context['gt'])}"
    elif "le" in context or "lt" in context:
        rule = f"must be {'at most ' + str(context['le']) if 'le' in context else 'less than ' + str(context['lt'])}"
    else:
        rule = _RULE.get(kind, error["msg"])
    return f"{origin[key]}: {key} = {error['input']!r} {'is wrong: ' if kind == 'value_error' else ''}{rule}"


def check_goes_on(stored: StudySpec, wanted: StudySpec, *, other_code: bool = False) -> None:
    """Raise InputError with every difference when `wanted` can't go on with the study that `stored` describes.

    With `other_code`, the code of the model may have changed.
    """
    rule, remedy = f"study {stored.name!r} can't go on with other", "give another NAME (--name), or undo the change"
    problems = [f"{rule} settings: {line}; {remedy}; the study is untouched" for line in differences(stored, wanted)]
    if not other_code and (changes := changed_code(stored, wanted)):
        allow = "`gridless study … --allow-changed-code` goes on, and says which trials ran with what"
        problems.append(f"{rule} code of its model ({changes}); {remedy}; {allow}")
    if problems:
        raise InputError(problems)


def changed_code(stored: StudySpec, wanted: StudySpec) -> str:
    """Which files of the model's code are not what they were, in words; empty if all are, or one says nothing of it."""
    return "" if stored.code is None or wanted.code is None else code_difference(stored.code, wanted.code)


def differences(stored: StudySpec, wanted: StudySpec) -> list[str]:
    """Why `wanted` can't go on with the study that `stored` describes, one line each; empty if it can."""
    lines = []
    for key in _FIXED:
        old, new = getattr(stored, key), getattr(wanted, key)
        if old != new:
            lines.append(f"{key}: the study has {old!r}, this command asks for {new!r}")
    if stored.space_digest != wanted.space_digest:
        lines += [f"space: {line}" for line in stored.search_space.difference(wanted.search_space)]
    if stored.first != wanted.first:
        lines.append(f"first settings: the study has {list(stored.first)}, this command asks for {list(wanted.first)}")
    if lost := _replicates_lost(stored, wanted):
        lines.append(lost)
    elif wanted.n_trials < stored.n_trials:
        lines.append(f"n_trials: the study has {stored.n_trials}; it may grow but not shrink to {wanted.n_trials}")
    return lines


def _replicates_lost(stored: StudySpec, wanted: StudySpec) -> str | None:
    n = len(wanted.replicates)
    if n < len(stored.replicates) and wanted.replicates == stored.replicates[:n]:
        return f"seeds: the study has {len(stored.replicates)}; they may grow but not shrink to {n}"
    if stored.replicates != wanted.replicates[: len(stored.replicates)]:
        return "replicates: their settings, epochs or images are not those of the study"
    return None


def stored_spec_of(name: str, attrs: Mapping[str, Any]) -> StudySpec:
    """The spec among a study's attributes. Raises InputError when another version wrote it or nobody did."""
    try:
        return StudySpec(**attrs["spec"])
    except (KeyError, TypeError, ValidationError) as error:
        rule = f"study {name!r} in the storage was not made by this version of Gridless"
        raise InputError(f"{rule}; choose another NAME") from error
