"""What a comparison of studies has found, in sentences. Pure."""

from collections.abc import Sequence

from search.analysis.comparison import MIN_DATA_SETS, MIN_MODELS, Comparison, Contender, Ranks, Row
from search.analysis.cost import Hours
from search.records import ACCURACY
from search.report.comparison.table import hours_text, p_text, standing, worse
from search.words import (
    count,
    duration,
    ends_text,
    listing,
    percent,
    signed_text,
    unit,
    value_text,
)

MANY = 6
"""Names in a sentence."""


def summary(comparison: Comparison) -> list[str]:
    """What came out, in sentences, the most important first."""
    sentences = [_on(data, comparison.on(data)) for data in comparison.data]
    sentences += _over_data(comparison.ranks) if comparison.ranks else []
    return [
        *sentences,
        *_gains(comparison.rows),
        *_spent(comparison.rows),
        *_missing(comparison.rows),
    ]


def tiles(comparison: Comparison) -> list[tuple[str, str]]:
    """The key figures as (label, value)."""
    spent = hours_text(total([row.contender.search for row in comparison.rows]))
    if comparison.ranks:
        of = f"best mean rank over {len(comparison.ranks.data)} data sets"
        first = f"{listing(_leaders(comparison.ranks))}, {comparison.ranks.models[0][1]:.2f}"
        return [(of, first), ("studies", f"{len(comparison.rows)}"), ("all searches", spent)]
    tiles = []
    for data in comparison.data:
        if best := next((row for row in comparison.on(data) if row.is_best), None):
            n_tied = sum(standing(row) == "tied" for row in comparison.on(data))
            objective = comparison.objective
            extreme = "highest" if objective.is_maximized else "lowest"
            tiles += [
                (f"{extreme} on {data}", best.contender.model),
                (f"its test {objective.title}", value_text(objective, best.contender.mean)),
                ("tied with it", f"{n_tied}"),
            ]
    return [*tiles, ("all searches", spent)]


def total(hours: Sequence[Hours | None]) -> Hours:
    """The sum, None counting as nothing."""
    spent = [h for h in hours if h]
    return Hours(sum(h.core for h in spent), sum(h.gpu for h in spent))


def _on(data: str, rows: Sequence[Row]) -> str:
    valued = [row for row in rows if row.contender.values]
    if not valued:
        return f"On {data}, nothing has been scored yet."
    best = valued[0].contender
    objective = best.objective
    title = objective.title
    lower = worse(objective)
    images = count(best.n_test or 0, "test image")
    right = f"{value_text(objective, best.mean)} on {images}{_ends(best)}"
    if objective == ACCURACY:
        right = f"{percent(best.mean)} of {images} right{_ends(best)}"
    if len(valued) == 1:
        return f"On {data}, only {best.model} has a test {title}: {right}."
    groups = {
        word: [r.contender.model for r in valued[1:] if standing(r) == word]
        for word in ("tied", lower, "")
    }
    if not groups["tied"] and not groups[""]:
        return (
            f"On {data}, {best.model} is best: {right}. All others are {lower} by more than chance"
            " explains."
        )
    extreme = "highest" if objective.is_maximized else "lowest"
    sentences = [f"On {data}, {best.model} has the {extreme} test {title}: {right}."]
    for word, text in (
        ("tied", "tied with it: chance alone can explain the difference"),
        (lower, f"{lower} by more than chance explains"),
        ("", "not comparable with it: too few replicates, and no predictions kept"),
    ):
        if groups[word]:
            sentences.append(
                f"{listing(groups[word])} {'is' if len(groups[word]) == 1 else 'are'} {text}."
            )
    tied = [best, *(row.contender for row in valued[1:] if standing(row) == "tied")]
    return " ".join([*sentences, *_fastest(tied)])


def _ends(contender: Contender) -> str:
    interval = contender.interval
    if interval is None or interval.low is None or interval.high is None:
        return f" with {count(interval.n if interval else 1, 'seed')}, too few for an interval"
    return (
        f" on average over {interval.n} seeds (95 % interval"
        f" {ends_text(contender.objective, interval.low, interval.high)})"
    )


def _fastest(tied: Sequence[Contender]) -> list[str]:
    """Which of those that are tied to take where time counts."""
    timed = [(c.train_s, c) for c in tied if c.train_s is not None]
    if len(timed) < 2 or len({c.device for _, c in timed}) > 1:
        return []
    train_s, fastest = min(timed, key=lambda pair: pair[0])
    size = "" if fastest.n_params is None else f", with {count(fastest.n_params, 'parameter')}"
    return [f"Of these {len(tied)}, {fastest.model} trains fastest: in {duration(train_s)}{size}."]


def _leaders(ranks: Ranks) -> list[str]:
    """The models of the best mean rank."""
    return [name for name, rank in ranks.models if rank == ranks.models[0][1]]


def _over_data(ranks: Ranks) -> list[str]:
    (name, rank), *others = ranks.models
    first = _leaders(ranks)
    behind = [f"{m} ({r:.2f})" for m, r in others if r != rank]
    text = (
        f"{listing(first)} {'has' if len(first) == 1 else 'share'} the best mean rank, {rank:.2f}"
    )
    text += f", before {listing(behind)}" if behind else ""
    sentences = [f"Over {len(ranks.data)} data sets {text}."]
    if ranks.p_value is None or ranks.critical is None:
        sentences.append(
            f"Ranks are not tested: that needs {MIN_DATA_SETS} data sets and {MIN_MODELS} models"
            " that differ."
        )
    else:
        verdict = "differ" if ranks.p_value < 0.05 else "may all be alike"
        near = [m for m, r in others if r - rank < ranks.critical]
        sentences.append(
            f"By Friedman’s test the models {verdict} ({p_text(ranks.p_value)}). By Nemenyi’s, mean"
            f" ranks less than {ranks.critical:.2f} apart can’t be told apart: "
            + (f"{name} from {_some(near)}." if near else "all others are behind the best.")
        )
    if ranks.left_out:
        sentences.append(
            f"Not ranked, without a value on every data set: {listing(list(ranks.left_out))}."
        )
    return sentences


def _gains(rows: Sequence[Row]) -> list[str]:
    tested = [r.contender for r in rows if r.contender.gain and r.contender.gain.low is not None]
    many = len({c.data for c in tested}) > 1
    gained: list[str] = []
    lost: list[str] = []
    unsure: list[str] = []
    for contender in tested:
        gain = contender.gain
        name = f"{contender.model} on {contender.data}" if many else contender.model
        if gain is None or gain.low is None or gain.high is None:
            continue
        objective = contender.objective
        size = f"{signed_text(objective, gain.value)}{unit(objective)}"
        if gain.low > 0:
            gained.append(f"{name} ({size})")
        elif gain.high < 0:
            lost.append(f"{name} ({size})")
        else:
            unsure.append(name)
    sentences = []
    if gained:
        sentences.append(f"The search gained over the document’s own setting for {_some(gained)}.")
    if lost:
        sentences.append(
            f"What it chose is worse than the document’s own setting for {_some(lost)}."
        )
    if unsure:
        sentences.append(
            f"For {_some(unsure)} it may have gained nothing over the document’s own setting."
        )
    return sentences


def _some(names: list[str]) -> str:
    """Names as in a sentence, or how many there are where they would fill it."""
    return listing(names) if len(names) <= MANY else f"{len(names)} of the studies (see the table)"


def _spent(rows: Sequence[Row]) -> list[str]:
    searched = [row.contender for row in rows if row.contender.search and sum(row.contender.search)]
    if not searched:
        return []
    who = "The searches" if len(searched) > 1 else "The search"
    spent, again = (
        hours_text(total(h))
        for h in ([c.search for c in searched], [c.replicates for c in searched])
    )
    return [f"{who} took {spent} in all, training the finalists again {again}."]


def _missing(rows: Sequence[Row]) -> list[str]:
    return [
        f"{r.contender.study} has no test {r.contender.objective.title}: {r.contender.missing}."
        for r in rows
        if r.contender.missing
    ]
