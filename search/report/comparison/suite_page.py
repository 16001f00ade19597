"""A suite beside its documents for people and papers: the page, Markdown and LaTeX."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.report.charts.chart import Chart
from search.report.charts.screen import as_chart
from search.report.comparison.cells import markdown_page, paragraphs
from search.report.comparison.files import ComparisonPaths, Texts, write_files
from search.report.comparison.suite import LAYOUT, ComparisonRow, comparison_frame, data_sets
from search.report.comparison.suite_chart import accuracy_per_model
from search.report.comparison.suite_words import READING, measured_on, sources, summary, tiles
from search.report.page import jinja
from search.report.tables import markdown, to_latex
from search.words import count, listing


def write_comparison(
    suite_name: str, rows: Sequence[ComparisonRow], folder: Path, *, facts: Mapping[str, str]
) -> ComparisonPaths:
    """Write a suite's comparison with its documents into `folder`, as `write_files` does.

    `facts` are hardware and versions, by name. The page is one file of about 5 MB that needs no
    network. Raises InputError when the folder can't be written, ValueError for an accuracy outside
    0…1.
    """
    picture = accuracy_per_model(rows)
    texts = Texts(
        suite_markdown(suite_name, rows, facts),
        suite_latex(suite_name, rows),
        suite_page(suite_name, rows, as_chart(picture), facts),
    )
    about = count(len(rows), "system"), listing(data_sets(rows)) or "no data"
    return write_files(
        folder, comparison_frame(suite_name, rows), texts, [picture], name=suite_name, about=about
    )


def suite_markdown(
    suite_name: str, rows: Sequence[ComparisonRow], facts: Mapping[str, str] | None = None
) -> str:
    """The comparison as Markdown: the table, then what the published figures were measured on.

    `facts` (hardware and versions) end it as a list. Raises ValueError for an accuracy outside 0…1.
    """
    notes = paragraphs([*measured_on(rows), READING, *sources(rows)])
    heading = f"{markdown(suite_name)}: the documents’ figures and ours"
    return markdown_page(heading, [*LAYOUT.markdown(rows), *notes], facts or {})


def suite_latex(suite_name: str, rows: Sequence[ComparisonRow]) -> str:
    r"""The table with booktabs, for \input in a paper."""
    names = [name for name in LAYOUT.cells if name not in {"device", "note"}]
    caption = f"{suite_name}: the documents’ figures and ours. {READING}"
    body = LAYOUT.texts(rows, names)
    return to_latex(names, body, LAYOUT.left, caption=caption, label=f"tab:{suite_name}")


def suite_page(
    suite_name: str, rows: Sequence[ComparisonRow], chart: Chart, facts: Mapping[str, str]
) -> str:
    """The comparison as HTML. Every word that comes from rows or facts is escaped."""
    template = jinja().get_template("comparison.html.j2")
    return template.render(
        name=suite_name,
        rows=[LAYOUT.html(row, is_empty=not row.values) for row in rows],
        columns=LAYOUT.columns,
        tiles=tiles(rows),
        summary=summary(rows),
        reading=READING,
        notes=[*measured_on(rows), *sources(rows)],
        data=listing(data_sets(rows)),
        chart=chart,
        facts=facts,
        plotly=Markup(get_plotlyjs()),  # noqa: S704 (the library's own file)
    )
