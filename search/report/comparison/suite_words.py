"""What a suite's comparison with its documents has found, in sentences. Pure."""

from collections.abc import Sequence

from search.analysis.statistics import single_run_interval
from search.report.comparison.suite import (
    SPLITS,
    ComparisonRow,
    difference,
    label,
    obstacle,
    on,
    standing,
)
from search.words import count, listing, points

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


def tiles(rows: Sequence[ComparisonRow]) -> list[tuple[str, str]]:
    """The key figures as (label, value)."""
    standings = [standing(r) for r in rows]
    return [
        ("figure within our interval", f"{standings.count('within')} of {len(rows)}"),
        ("ours above it", f"{standings.count('above')}"),
        ("ours below it", f"{standings.count('below')}"),
        ("not comparable", f"{standings.count('')}"),
    ]


def summary(rows: Sequence[ComparisonRow]) -> list[str]:
    """What the comparison found, in sentences, the most important first."""
    if not rows:
        return ["The suite has no systems."]
    by = {s: [r for r in rows if standing(r) == s] for s in ("within", "above", "below")}
    barred = [r for r in rows if obstacle(r)]
    lead = (
        f"The document’s figure lies within the 95 % interval of our mean for {len(by['within'])}"
        f" of {count(len(rows), 'system')}; ours is above it for {len(by['above'])} and below it"
        f" for {len(by['below'])}; {len(barred)} can’t be compared."
    )
    apart = []
    for side in ("above", "below"):
        if by[side]:
            gaps = [f"{label(r, rows)} by {points(difference(r) or 0.0)}" for r in by[side]]
            apart.append(f"Ours {side} the document’s figure: {listing(gaps)}.")
    reasons = dict.fromkeys(obstacle(r) for r in barred)
    groups = [
        f"{listing([label(r, rows) for r in barred if obstacle(r) == why])} ({why})"
        for why in reasons
    ]
    return [lead, *apart, *_beyond_one_run(rows, by["above"] + by["below"])] + (
        [f"Not comparable: {'; '.join(groups)}."] if groups else []
    )


def _beyond_one_run(rows: Sequence[ComparisonRow], outside: Sequence[ComparisonRow]) -> list[str]:
    if not outside:
        return []
    far = []
    for row in outside:
        run = single_run_interval(row.values)
        if row.published is not None and not (run.low or 0.0) <= row.published <= (run.high or 1.0):
            far.append(label(row, rows))
    which = "none of them lies"
    if far:
        which = f"{listing(far)} {'lies' if len(far) == 1 else 'lie'}"
    return [
        "A document’s figure is one run, and single runs vary more than a mean: "
        f"{which} beyond where 95 % of further runs of ours would fall."
    ]


def measured_on(rows: Sequence[ComparisonRow]) -> list[str]:
    """Per split, which published figures were measured on it, and what that means."""
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
