"""A suite's systems beside the figures that their documents publish: rows → frame → CSV and Markdown."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from search.report.frame import safe_cell
from search.report.statistics import Interval, mean_interval
from search.report.words import listing, percent

SPLITS = {"test": "test set", "validation": "validation set", "train": "training set"}
_TEXT = ("suite", "model", "data", "published_split", "split", "device", "note")
_WHOLE = ("n_replicates", "n_params", "epochs", "published_epochs")
_MEASURED_ON = {
    "test": "Nearly all the documents chose their settings on that same test set, so these figures are somewhat too "
    "high for new images, and no target to tune on.",
    "validation": "Those images were held back from training but used to steer it, and the document gives no figure "
    "for the test set.",
    "train": "That says how well a network fits the images it was trained on, not how well it does on new ones.",
}


@dataclass(frozen=True)
class ComparisonRow:
    """One system of a suite: what its document publishes and what our replicates reached. Accuracies are fractions."""

    model: str
    data: str
    published: float | None
    published_split: str | None
    """What the published figure was measured on: test, validation or train."""
    published_source: str | None
    split: str | None
    """What ours were evaluated on, in the same words."""
    values: tuple[float, ...]
    """The accuracy of each finished replicate."""
    n_wanted: int
    """Replicates asked for."""
    n_failed: int
    n_params: int | None
    epochs: int | None
    """Epochs that each replicate trains as asked."""
    published_epochs: int | None
    seconds_per_epoch: float | None
    """The median over epochs and replicates."""
    device: str | None
    note: str


def interval_of(row: ComparisonRow) -> Interval | None:
    """Mean and 95 % interval over the row's replicates; None while there is none. Raises ValueError outside 0…1."""
    return mean_interval(row.values) if row.values else None


def difference(row: ComparisonRow) -> float | None:
    """Our mean minus the published figure (fractions), only where both were measured on the same split."""
    found = interval_of(row)
    if found is None or row.published is None or row.split is None or row.split != row.published_split:
        return None
    return found.mean - row.published


def obstacle(row: ComparisonRow) -> str:
    """Why ours can't be held against the published figure; empty when it can."""
    reasons = (
        (not row.values and row.n_failed > 0, "all failed" if row.n_failed >= row.n_wanted else "only failures yet"),
        (not row.values, "not run yet"),
        (row.published is None, "no published figure"),
        (row.split is None or row.split != row.published_split, "another split"),
        (_beyond(row.epochs, row.published_epochs) < 0, "fewer epochs"),
        (_beyond(row.epochs, row.published_epochs) > 0, "more epochs"),
        (len(row.values) == 1, "one replicate only"),
    )
    return next((reason for holds, reason in reasons if holds), "")


def standing(row: ComparisonRow) -> str:
    """How ours stand to the published figure, judged by the interval of our mean.

    within (the figure lies in the interval), above (ours are higher), below; empty where `obstacle` names a reason.
    """
    found = interval_of(row)
    if obstacle(row) or found is None or found.low is None or found.high is None or row.published is None:
        return ""
    return "above" if row.published < found.low else "below" if row.published > found.high else "within"


def comparison_frame(suite_name: str, rows: Sequence[ComparisonRow]) -> pd.DataFrame:
    """One row per system in the order given, none left out; accuracies are fractions, blanks are missing values.

    Columns: suite, model, data, published, published_split, accuracy_mean, accuracy_ci_low, accuracy_ci_high (95 %,
    Student's t), split, n_replicates (finished ones), difference (ours minus published, on the same split only),
    n_params, epochs, published_epochs, seconds_per_epoch, device, note. Raises ValueError for an accuracy outside 0…1.
    """
    records = [_record(suite_name, row) for row in rows]
    return pd.DataFrame({name: _column(name, [r[name] for r in records]) for name in _record("", _EMPTY)})


def to_csv(frame: pd.DataFrame) -> str:
    """`frame` as CSV: numbers with every digit, text that a spreadsheet would run behind an apostrophe."""
    safe = frame.copy()
    for name in _TEXT:
        safe[name] = pd.Series([safe_cell(v) for v in frame[name]], dtype=object)
    # The writer quotes a lone carriage return only where line ends have one, and unquoted it would break the row.
    return str(safe.to_csv(index=False, lineterminator="\r\n")).replace("\r\n", "\n")


def to_markdown(suite_name: str, rows: Sequence[ComparisonRow], facts: Mapping[str, str] | None = None) -> str:
    """The comparison as Markdown for people: heading, table, then what the published figures were measured on.

    `facts` (hardware and versions) end it as a list. Raises ValueError for an accuracy outside 0…1.
    """
    head = list(CELLS)
    body = [[_plain(cell(row)) for cell in CELLS.values()] for row in rows]
    align = [":--" if name in LEFT else "--:" for name in head]
    table = [f"| {' | '.join(cells)} |" for cells in (head, align, *body)]
    lines = [f"# {_plain(suite_name)}: the documents’ figures and ours", "", *table, ""]
    lines += [f"{_plain(sentence)}\n" for sentence in (*measured_on(rows), READING, *sources(rows))]
    lines += [f"- {_plain(name)}: {_plain(value)}" for name, value in (facts or {}).items()]
    return "\n".join(lines).rstrip() + "\n"


READING = (
    "Ours is the mean over replicates that differ in their seed only, with its 95 % interval by Student’s t. "
    "A difference is ours minus the document’s figure, in percentage points, on the same split only."
)


def measured_on(rows: Sequence[ComparisonRow]) -> list[str]:
    """A sentence or two per split: which published figures were measured on it, and what that means."""
    found = []
    for split in dict.fromkeys([*SPLITS, *(r.published_split for r in rows)]):
        names = [label(r, rows) for r in rows if r.published is not None and r.published_split == split]
        if names:
            meaning = _MEASURED_ON.get(split or "", "They are compared with ours only on the same split.")
            found.append(f"Published on {on(split)}: {listing(names)}. {meaning}")
    names = [label(r, rows) for r in rows if r.published is None]
    return [*found, f"No figure is published for {listing(names)}."] if names else found


def sources(rows: Sequence[ComparisonRow]) -> list[str]:
    """A sentence per document: which published figures it is the source of."""
    known = dict.fromkeys(r.published_source for r in rows if r.published is not None and r.published_source)
    return [
        f"Source of the figures of {listing([label(r, rows) for r in rows if r.published_source == s])}: {s}."
        for s in known
    ]


def data_sets(rows: Sequence[ComparisonRow]) -> list[str]:
    """The data sets of `rows`, each once, in their order."""
    return list(dict.fromkeys(r.data for r in rows))


def label(row: ComparisonRow, rows: Sequence[ComparisonRow]) -> str:
    """The model's name, with its data where the suite has the model more than once."""
    return row.model if sum(r.model == row.model for r in rows) == 1 else f"{row.model} on {row.data}"


def on(split: str | None) -> str:
    """A split with its article: `the test set`; `an unknown split` for None."""
    return f"the {SPLITS.get(split, split)}" if split else "an unknown split"


def splits_text(row: ComparisonRow) -> str:
    """What the figures of a row were measured on: `test set`, or both splits where they differ."""
    theirs, ours = (on(split).removeprefix("the ") for split in (row.published_split, row.split))
    if row.published is None:
        return ours
    return theirs if row.split == row.published_split else f"{theirs}, ours {ours}"


def ours_text(row: ComparisonRow) -> str:
    """Our mean and interval in percent, `91.30 % [90.80, 91.80]`, or why there is none."""
    found = interval_of(row)
    if found is None:
        return obstacle(row)
    ends = "" if found.low is None or found.high is None else f" [{100 * found.low:.2f},\u00a0{100 * found.high:.2f}]"
    return percent(found.mean) + ends


def replicates_text(row: ComparisonRow) -> str:
    """Finished replicates, of how many where some are missing: `3`, `2 of 3, 1 failed`."""
    text = str(len(row.values)) if len(row.values) == row.n_wanted else f"{len(row.values)}\u00a0of\u00a0{row.n_wanted}"
    return f"{text}, {row.n_failed}\u00a0failed" if row.n_failed else text


def epochs_text(row: ComparisonRow) -> str:
    """Epochs trained beside the document's where they differ: `10`, `5 of 50`, `20 (document 10)`."""
    beyond = _beyond(row.epochs, row.published_epochs)
    if row.epochs is None or not beyond:
        return "–" if row.epochs is None else f"{row.epochs}"
    if beyond < 0:
        return f"{row.epochs}\u00a0of\u00a0{row.published_epochs}"
    return f"{row.epochs} (document {row.published_epochs})"


def verdict_text(row: ComparisonRow) -> str:
    """How ours stand to the document's figure: the difference in points, then the judgement or why there is none."""
    apart = difference(row)
    judged = standing(row) or obstacle(row)
    if apart is None:
        return judged if row.values else "–"
    return f"{100 * apart:+z.2f}, {judged}"


# What people see of a row, by heading; the page and the Markdown table share it.
CELLS: Mapping[str, Callable[[ComparisonRow], str]] = {
    "model": lambda r: r.model,
    "data": lambda r: r.data,
    "document": lambda r: "–" if r.published is None else percent(r.published),
    "measured on": splits_text,
    "ours, mean [95 % interval]": ours_text,
    "difference (points)": verdict_text,
    "n": replicates_text,
    "parameters": lambda r: "–" if r.n_params is None else f"{r.n_params:,}",
    "epochs": epochs_text,
    "s per epoch": lambda r: "–" if r.seconds_per_epoch is None else f"{r.seconds_per_epoch:.2f}",
    "device": lambda r: r.device or "–",
    "note": lambda r: r.note,
}
LEFT = ("model", "data", "measured on", "device", "note")


def _beyond(ours: int | None, published: int | None) -> int:
    return 0 if ours is None or published is None else ours - published


def _record(suite_name: str, row: ComparisonRow) -> dict[str, Any]:
    found = interval_of(row)
    return {
        "suite": suite_name,
        "model": row.model,
        "data": row.data,
        "published": row.published,
        "published_split": row.published_split,
        "accuracy_mean": found and found.mean,
        "accuracy_ci_low": found and found.low,
        "accuracy_ci_high": found and found.high,
        "split": row.split,
        "n_replicates": len(row.values),
        "difference": difference(row),
        "n_params": row.n_params,
        "epochs": row.epochs,
        "published_epochs": row.published_epochs,
        "seconds_per_epoch": row.seconds_per_epoch,
        "device": row.device,
        "note": row.note,
    }


_EMPTY = ComparisonRow("", "", None, None, None, None, (), 0, 0, None, None, None, None, None, "")


def _column(name: str, values: list[Any]) -> "pd.Series[Any]":
    # Named types, since pandas would guess floats for whole numbers with a blank among them.
    return pd.Series(values, dtype=object if name in _TEXT else "Int64" if name in _WHOLE else "float64")


def _plain(text: str) -> str:
    """Text that Markdown shows letter by letter, on one line."""
    return re.sub(r"([\\`*<>|]|\](?=[(\[:]))", r"\\\1", " ".join(str(text).split()))
