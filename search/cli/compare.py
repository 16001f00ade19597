"""`gridless compare`, and how a comparison is printed."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from search.cli.common import echo

_EPILOG = """\b
Examples:
  gridless compare quick                    # a suite that was run
  gridless compare mlp-fashion convNN-fashion lenet5-mnist --out paper
  gridless compare mlp-digits convNN_1-digits --json
"""


@click.command(epilog=_EPILOG)
@click.argument("names", nargs=-1, required=True, metavar="STUDY…|SUITE")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to [the suite's folder, or one in runs/comparisons].",
)
@click.option("--json", "as_json", is_flag=True, help="Print paths and rows as JSON.")
def compare(names: tuple[str, ...], out: Path | None, as_json: bool) -> int:
    """Write the comparison of several studies, or of a SUITE that was run, as CSV, Markdown, LaTeX,
    HTML and figures.

    Studies are compared by the setting that each search chose, trained again and scored on the test
    set; they must have been made on the same images and split. Systems of a suite under fixed
    settings are held against their documents' figures. It reads what is stored and trains nothing.
    """
    return print_comparison(names, out, as_json=as_json)


def print_comparison(names: Sequence[str], out: Path | None, *, as_json: bool) -> int:
    """Write the comparison of `names`, print it and where it is; the exit code."""
    from search.actions.compare import compare_names

    compared = compare_names(names, out)
    code = 0 if compared.has_values else 1
    paths = {name: str(path) for name, path in compared.paths._asdict().items()}
    if as_json:
        echo(json.dumps({**paths, "rows": compared.rows}, ensure_ascii=False))
        return code
    from search.cli.views.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(
        compared.paths.markdown.read_text(encoding="utf-8"),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for name, path in paths.items():
        console.print(f"{name:<9} {path}", highlight=False, soft_wrap=True)
    return code


COMMANDS = (compare,)
