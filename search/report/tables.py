"""Tables as text: CSV, Markdown, LaTeX and JSON, each with its own escapes."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from search.text import csv_safe, visible

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "[": "{[}",
    "]": "{]}",
    "\u00a0": "~",
    "–": "--",
    "’": "'",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "−": "$-$",
} | {c: rf"\{c}" for c in "&%$#_{}"}


def typed_frame(records: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """One row per record with `columns` of these pandas types; None is a missing value.

    Named types, since pandas would guess floats for whole numbers with a blank among them.
    """
    return pd.DataFrame(
        {n: pd.Series([r[n] for r in records], dtype=dtype) for n, dtype in columns.items()}
    )


def to_csv(frame: pd.DataFrame) -> str:
    """`frame` as CSV: numbers with every digit, formulas behind an apostrophe."""
    safe = frame.copy()
    for name in safe.columns:
        if safe[name].dtype == object:
            safe[name] = pd.Series([csv_safe(v) for v in frame[name]], dtype=object)
    # The writer quotes a lone carriage return only where line ends have one, and unquoted it would
    # break the row.
    return str(safe.to_csv(index=False, lineterminator="\r\n")).replace("\r\n", "\n")


def to_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """`frame` as JSON has it: text as it is, blanks None."""
    return [
        {str(name): _json_value(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def to_markdown(
    head: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[str]
) -> list[str]:
    """A Markdown table, line by line; columns are right-aligned, those of `left` left-aligned."""
    align = [":--" if name in left else "--:" for name in head]
    escaped = [[markdown(cell) for cell in row] for row in rows]
    return [
        f"| {' | '.join(cells)} |" for cells in ([markdown(name) for name in head], align, *escaped)
    ]


def markdown(text: str) -> str:
    """Text that Markdown shows letter by letter, on one line."""
    return re.sub(r"([\\`*<>|]|\](?=[(\[:]))", r"\\\1", " ".join(visible(str(text)).split()))


def to_latex(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: Collection[str],
    *,
    caption: str,
    label: str,
    bold: Collection[tuple[int, int]] = (),
    rules: Collection[int] = (),
) -> str:
    r"""A table for \input in a document that has \usepackage{booktabs}.

    `bold` are (row, column) of cells to stress, `rules` the rows over which a line is drawn.
    """
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(caption)}}}",
    ]
    lines += [rf"\label{{{re.sub(r'[^A-Za-z0-9:.-]', '-', label)}}}"]
    lines += [
        rf"\begin{{tabular}}{{{''.join('l' if name in left else 'r' for name in head)}}}",
        r"\toprule",
    ]
    lines += [" & ".join(latex(name) for name in head) + r" \\", r"\midrule"]
    for i, row in enumerate(rows):
        cells = [
            rf"\textbf{{{latex(cell)}}}" if (i, k) in bold else latex(cell)
            for k, cell in enumerate(row)
        ]
        lines += [*([r"\midrule"] if i in rules else []), " & ".join(cells) + r" \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def latex(text: str) -> str:
    """Text that LaTeX shows letter by letter, on one line."""
    joined = " ".join(str(text).replace("\u00a0", "\0").split()).replace("\0", "\u00a0")
    signed = re.sub(r"(?<![\w.-])-(?=\d)", "−", joined)
    return "".join(_LATEX.get(c, c) for c in signed if c.isprintable() or c == "\u00a0")


def _json_value(value: Any) -> Any:
    if pd.isna(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if hasattr(value, "item") else value
