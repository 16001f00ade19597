"""`gridless report` and `export`, and how the result of a study is printed."""

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from search.cli.common import command, echo
from search.cli.options import json_option
from search.cli.trackers import tell_missing

if TYPE_CHECKING:
    from search.report.study_report import Report


@click.command()
@click.argument("name")
@click.option(
    "--serve",
    "port",
    is_flag=False,
    flag_value=8321,
    type=int,
    metavar="[PORT]",
    help="Serve its page.",
)
@json_option
def report(name: str, port: int | None, as_json: bool) -> None:
    """Write leaderboard.csv, report.html and figures/ of study NAME again.

    A FILE.csv of `gridless simulate` in place of NAME gives a comparison of its strategies: FILE.md
    and FILE.html. With --serve, show the page on this machine (port 8321 unless given) and let it
    follow the study while that runs.
    """
    from search.paths import home, storage_url
    from search.report.serve import serve
    from search.report.study_report import news_of, page_of, report_study
    from search.study.storage.queue import places
    from search.study.storage.read import find_study, open_library
    from search.tracking.process import Request, bring_now

    if name.endswith(".csv"):
        from search.lab.report.comparison import strategies_report

        written = strategies_report(Path(name))
        paths = {"markdown": str(written.markdown), "page": str(written.page)}
        echo(
            json.dumps(paths)
            if as_json
            else "\n".join([written.markdown.read_text(), *paths.values()])
        )
        return
    storage = open_library(storage_url())
    if port is not None:
        find_study(storage, name)
        serve(
            lambda: page_of(storage, name),
            port,
            stamp=news_of(storage, name),
            ready=lambda address: echo(f"{address} shows {name}; Ctrl-C ends it", err=True),
        )
        return
    result = report_study(storage, name, home() / name)
    trackers = places(storage)[name].trackers or ()
    print_result(result, as_json=as_json, again=False, trackers=trackers)
    if trackers:
        log = home() / name / "logs" / "trackers.log"
        tell_missing(name, bring_now(Request(storage.url, (name,)), log))


def print_result(
    result: "Report", *, as_json: bool, again: bool, trackers: Collection[str]
) -> None:
    """Print what a report has: `again` says that the command goes on with its study."""
    from search.cli.views.console import Console
    from search.cli.views.leaderboard import finalists_table, leaderboard_table
    from search.report.text.code_changes import code_words
    from search.report.text.finalists import judgement_words

    paths = {name: str(path) for name, path in result.paths._asdict().items() if path}
    if as_json:
        echo(json.dumps({"study": result.study.name, **paths}))
        return
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(leaderboard_table(result.study))
    for sentence in result.cautions:
        console.print(f"caution: {sentence}", style="yellow", highlight=False)
    if result.judgement:
        console.print(finalists_table(result.study, result.judgement))
    for sentence in [
        *code_words(result.study),
        *(judgement_words(result.judgement) if result.judgement else ()),
    ]:
        console.print(sentence, highlight=False)
    for name, title in (("leaderboard", "leaderboard"), ("page", "report"), ("model", "model")):
        if name in paths:
            console.print(f"{title:<12} {paths[name]}", highlight=False, soft_wrap=True)
    if "model_note" in paths:
        console.print(
            f"{'' if 'model' in paths else 'model':<12} {paths['model_note']}",
            highlight=False,
            soft_wrap=True,
        )
    if "mlflow" in trackers:
        console.print(f"MLflow UI    {command('ui', result.study.name)}", highlight=False)
    if again:
        echo("the same command goes on where this one stopped", err=True)


@click.command()
@click.argument("name", metavar="STUDY")
@click.option("--format", "format_", default="csv", show_default=True, help="csv, parquet or json.")
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FOLDER", help="Where to [the study's folder]."
)
def export(name: str, format_: str, to: Path | None) -> None:
    """Write the leaderboard of STUDY for other programs, without its report, and print the file's
    path.
    """
    import search
    from search.paths import home

    study = search.load_study(name)
    echo(study.export(to or home() / study.name, format_))


COMMANDS = (report, export)
