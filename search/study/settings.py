"""What a person may set about a study: each setting with its bounds, its default and its flag."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from search.bounds import bound_of, bound_text
from search.errors import InputError
from search.files import plain_name
from search.objectives import objectives_of, text_of
from search.registry import nearest
from search.space.yaml_file import typed
from search.study.tracker_choice import chosen_trackers

_LONGEST, _MOST_BYTES = 100, 200
"""Characters and bytes of a name: file systems allow 255 bytes, of which endings need some."""
FINAL = ".final"
"""What the name of a study's replicates ends with."""
_RESERVED = {"comparisons", "mlflow-artifacts", "tensorboard", "wandb"}
_NOT_NAMES = {"true", "false", "na", "nan", "null", "none", "auto"}
"""What CSV readers take for truth or for nothing, and what `--warm-start` does."""
DEFAULT_STRATEGY = "default"
DEFAULT_TRACKERS = ("mlflow",)
N_REPLICATES = 3
"""Fresh seeds for each finalist unless a number is given: the fewest whose interval is of use."""
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Trainings = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[int, Field(ge=1, le=1000)]
Processes = Annotated[int, Field(ge=1, le=1024)]
Fraction = Annotated[float, Field(ge=0.01, le=0.5)]


@dataclass(frozen=True)
class Flag:
    """How a setting is given on the command line: as `--n-trials` for `n_trials`."""

    help: str
    metavar: str | None = None
    make: str | None = None
    """The variable of `make study` that sets it, by which messages call it then."""
    of_workers: bool = False
    """Say who works, which is for every command that starts workers, and not what a study is."""


class Lasting(BaseModel):
    """Settings that a study keeps as a person gave them: its spec has each of these fields, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_trials: Annotated[
        Count,
        Flag("Settings to try in all; more than before goes on with a study.", make="TRIALS"),
    ] = 20
    seed: Annotated[Seed, Flag("Seed of the whole study.", make="SEED")] = 0
    strategy: Annotated[str, Flag("How settings are chosen and epochs shared out.")] = (
        DEFAULT_STRATEGY
    )
    objective: Annotated[
        tuple[str, ...],
        Flag(
            "What to search for: accuracy, f1_macro, log_loss, val_loss, package.module:function …"
            " [accuracy; mse for numbers]; repeatable, then also n_params, latency_ms …",
            metavar="NAME[:min|:max]",
            make="OBJECTIVE",
        ),
    ] = ()
    """A spec has the names resolved; none of them in those of earlier versions: accuracy."""
    at_most: Annotated[
        tuple[str, ...],
        Flag(
            "A bound to be kept: n_params, model_mb, latency_ms, train_s or peak_device_mb;"
            " repeatable.",
            metavar="NAME=NUMBER",
        ),
    ] = ()
    timeout_s: Annotated[
        Seconds | None,
        Flag("Pause after this many seconds; the same command goes on.", make="TIMEOUT"),
    ] = None
    budget: Annotated[Trainings | None, Flag("Compute to spend, in full trainings.")] = None
    """A full training: as many epochs as the largest total of the space."""
    trial_timeout_s: Annotated[
        Seconds | None, Flag("Fail a trial that takes more seconds [a day].")
    ] = 86_400.0
    """Hard limit on the training time of one trial, in seconds of its process's life."""
    validation_fraction: Fraction = 1 / 6
    """Part of the training images that validates: of 60,000 as many as the test set has."""
    warm_start: Annotated[
        str,
        Flag(
            "Begin with the best settings of another study, or of all.",
            metavar="STUDY|auto|none",
        ),
    ] = "none"
    """A study's name, or all studies of this model in the storage (auto), or no others (none)."""
    precision: Annotated[Precision, Flag("float32, mixed_bfloat16 or mixed_float16.")] = "float32"
    """Keras' dtype policy: mixed ones are faster where the hardware has them."""
    deterministic: Annotated[bool, Flag("Repeatable operations on GPUs, too; on CPUs all are.")] = (
        False
    )
    """Only operations that give the same bits each time; on a GPU that costs speed."""
    trials_per_gpu: Annotated[
        int, Field(ge=1, le=64), Flag("Trials on one GPU at the same time [1].", of_workers=True)
    ] = 1
    """Each is held to its part of the memory."""
    stop_when_flat: Annotated[bool, Flag("End once more promises less than noise.")] = False
    """End the search once an hour more promises less than its validation images' noise."""


class Settings(Lasting):
    """What a person may set about a study: keys of studies/*.yaml, flags of `gridless study`."""

    name: Annotated[str | None, Flag("The study's name [MODEL-DATA].", make="NAME")] = None
    epochs: Annotated[
        Epochs | None,
        Flag("The most epochs that a trial may train [the space's largest].", make="EPOCHS"),
    ] = None
    workers: Annotated[
        Processes | None,
        Flag(
            "Worker processes [one per GPU, or one per CPU core up to four].",
            make="WORKERS",
            of_workers=True,
        ),
    ] = None
    threads: Annotated[Processes | None, Flag("CPU threads per worker.", of_workers=True)] = None
    gpus: Annotated[
        str,
        Field(coerce_numbers_to_str=True),
        Flag("The GPUs to use [all that are free].", metavar="all|0,2|none", of_workers=True),
    ] = "all"
    share_gpus: Annotated[bool, Flag("Take GPUs that are in use, too.", of_workers=True)] = False
    engine_options: Annotated[
        dict[str, Any],
        Flag(
            "With --engine slurm: submitit's parameters, such as partition=gpu,timeout_min=240.",
            metavar="NAME=VALUE,…",
            of_workers=True,
        ),
    ] = {}
    """What only the engine itself understands."""
    finalists: Annotated[
        Annotated[int, Field(ge=0, le=50)] | None,
        Flag(
            "The best settings to train again and score on the test set; 0 for none [as many as the"
            " search's own time pays for, and the baseline]."
        ),
    ] = None
    n_replicates: Annotated[
        Seeds | None, Flag(f"Fresh seeds that each finalist is trained on [{N_REPLICATES}].")
    ] = None
    tracker: Annotated[
        tuple[str, ...] | None,
        Flag("Where to mirror the study; repeatable [mlflow].", metavar="NAME|none"),
    ] = None
    """Names of trackers, none of them for no mirror; None for those that the study has."""

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

    @field_validator("engine_options", mode="before")
    @classmethod
    def _engine_options_are_named(cls, options: object) -> object:
        """From the command line they come as text, where a value may hold commas, too."""
        if not isinstance(options, str):
            return options
        pairs = [pair.partition("=") for pair in re.split(r",(?=\s*[\w-]+=)", options)]
        if not all(name.strip() and equals for name, equals, _ in pairs):
            raise ValueError("write it like partition=gpu,timeout_min=240")
        return {name.strip(): typed(value.strip()) for name, _, value in pairs}

    @field_validator("objective", mode="before")
    @classmethod
    def _objective_exists(cls, given: Any) -> Any:
        texts = [given] if isinstance(given, str) else [*map(str, given or ())]
        try:
            return tuple(map(text_of, objectives_of(texts)))
        except InputError as error:
            rules = [problem.removeprefix("objective: ") for problem in error.problems]
            raise ValueError("; ".join(rules)) from error

    @field_validator("at_most", mode="before")
    @classmethod
    def _bounds_are_numbers(cls, given: Any) -> Any:
        texts = [given] if isinstance(given, str) else [*map(str, given or ())]
        bounds, problems = {}, []
        for text in texts:
            try:
                bound = bound_of(text)
            except InputError as error:
                problems += [problem.removeprefix("at_most: ") for problem in error.problems]
            else:
                bounds[bound.fact] = bound
        if problems:
            raise ValueError("; ".join(problems))
        if len(bounds) < len(texts):
            raise ValueError(f"give one bound for each, not {', '.join(texts)}")
        return tuple(bound_text(bound) for bound in bounds.values())

    @field_validator("tracker", mode="before")
    @classmethod
    def _trackers_exist(cls, given: Any) -> Any:
        if given is None:
            return None
        return chosen_trackers([given] if isinstance(given, str) else [*map(str, given)])

    @field_validator("warm_start")
    @classmethod
    def _warm_start_can_be_a_study(cls, name: str) -> str:
        if name not in {"auto", "none"} and (problem := name_problem(name)):
            raise ValueError(f"give auto, none or a study's name; {problem}")
        return name

    @field_validator("strategy")
    @classmethod
    def _strategy_exists(cls, name: str) -> str:
        # Strategies take a second to import, which `--help` need not spend.
        from search.strategies import STRATEGIES  # noqa: PLC0415

        if name not in STRATEGIES:
            raise ValueError(nearest(name, STRATEGIES))
        return name


def _flags() -> dict[str, Flag]:
    flags = {}
    for key, field in Settings.model_fields.items():
        for note in field.metadata:
            if isinstance(note, Flag):
                flags[key] = note
    return flags


FLAGS = _flags()
"""How each setting is given on the command line; the others only in studies/*.yaml."""


def option_of(key: str) -> str:
    """The option of the command line that gives the setting `key`."""
    return "--" + key.removesuffix("_s").replace("_", "-")


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
