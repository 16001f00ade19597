"""`gridless delete` and `archive`: what takes a study away."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.cli.common import echo
from search.errors import InputError
from search.secret import masked

if TYPE_CHECKING:
    from search.study.storage.optuna_storage import LedgerStorage
    from search.study.storage.removal_plan import Removal

_DELETE_EPILOG = """\b
Examples:
  gridless delete mlp-digits --dry-run      # what would go, and the disk that it takes
  gridless delete mlp-digits --yes --mlflow
"""
_ARCHIVE_EPILOG = """\b
Examples:
  gridless archive mlp-digits                        # runs/mlp-digits.tar.gz
  gridless archive mlp-digits --to backup/mlp.tar.gz --keep
"""
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command(epilog=_DELETE_EPILOG)
@click.argument("name", metavar="STUDY")
@_yes
@click.option("--dry-run", is_flag=True, help="Show what would be deleted.")
@click.option(
    "--mlflow", is_flag=True, help="Delete its runs in MLflow, too; `mlflow gc` frees their disk."
)
@_json
def delete(name: str, yes: bool, dry_run: bool, mlflow: bool, as_json: bool) -> int:
    """Delete STUDY with its finalists: trials, report, network, checkpoints, and data that no other
    study uses.

    It is refused while workers train trials of it. Whatever interrupts it, the same command goes
    on.
    """
    storage, removal = _plan(name)
    if dry_run or not as_json:
        _show(storage, removal, mlflow=mlflow, as_json=as_json)
    if dry_run:
        return 0
    if not _agreed(f"Delete {name}?", yes):
        return 1
    n_runs, kept = _remove(storage, removal, mlflow=mlflow)
    freed_mb = removal.freed_without(kept)
    if as_json:
        echo(
            json.dumps(
                {
                    "deleted": name,
                    "freed_mb": round(freed_mb, 2),
                    "n_mlflow_runs": n_runs,
                    "kept": kept,
                }
            )
        )
    else:
        mirrored = f"; runs marked as deleted in MLflow: {n_runs}" if mlflow else ""
        echo(f"{name} is deleted, {freed_mb:.1f} MB freed{mirrored}")
    _tell_kept(kept)
    return 0


@click.command(epilog=_ARCHIVE_EPILOG)
@click.argument("name", metavar="STUDY")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FILE.tar.gz",
    help="Where to [STUDY.tar.gz in runs/].",
)
@click.option("--keep", is_flag=True, help="Delete nothing.")
@_yes
@_json
def archive(name: str, to: Path | None, keep: bool, yes: bool, as_json: bool) -> int:
    """Pack STUDY with its finalists into one file, check that file, and delete the study as
    `delete` does.

    The file holds the report, leaderboard, figures, evidence, network, and all that is stored of
    every trial: `search.load_study("FILE.tar.gz")` reads it, as `gridless report` would write it
    now. Checkpoints and logs are not kept, so the study can't go on.
    """
    from search.paths import home
    from search.report.study_report import report_study
    from search.retry_limits import grace_s
    from search.study.storage.archive import write_archive
    from search.study.storage.removal import put_back, remove, take_off

    storage, removal = _plan(name)
    path = _target(removal, to)
    if not keep and not as_json:
        _show(storage, removal, mlflow=False, as_json=False)
    if not keep and not _agreed(f"Pack {name} into {path}, and delete the rest?", yes):
        return 1
    places = (
        {} if keep else take_off(storage, removal, grace_s=grace_s(), reason="it is being archived")
    )
    try:
        if name in removal.n_trials and not path.exists():
            report_study(
                storage, name, home() / name
            )  # what lies there may be older than the study's end
        n_bytes = write_archive(storage, removal.studies, path)
    except BaseException:
        put_back(storage, places)
        raise
    kept = [] if keep else remove(storage, removal)
    size_mb = n_bytes / 2**20
    freed_mb = 0.0 if keep else removal.freed_without(kept)
    if as_json:
        archived = {
            "archived": name,
            "file": str(path),
            "size_mb": round(size_mb, 2),
            "freed_mb": round(freed_mb, 2),
        }
        echo(json.dumps(archived))
    else:
        echo(
            f"{name} is in {path}, {size_mb:.1f} MB"
            + ("" if keep else f"; {freed_mb:.1f} MB freed")
        )
    _tell_kept(kept)
    return 0


def _plan(name: str) -> "tuple[LedgerStorage, Removal]":
    from search.paths import storage_url
    from search.retry_limits import grace_s
    from search.study.storage.read import check_name, open_library
    from search.study.storage.removal_plan import plan_removal

    check_name(name)
    storage = open_library(storage_url())
    return storage, plan_removal(storage, name, grace_s=grace_s())


def _tell_kept(kept: Sequence[str]) -> None:
    for place in kept:
        echo(f"note: {place} stays: another study or command uses this data", err=True)


def _remove(storage: "LedgerStorage", removal: "Removal", *, mlflow: bool) -> tuple[int, list[str]]:
    """Delete the study; how many of MLflow's runs were marked, and which prepared data stays."""
    from search.paths import home
    from search.retry_limits import grace_s
    from search.study.storage.removal import remove, take_off
    from search.tracking.mlflow.forget import forget
    from search.tracking.uri import default_uri

    take_off(storage, removal, grace_s=grace_s())
    n_runs = (
        sum(forget(default_uri(home()), s.name, s.uid) for s in removal.studies) if mlflow else 0
    )
    return n_runs, remove(storage, removal)


def _show(storage: "LedgerStorage", removal: "Removal", *, mlflow: bool, as_json: bool) -> None:
    """What goes, and what stays."""
    from search.words import count

    stays = _stays(removal, mlflow=mlflow)
    if as_json:
        plan = {
            "study": removal.name,
            "n_trials": dict(removal.n_trials),
            "storage": masked(storage.url),
        }
        sizes = {masked(place): round(n / 2**20, 2) for place, n in removal.places.items()}
        echo(
            json.dumps(
                plan | {"mb": sizes, "frees_mb": round(removal.freed_mb, 2), "stays": stays},
                indent=1,
            )
        )
        return
    for study, n in removal.n_trials.items():
        echo(f"{study}: {count(n, 'trial')} in {masked(storage.url)}")
    for place, n in removal.places.items():
        echo(f"{n / 2**20:10.1f} MB  {masked(place)}")
    echo(f"{removal.freed_mb:10.1f} MB  are freed")
    for text in stays:
        echo(f"stays: {text}")


def _stays(removal: "Removal", *, mlflow: bool) -> list[str]:
    from search.paths import cache, home
    from search.tracking.mlflow.forget import has_store
    from search.tracking.uri import default_uri

    names = []
    if has_store(uri := default_uri(home())):
        which = "files and registered models" if mlflow else "runs, files and registered models"
        how = "`mlflow gc` removes the files" if mlflow else "--mlflow deletes the runs"
        names.append(f"MLflow's {which} of experiment {removal.name} at {masked(uri)}; {how}")
    if any(cache().glob("features-*.npy")):
        names.append(
            f"features of frozen networks in {cache()}, which studies share; they can be removed at"
            " any time"
        )
    return names


def _agreed(question: str, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError(
            "this deletes a study, and nobody can be asked here; add --yes, or see --help for how"
            " to look"
        )
    return click.confirm(question, err=True)


def _target(removal: "Removal", to: Path | None) -> Path:
    """Where the archive goes. Raises InputError with every problem."""
    from search.paths import home
    from search.study.storage.archive import SUFFIXES

    path = (to or home() / f"{removal.name}.tar.gz").expanduser().absolute()
    problems = []
    if not path.name.endswith(SUFFIXES) or path.is_dir():
        problems.append(f"--to: {path} must be the name of a file that ends in .tar.gz")
    if any(
        path.resolve().is_relative_to(Path(place).resolve())
        for place in removal.places
        if "://" not in place
    ):
        problems.append(f"--to: {path} is in a folder that will be deleted; name another")
    if problems:
        raise InputError(problems)
    return path


COMMANDS = (delete, archive)
