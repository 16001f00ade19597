"""Options that several commands have, and the records in which commands get them.

The options of a study's settings are made from the settings themselves, in search/study/settings.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from search.records import Task
from search.study.settings import FLAGS, Settings, option_of
from search.study.tracker_choice import NONE
from search.worker.engines import ENGINES

if TYPE_CHECKING:
    from search.actions.check_study import Request

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class CrewOptions:
    """What a command is told of who works, and where."""

    engine: str
    address: str | None
    settings: Mapping[str, Any]
    """Those of FLAGS that are of workers; None where not given."""


@dataclass(frozen=True)
class StudyOptions:
    """What a command is told of a study to make or to go on with."""

    model: str
    data: str
    resize: str | None
    label: str | None
    group: str | None
    time: str | None
    task: str | None
    space_file: Path | None
    tries: tuple[str, ...]
    fixes: tuple[str, ...]
    allow_changed_code: bool
    dry_run: bool
    as_json: bool
    quiet: bool
    settings: Mapping[str, Any]
    """Those of FLAGS that say what a study is; None where not given."""

    def request(self, crew: CrewOptions | None = None) -> "Request":
        """The same, to be checked."""
        from search.actions.check_study import Request
        from search.datasets import sized, with_options
        from search.datasets.options import Options

        task = None if self.task is None else Task(self.task)
        options = Options(self.label, self.group, self.time, task)
        return Request(
            self.model,
            with_options(sized(self.data, self.resize), options),
            {**self.settings, **(crew.settings if crew else {})},
            self.space_file,
            self.tries,
            self.fixes,
            crew.engine if crew else "local",
            self.allow_changed_code,
        )


def setting_option(key: str) -> Callable[[F], F]:
    """The option of the setting `key`."""
    flag = FLAGS[key]
    if Settings.model_fields[key].annotation is bool:
        return click.option(option_of(key), key, is_flag=True, default=None, help=flag.help)
    is_many = "tuple" in str(Settings.model_fields[key].annotation)
    return click.option(option_of(key), key, metavar=flag.metavar, help=flag.help, multiple=is_many)


def given_trackers(names: Sequence[str], no_mlflow: bool) -> tuple[str, ...] | None:
    """What `--tracker` and `--no-mlflow` say together; None where neither was given."""
    return (*names, *([NONE] if no_mlflow else [])) or None


def _keys(*first: str, of_workers: bool) -> list[str]:
    """The settings that are of workers, or are not: `first`, then the rest as Settings has them."""
    keys = [key for key, flag in FLAGS.items() if flag.of_workers is of_workers]
    return list(dict.fromkeys((*first, *keys)))


def _giving(
    record: type[StudyOptions] | type[CrewOptions],
    settings: Sequence[str],
    *decorators: Callable[[Any], Any],
) -> Callable[[F], F]:
    """A decorator that adds `decorators` to a command, and gives it a `record` of what they parse.

    What belongs to `settings` goes into the record's `settings`.
    """

    def decorate(command: Any) -> Any:
        @functools.wraps(command)
        def call(*records: Any, **values: Any) -> Any:
            names = {field.name for field in fields(record)} - {"settings"}
            content: dict[str, Any] = {name: values.pop(name) for name in names}
            # Options that may be repeated come as empty where they are not given.
            given = {key: values.pop(key) for key in settings}
            content["settings"] = {k: None if value == () else value for k, value in given.items()}
            if "tracker" in settings:
                tracker = given_trackers(given["tracker"], values.pop("no_mlflow"))
                content["settings"]["tracker"] = tracker
            return command(*records, record(**content), **values)

        decorated: Any = call
        for decorator in reversed(decorators):
            decorated = decorator(decorated)
        return decorated

    return decorate


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
quiet_option = click.option("--quiet", is_flag=True, help="No progress.")
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Check everything and show what would be done."
)
resize_option = click.option(
    "--resize",
    metavar="WIDTHxHEIGHT",
    help="Bring all images to one size, such as 64x64; the same as DATA@64x64.",
)
_data_options = (
    resize_option,
    click.option("--label", metavar="COLUMN", help="Of a table: the column to predict."),
    click.option("--group", metavar="COLUMN", help="Of a table: rows of a group stay together."),
    click.option("--time", metavar="COLUMN", help="Of a table: the latest rows are tested on."),
    click.option(
        "--task",
        type=click.Choice([task.value for task in Task]),
        help="Of a file: what targets are [told from them].",
    ),
)
_STUDY_SETTINGS = _keys(
    "n_trials", "epochs", "timeout_s", "trial_timeout_s", "budget", "seed", "name", of_workers=False
)
no_mlflow_option = click.option("--no-mlflow", is_flag=True, help=f"The same as --tracker {NONE}.")
_CREW_SETTINGS = _keys("workers", "threads", "gpus", of_workers=True)

study_options = _giving(
    StudyOptions,
    _STUDY_SETTINGS,
    click.argument("model"),
    click.argument("data"),
    *(setting_option(key) for key in _STUDY_SETTINGS),
    *_data_options,
    click.option(
        "--space",
        "space_file",
        type=click.Path(path_type=Path),
        help="A space file [spaces/MODEL.yaml].",
    ),
    click.option(
        "--try",
        "tries",
        multiple=True,
        metavar="NAME=VALUE,…",
        help="Run this setting first; repeatable.",
    ),
    click.option(
        "--fix", "fixes", multiple=True, metavar="NAME=VALUE", help="Pin a parameter; repeatable."
    ),
    click.option(
        "--allow-changed-code",
        is_flag=True,
        help="Go on though the model's own files have changed.",
    ),
    no_mlflow_option,
    dry_run_option,
    json_option,
    quiet_option,
)
"""What a study is: gives the command StudyOptions."""

crew_options = _giving(
    CrewOptions,
    _CREW_SETTINGS,
    *(setting_option(key) for key in _CREW_SETTINGS),
    click.option(
        "--engine",
        type=click.Choice(list(ENGINES)),
        default="local",
        help="Where workers run [local].",
    ),
    click.option("--address", help="With --engine ray: the cluster's head, or auto."),
)
"""Who works on it, and where: gives the command CrewOptions, after StudyOptions."""
