"""What the page shows of the data and of the best trial's network. Pure."""

from dataclasses import dataclass
from typing import Any

from search.analysis.ranking import best_trial
from search.records import StudyRecord
from search.report.charts.answers import answers_chart
from search.report.charts.chart import Chart
from search.report.charts.images import Mistake, class_samples, mistakes
from search.report.charts.network import BOX_HEIGHT, BOX_WIDTH, diagram, is_frozen, network_words
from search.report.classes import class_rows, class_table
from search.report.evidence import Answers, Evidence, LabelPredictions, Predictions
from search.report.worst import Worst, achievement, worst_answers
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
    """As words: validation images, test examples …"""
    origin: tuple[str, ...]
    """How many examples it recognised, and what that says."""
    chart: Chart | None
    mistakes: tuple[Mistake, ...]
    mistakes_title: str
    mistakes_words: str
    worst: Worst | None
    """Of what is no image."""


def chosen(study: StudyRecord, evidence: Evidence) -> dict[str, Any]:
    """The values of the template `evidence.html.j2`."""
    network = evidence.network
    names = evidence.class_names
    best = best_trial(study)
    networks = (
        (evidence.exported, "the exported network", "_test"),
        (evidence.predictions, f"trial {best.number}" if best else "the best trial", ""),
    )
    tables = [
        class_table(answers, names)
        for answers, _, _ in networks
        if isinstance(answers, Predictions | LabelPredictions)
    ]
    table = class_rows(tables) if tables else None
    return {
        "is_out_of_reach": evidence.is_out_of_reach,
        "noun": evidence.noun,
        "samples": class_samples(evidence),
        "n_classes": len(names),
        "diagram": diagram(network) if network else None,
        "box_size": (BOX_WIDTH, BOX_HEIGHT),
        "any_frozen": any(is_frozen(layer) for layer in network.layers) if network else False,
        "network_words": network_words(network) if network else "",
        "sides": [_side(a, evidence, who, suffix) for a, who, suffix in networks if a],
        "table": table,
        "are_labels": isinstance(evidence.exported or evidence.predictions, LabelPredictions),
        "worst": min(table.rows, key=lambda row: row.scores[0].f1) if table else None,
    }


def _side(answers: Answers, evidence: Evidence, who: str, suffix: str) -> Side:
    names = evidence.class_names
    split = f"{_IN_WORDS[answers.split]} {evidence.noun}"
    origin = _ORIGIN[answers.split].replace("image", evidence.noun)
    first = f"After epoch {answers.step}, {who} {achievement(answers, split)}."
    pictures = mistakes(answers, names) if isinstance(answers, Predictions) else ()
    title = f"Misclassified {split}s"
    if isinstance(answers, Predictions):
        words = _mistakes_words(answers, split, len(pictures))
    else:
        title = f"The worst {split}s"
        words = f"The {split}s that it is farthest from, the worst first:"
    return Side(
        f"{split}s",
        (first, origin),
        answers_chart(answers, names, suffix, evidence.noun),
        pictures,
        title,
        words,
        worst_answers(answers, names) if evidence.noun != "image" or not pictures else None,
    )


def _mistakes_words(predictions: Predictions, split: str, n_shown: int) -> str:
    n = predictions.n
    wrong = predictions.n_wrong
    if not wrong:
        return f"None of the {n:,} {split}s was misclassified."
    text = (
        f"{wrong:,} of {count(n, split)} ({percent(wrong / n)}) "
        f"{'was' if wrong == 1 else 'were'} misclassified."
    )
    if predictions.wrong_images is None:
        return f"{text} Those that the network was most sure of, the surest first:"
    if not n_shown:
        return f"{text} No picture of them was kept."
    which = (
        "All of them" if n_shown == wrong else f"The {n_shown} that the network was most sure of"
    )
    return f"{text} {which}, titled “true:predicted”, the surest first:"
