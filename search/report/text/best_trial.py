"""What the page shows of the data and of the best trial's network. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search.analysis.ranking import best_trial
from search.records import StudyRecord
from search.report.charts.chart import Chart
from search.report.charts.confusion import confusion_chart
from search.report.charts.images import Mistake, class_samples, mistakes
from search.report.charts.network import BOX_HEIGHT, BOX_WIDTH, diagram, is_frozen, network_words
from search.report.classes import class_rows, class_table
from search.report.evidence import Evidence, Predictions
from search.words import count, percent

_ORIGIN = {
    "validation": (
        "Training never saw these images, but the setting and the epoch were chosen by them: "
        "what follows is slightly better than it will be on new images."
    ),
    "test": "No setting and no epoch was chosen by these images, and training never saw them.",
    "train": (
        "The network was trained on these very images: this says how well it fits them, not how"
        " well it does on new ones."
    ),
}
_IN_WORDS = {"validation": "validation", "test": "test", "train": "training"}


@dataclass(frozen=True)
class Side:
    """One network on one split."""

    split: str
    """As a word: validation, test or training."""
    origin: tuple[str, ...]
    """How many images it recognised, and what that says."""
    confusion: Chart
    mistakes: tuple[Mistake, ...]
    mistakes_words: str


def chosen(study: StudyRecord, evidence: Evidence) -> dict[str, Any]:
    """The values of the template `evidence.html.j2`."""
    network = evidence.network
    names = evidence.class_names
    best = best_trial(study)
    networks = (
        (evidence.exported, "the exported network", "confusion_test"),
        (evidence.predictions, f"trial {best.number}" if best else "the best trial", "confusion"),
    )
    tables = [class_table(p, names) for p, _, _ in networks if p]
    table = class_rows(tables) if tables else None
    return {
        "is_out_of_reach": evidence.is_out_of_reach,
        "samples": class_samples(evidence),
        "n_classes": len(names),
        "diagram": diagram(network) if network else None,
        "box_size": (BOX_WIDTH, BOX_HEIGHT),
        "any_frozen": any(is_frozen(layer) for layer in network.layers) if network else False,
        "network_words": network_words(network) if network else "",
        "sides": [_side(p, names, who, key) for p, who, key in networks if p],
        "table": table,
        "worst": min(table.rows, key=lambda row: row.scores[0].f1) if table else None,
    }


def _side(predictions: Predictions, names: Sequence[str], who: str, key: str) -> Side:
    wrong = mistakes(predictions, names)
    split = _IN_WORDS[predictions.split]
    n = len(predictions.true)
    right = n - predictions.n_wrong
    first = (
        f"After epoch {predictions.step}, {who} recognises {right:,} of {n:,} {split} images,"
        f" {percent(right / n)}."
    )
    words = _mistakes_words(predictions, len(wrong))
    return Side(
        split,
        (first, _ORIGIN[predictions.split]),
        confusion_chart(predictions, names, key),
        wrong,
        words,
    )


def _mistakes_words(predictions: Predictions, n_shown: int) -> str:
    n = len(predictions.true)
    wrong = predictions.n_wrong
    if not wrong:
        return f"None of the {n:,} {_IN_WORDS[predictions.split]} images was misclassified."
    text = (
        f"{wrong:,} of {count(n, f'{_IN_WORDS[predictions.split]} image')} ({percent(wrong / n)}) "
        f"{'was' if wrong == 1 else 'were'} misclassified."
    )
    if not n_shown:
        return f"{text} No picture of them was kept."
    which = (
        "All of them" if n_shown == wrong else f"The {n_shown} that the network was most sure of"
    )
    return f"{text} {which}, titled “true:predicted”, the surest first:"
