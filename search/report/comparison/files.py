"""The files of a comparison: tables, the page, and figures for pages, papers and slides."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from plotly.offline import get_plotlyjs

from search.errors import InputError
from search.files import unwritable, write_text
from search.report.charts.drawing import Picture
from search.report.charts.paper import write_pictures
from search.report.charts.screen import as_chart
from search.report.page import jinja
from search.report.tables import to_csv


class ComparisonPaths(NamedTuple):
    """Where a comparison was written."""

    csv: Path
    markdown: Path
    latex: Path
    page: Path
    figures: Path
    """The folder of the figures."""


class Texts(NamedTuple):
    """A comparison in each of its forms."""

    markdown: str
    latex: str
    page: str


def write_files(
    folder: Path,
    frame: pd.DataFrame,
    texts: Texts,
    pictures: Sequence[Picture],
    *,
    name: str,
    about: tuple[str, str],
) -> ComparisonPaths:
    """Write comparison.{csv,md,tex,html} and figures/<key>.{html,png,svg}, each in one step.

    Older files of these names are replaced, and figures that there are none of any more removed.
    `about` are the two parts of what is compared, such as "3 systems" and "fashion". Raises
    InputError when `folder` can't be written.
    """
    names = ("comparison.csv", "comparison.md", "comparison.tex", "comparison.html", "figures")
    paths = ComparisonPaths(*(folder / name for name in names))
    subject = {"name": name, "model": about[0], "data": about[1]}
    template = jinja().get_template("figure.html.j2")
    try:
        for path, text in zip(paths, (to_csv(frame), *texts), strict=False):
            write_text(path, text)
        write_text(paths.figures / "plotly.min.js", get_plotlyjs())
        for picture in pictures:
            page = template.render(study=subject, chart=as_chart(picture))
            write_text(paths.figures / f"{picture.key}.html", page)
        write_pictures(pictures, paths.figures)
    except OSError as error:
        raise InputError(unwritable(folder, error)) from error
    return paths
