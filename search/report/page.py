"""The page, one HTML file with everything in it, and a small page per figure."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import plotly.io
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.files import write_text
from search.records import StudyRecord
from search.report.charts.chart import Chart
from search.report.charts.network import shape_text
from search.report.charts.style import STATES, template
from search.report.contents import Contents
from search.report.leaderboard.page import board
from search.report.text.appendix import environments, failures, space_table, spec_table
from search.report.text.best_trial import chosen
from search.report.text.finalists import finalist_rows
from search.report.text.headline import headline
from search.report.text.status import as_of, status
from search.report.text.summary import story
from search.text import cut, visible
from search.words import duration, extreme, number_text, per_cent, percent, plotted, show

_TEMPLATES = Path(__file__).parent / "templates"
_MAX_TEXT = 20_000
"""Characters of one text; a log's tail is the longest that is meant to be there."""
_LOG_CHARACTERS = 8000
_LOGS_PER_REASON = 5
REFRESH_S = 3.0
"""How often a page that is served asks for news."""


def write_page(contents: Contents, path: Path) -> None:
    """Write the report to `path`: one HTML file of about 5 MB that needs no network.

    Raises OSError when `path` can't be written.
    """
    write_text(path, page(contents))


def page(contents: Contents, *, live: bool = False) -> str:
    """The report as HTML. Every word that comes from the study is escaped.

    A `live` page asks where it came from for news, every REFRESH_S seconds; any other asks nobody
    for anything.
    """
    return (
        jinja()
        .get_template("page.html.j2")
        .render(
            study=contents.study,
            status=status(contents),
            story=story(contents),
            headline=headline(contents),
            as_of=as_of(contents),
            board=board(contents.study, contents.judgement),
            judgement=contents.judgement,
            finalists=finalist_rows(contents.judgement) if contents.judgement else (),
            charts={chart.key: chart for chart in contents.charts},
            chosen=chosen(contents.study, contents.evidence),
            failures=failures(contents.study),
            space=space_table(contents.study),
            spec=spec_table(contents.study),
            environments=environments(contents.study),
            n_logs=_LOGS_PER_REASON,
            log_characters=_LOG_CHARACTERS,
            refresh_ms=round(1000 * REFRESH_S) if live else None,
            plotly=Markup(get_plotlyjs()),  # noqa: S704 (the library's own file)
        )
    )


def write_figures(study: StudyRecord, folder: Path, charts: tuple[Chart, ...]) -> None:
    """Writes a page per figure into `folder`, and the one plotly.min.js that they share."""
    write_text(folder / "plotly.min.js", get_plotlyjs())
    for chart in charts:
        text = jinja().get_template("figure.html.j2").render(study=study, chart=chart)
        write_text(folder / f"{chart.key}.html", text)


@cache
def jinja() -> Environment:
    """The templates with what all pages share."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters |= {
        "percent": percent,
        "show": show,
        "duration": duration,
        "as_json": _as_json,
        "shape": shape_text,
        "plotted": plotted,
        "number_text": number_text,
        "per_cent": per_cent,
        "extreme": extreme,
    }
    looks = {name: template(dark=name == "dark") for name in ("light", "dark")}
    environment.globals |= {
        "states": STATES,
        "looks": _script_safe(json.dumps({n: t.to_plotly_json() for n, t in looks.items()})),
        "style": _template_file("style.css"),
        "script": _template_file("figures.js") + _template_file("tables.js"),
        "live_script": _template_file("live.js"),
    }
    return environment


def _visible(value: object) -> object:
    """What a page prints of `value`: text without control characters, of bearable length."""
    return cut(visible(value), _MAX_TEXT) if type(value) is str else value


def _template_file(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 (our own file)


def _as_json(figure: Any) -> Markup:
    """A figure as JSON for a script, without its template: the page adds the light or dark one."""
    content = json.loads(plotly.io.to_json(figure, validate=False))
    content["layout"].pop("template", None)
    return _script_safe(json.dumps(content, separators=(",", ":")))


def _script_safe(text: str) -> Markup:
    # Inside JSON these letters occur in strings only; escaped so, no text can end the script
    # element.
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(safe)  # noqa: S704 (made safe on the line above)
