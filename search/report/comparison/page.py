"""A comparison of studies for people and papers: the page, Markdown and LaTeX."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.analysis.comparison import Comparison
from search.report.charts.drawing import Picture
from search.report.charts.screen import as_chart
from search.report.comparison.cells import markdown_page, paragraphs
from search.report.comparison.charts import comparison_pictures
from search.report.comparison.files import ComparisonPaths, Texts, write_files
from search.report.comparison.table import (
    Cell,
    cross_table,
    gain_heading,
    layout,
    result_heading,
    standing,
    studies_frame,
)
from search.report.comparison.words import summary, tiles
from search.report.page import jinja
from search.report.tables import markdown, to_latex, to_markdown
from search.words import listing


def write_studies(
    name: str, comparison: Comparison, folder: Path, *, facts: Mapping[str, str]
) -> ComparisonPaths:
    """Write `comparison`, called `name`, into `folder`, as `write_files` does.

    `facts` are hardware and versions, by name. Raises InputError when the folder can't be written.
    """
    pictures = comparison_pictures(comparison)
    texts = Texts(
        studies_markdown(name, comparison, facts),
        studies_latex(name, comparison),
        studies_page(name, comparison, pictures, facts),
    )
    about = _about(comparison)
    return write_files(
        folder, studies_frame(name, comparison), texts, pictures, name=name, about=about
    )


def studies_markdown(name: str, comparison: Comparison, facts: Mapping[str, str]) -> str:
    """The comparison as Markdown: findings, tables, how it was judged, hardware and versions."""
    lines = paragraphs(summary(comparison))
    if matrix := cross_table(comparison):
        body = [[model, *(_cross_cell(cell) for cell in cells)] for model, cells in matrix]
        lines += [*to_markdown(["model", *comparison.data], body, ("model",)), ""]
    lines += [
        *layout(comparison.objective).markdown(comparison.rows),
        *paragraphs([comparison.how]),
    ]
    return markdown_page(f"{markdown(name)}: studies compared", lines, facts)


def _cross_cell(cell: Cell) -> str:
    return f"{cell.text}, {cell.standing}" if cell.standing else cell.text


def studies_latex(name: str, comparison: Comparison) -> str:
    r"""The table with booktabs, for \input in a paper; each data set's best mean is bold."""
    data = comparison.data
    objective = comparison.objective
    result = result_heading(objective)
    columns = ("parameters", "training once (s)", "search")
    names = ["model", "data", result, gain_heading(objective), *columns]
    names = [n for n in names if n != "data" or len(data) > 1]
    extreme = "highest" if objective.is_maximized else "lowest"
    where = "" if len(data) > 1 else f" on {data[0]}"
    caption = (
        f"{name}: mean test {objective.title}{where} over replicates with 95 % intervals; the"
        f" {extreme} in bold, with an asterisk what is tied with it"
        " (Holm-corrected p of at least 0.05)."
    )
    table = layout(objective)
    body = table.texts(comparison.rows, names)
    column = names.index(result)
    for cells, row in zip(body, comparison.rows, strict=True):
        cells[column] += "*" if standing(row) == "tied" else ""
    rows = comparison.rows
    rules = [i for i in range(1, len(rows)) if rows[i].contender.data != rows[i - 1].contender.data]
    bold = [(i, column) for i, row in enumerate(rows) if standing(row) == "best"]
    return to_latex(
        names, body, table.left, caption=caption, label=f"tab:{name}", bold=bold, rules=rules
    )


def studies_page(
    name: str, comparison: Comparison, pictures: Sequence[Picture], facts: Mapping[str, str]
) -> str:
    """The comparison as HTML, one file. Every word that comes from studies or facts is escaped."""
    table = layout(comparison.objective)
    rows = [
        table.html(row, is_empty=not row.contender.values, standing=standing(row))
        for row in comparison.rows
    ]
    template = jinja().get_template("comparison_studies.html.j2")
    return template.render(
        name=name,
        about=_about(comparison),
        tiles=tiles(comparison),
        summary=summary(comparison),
        matrix=cross_table(comparison),
        data=comparison.data,
        rows=rows,
        columns=table.columns,
        title=comparison.objective.title,
        ranks=comparison.ranks,
        charts=[as_chart(picture) for picture in pictures],
        how=comparison.how,
        facts=facts,
        plotly=Markup(get_plotlyjs()),  # noqa: S704 (the library's own file)
    )


def _about(comparison: Comparison) -> tuple[str, str]:
    n = len(comparison.rows)
    return f"{n:,} {'study' if n == 1 else 'studies'}", listing(comparison.data)
