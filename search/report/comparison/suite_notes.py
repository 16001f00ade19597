"""What the documents' figures were measured on and where they stand, and a suite's comparison as
Markdown.
"""

from collections.abc import Mapping, Sequence

from search.report.comparison.suite import CELLS, LEFT, SPLITS, ComparisonRow, label, on
from search.report.tables import markdown
from search.report.tables import to_markdown as markdown_table
from search.words import listing

_MEASURED_ON = {
    "test": (
        "Nearly all the documents chose their settings on that same test set, so these figures are"
        " somewhat too high for new images, and no target to tune on."
    ),
    "validation": (
        "Those images were held back from training but used to steer it, and the document gives no"
        " figure for the test set."
    ),
    "train": (
        "That says how well a network fits the images it was trained on, not how well it does on"
        " new ones."
    ),
}
READING = (
    "Ours is the mean over replicates that differ in their seed only, with its 95 % interval by"
    " Student’s t. A difference is ours minus the document’s figure, in percentage points, on the"
    " same split only."
)


def to_markdown(
    suite_name: str, rows: Sequence[ComparisonRow], facts: Mapping[str, str] | None = None
) -> str:
    """The comparison as Markdown for people: heading, table, then what the published figures were
    measured on.

    `facts` (hardware and versions) end it as a list. Raises ValueError for an accuracy outside 0…1.
    """
    table = markdown_table(
        list(CELLS), [[cell(row) for cell in CELLS.values()] for row in rows], LEFT
    )
    lines = [f"# {markdown(suite_name)}: the documents’ figures and ours", "", *table, ""]
    lines += [
        f"{markdown(sentence)}\n" for sentence in (*measured_on(rows), READING, *sources(rows))
    ]
    lines += [f"- {markdown(name)}: {markdown(value)}" for name, value in (facts or {}).items()]
    return "\n".join(lines).rstrip() + "\n"


def measured_on(rows: Sequence[ComparisonRow]) -> list[str]:
    """A sentence or two per split: which published figures were measured on it, and what that
    means.
    """
    sentences = []
    for split in dict.fromkeys([*SPLITS, *(r.published_split for r in rows)]):
        names = [
            label(r, rows) for r in rows if r.published is not None and r.published_split == split
        ]
        if names:
            meaning = _MEASURED_ON.get(
                split or "", "They are compared with ours only on the same split."
            )
            sentences.append(f"Published on {on(split)}: {listing(names)}. {meaning}")
    names = [label(r, rows) for r in rows if r.published is None]
    return [*sentences, f"No figure is published for {listing(names)}."] if names else sentences


def sources(rows: Sequence[ComparisonRow]) -> list[str]:
    """A sentence per document: which published figures it is the source of."""
    sources = dict.fromkeys(
        r.published_source for r in rows if r.published is not None and r.published_source
    )
    return [
        "Source of the figures of"
        f" {listing([label(r, rows) for r in rows if r.published_source == s])}: {s}."
        for s in sources
    ]
