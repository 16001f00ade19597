"""`gridless import`: finished trials of other programs, as a study."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.cli.common import echo, sayer
from search.cli.options import json_option, quiet_option, resize_option

if TYPE_CHECKING:
    from search.actions.importing.rows import Past
    from search.actions.importing.store import Imported

_EPILOG = """\b
Examples:
  gridless import untitled_project --into old --model hypers:build --data fashion
  gridless import results.csv --into grid --model convNN --data fashion --rename model__width=units
  gridless import 'optuna:sqlite:///other.db#first' --into first --model mlp --data digits
  gridless import other.db --study first --into first --model mlp --data digits
"""
_MAX_SHOWN = 20


@click.command("import", epilog=_EPILOG)
@click.argument("source")
@click.option(
    "--into", required=True, metavar="STUDY", help="A name of its own, or one imported before."
)
@click.option("--model", help="The model that its trials are of; needed once.")
@click.option("--data", help="The data set that they were trained on; needed once.")
@resize_option
@click.option(
    "--space",
    "space_file",
    type=click.Path(path_type=Path),
    help="A space file [spaces/MODEL.yaml].",
)
@click.option("--study", metavar="NAME", help="Which of the studies in a database of Optuna's.")
@click.option(
    "--rename",
    "renames",
    multiple=True,
    metavar="THEIRS=OURS",
    help="What a parameter is called here.",
)
@json_option
@quiet_option
def import_(
    source: str,
    into: str,
    model: str | None,
    data: str | None,
    resize: str | None,
    space_file: Path | None,
    study: str | None,
    renames: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Bring finished trials of another program into STUDY, as past trials, each with where it came
    from.

    SOURCE is a project folder of KerasTuner, GridSearchCV's cv_results_ as .csv or .json, another
    study of Optuna's (optuna:URL#study, or a .db file), or a .csv with the columns val_accuracy and
    param.*. What does not fit is listed with the reason, also in runs/STUDY/import-rejected.csv.
    Doing it again adds nothing twice.
    """
    from search.actions.importing.command import ImportRequest, import_past
    from search.datasets import sized
    from search.words import count

    request = ImportRequest(
        source, into, model, data and sized(data, resize), space_file, study, renames
    )
    past, imported = import_past(request, sayer(quiet))
    _tell(into, past, imported)
    if as_json:
        echo(json.dumps(_as_dict(into, past, imported)))
    else:
        already = f", {imported.n_known} were there already" if imported.n_known else ""
        verb = "does" if len(imported.rejected) == 1 else "do"
        left_out = f", {len(imported.rejected)} {verb} not fit" if imported.rejected else ""
        echo(
            f"{into}: {count(imported.n_new, 'trial')} from {past.kind} came in{already}{left_out}"
        )
    return 0 if imported.n_new or imported.n_known else 1


def _tell(into: str, past: "Past", imported: "Imported") -> None:
    """What did not fit, and what was taken for granted."""
    from search.actions.importing.command import REJECTED
    from search.paths import home

    for row, reason in imported.rejected[:_MAX_SHOWN]:
        echo(f"row {row} of {past.place} was left out: {reason}", err=True)
    if imported.rejected:
        more = len(imported.rejected) - _MAX_SHOWN
        echo(f"{f'{more} more, ' if more > 0 else ''}all in {home() / into / REJECTED}", err=True)
    if imported.assumed:
        values = ", ".join(f"{name}={value}" for name, value in imported.assumed.items())
        echo(
            f"note: the source says nothing of {values}: these are the document's values", err=True
        )


def _as_dict(into: str, past: "Past", imported: "Imported") -> dict[str, object]:
    return {
        "study": into,
        "source": {"kind": past.kind, "place": past.place},
        "n_new": imported.n_new,
        "n_known": imported.n_known,
        "rejected": [r._asdict() for r in imported.rejected],
        "assumed": dict(imported.assumed),
    }


COMMANDS = (import_,)
