"""`gridless sync`, `register` and `ui`: what trackers have of the studies."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from search.cli.common import command, echo
from search.errors import InputError

if TYPE_CHECKING:
    from search.study.storage.optuna_storage import LedgerStorage
    from search.tracking.follow import Finished
    from search.tracking.mlflow.pages import Experiment

_TITLES = {"mlflow": "MLflow", "tensorboard": "TensorBoard", "wandb": "Weights & Biases"}


def title(tracker: str) -> str:
    """The name of a tracker, for people."""
    return _TITLES.get(tracker, tracker)


def tell_missing(study: str, finished: "Mapping[str, Finished] | None") -> None:
    """Say where `study` is to be seen, and which trackers have not everything of it yet."""
    remedy = f"`{command('sync', study)}` brings the rest"
    if finished is None:
        echo(f"note: the mirror did not end in time; {remedy}", err=True)
        return
    for tracker, result in finished.items():
        if result.link:
            echo(f"{title(tracker):<12} {result.link}", err=True)
        if result.left or result.error:
            why = f" ({result.error})" if result.error else ""
            echo(f"note: {title(tracker)} has not everything yet{why}; {remedy}", err=True)


@click.command()
@click.argument("name", metavar="STUDY", required=False)
def sync(name: str | None) -> int:
    """Bring to their trackers what these lack of STUDY and its finalists, or of all studies."""
    from search.files import last_line
    from search.paths import home, storage_url
    from search.study.storage.read import open_library
    from search.tracking.process import Request, bring_now
    from search.words import count, listing

    storage = open_library(storage_url())
    if name is not None:
        _check_tracked(storage, name)
    echo("bringing what is missing …", err=True)
    request = Request(storage.url, None if name is None else (name,), is_thorough=name is not None)
    log = home() / "logs" / "trackers.log"
    finished = bring_now(request, log)
    if finished is None:
        echo(f"error: nothing was brought; the last words in {log}: {last_line(log)}", err=True)
        return 1
    for tracker, result in finished.items():
        left = listing(list(result.left)) or "nothing"
        done = "went through" if name else "brought"
        echo(f"{title(tracker)}: {done} {count(result.n_sent, 'trial')}; {left} is missing")
        if result.error:
            echo(f"error: not everything arrived in {title(tracker)}: {result.error}", err=True)
    return 1 if any(result.left or result.error for result in finished.values()) else 0


@click.command()
@click.argument("name")
def register(name: str) -> int:
    """Make the network of study NAME's best finalist the model that MLflow serves as
    models:/NAME@champion.
    """
    from search.paths import storage_url
    from search.study.storage.read import open_library, read_study
    from search.tracking.mlflow.register import registered

    storage = open_library(storage_url())
    _check_tracked(storage, name)
    study = read_study(storage, name, with_trials=False)
    echo("loading the network and MLflow …", err=True)
    version, trouble = registered(study)
    echo(
        f"error: {trouble}" if trouble else f"models:/{name}@champion is version {version}",
        err=bool(trouble),
    )
    return 1 if trouble else 0


@click.command()
@click.argument("name", metavar="STUDY", required=False)
@click.option("--port", default=5000, show_default=True, help="Port on this machine.")
def ui(name: str | None, port: int) -> int:
    """Open the MLflow UI on what was tracked here, at the runs of STUDY if one is named."""
    from search.paths import home
    from search.tracking.mlflow.pages import (
        charts_page,
        comparison_page,
        page_address,
        server,
        study_page,
    )
    from search.tracking.uri import default_uri, is_remote

    uri = default_uri(home())
    if is_remote(uri):
        address = page_address(uri)
        echo(study_page(address, _experiment(uri, name).id) if name else address)
        return 0
    with server(uri, port) as running:
        page = address = running.address
        if name:
            experiment = _experiment(uri, name)
            page = study_page(address, experiment.id)
            echo(f"charts          {charts_page(address, experiment)}")
            echo(f"the best five   {comparison_page(address, experiment)}")
        echo(f"{'trials' if name else 'MLflow':<15} {page}")
        click.launch(page)
        return running.wait()


def _check_tracked(storage: "LedgerStorage", study: str) -> None:
    """Raise InputError where `study` is not there, or was not to be mirrored."""
    from search.study.storage.queue import places
    from search.study.storage.read import find_study

    find_study(storage, study)
    if places(storage)[study].trackers == ():
        rule = f"study {study!r} has no tracker, as one that ran with --no-mlflow"
        raise InputError(f"{rule}; the same command with --tracker mlflow gives it one")


def _experiment(uri: str, study: str) -> "Experiment":
    """A study's experiment, whose view of the trials is there.

    Raises InputError without one, StudyError when MLflow can't be asked.
    """
    from search.tracking.mlflow.pages import experiment_of

    experiment = experiment_of(uri, study)
    if experiment is None:
        rule = f"MLflow has no study {study!r}, or one that an earlier version brought"
        raise InputError(f"{rule}; check the name, or `{command('sync', study)}`")
    return experiment


COMMANDS = (sync, register, ui)
