"""What the page shows of the data and of the best trial's network. Pure."""

from typing import Any

from search.report.classes import class_rows, class_table, confusion_plot
from search.report.evidence import Evidence, Predictions
from search.report.frame import best_trial
from search.report.images import class_samples, mistakes
from search.report.network import BOX_HEIGHT, BOX_WIDTH, diagram, is_frozen, network_words
from search.report.words import count, percent
from search.study.records import StudyRecord

_ORIGIN = {
    "validation": "Training never saw these images, but the setting and the epoch were chosen by them: "
    "what follows is slightly better than it will be on new images.",
    "test": "No setting and no epoch was chosen by these images, and training never saw them.",
    "train": "The network was trained on these very images: this says how well it fits them, not how well it "
    "does on new ones.",
}
_IN_WORDS = {"validation": "validation", "test": "test", "train": "training"}


def chosen(study: StudyRecord, evidence: Evidence) -> dict[str, Any]:
    """The values of the template `evidence.html.j2`."""
    found, network = evidence.predictions, evidence.network
    wrong = mistakes(evidence)
    return {
        "is_out_of_reach": evidence.is_out_of_reach,
        "samples": class_samples(evidence),
        "n_classes": len(evidence.class_names),
        "diagram": diagram(network) if network else None,
        "box_size": (BOX_WIDTH, BOX_HEIGHT),
        "any_frozen": any(is_frozen(layer) for layer in network.layers) if network else False,
        "network_words": network_words(network) if network else "",
        "origin": _origin(study, found) if found else (),
        "confusion": confusion_plot(evidence),
        "table": class_rows(class_table(found, evidence.class_names)) if found else None,
        "mistakes": wrong,
        "mistakes_words": _mistakes_words(found, len(wrong)) if found else "",
    }


def _origin(study: StudyRecord, found: Predictions) -> tuple[str, ...]:
    best = best_trial(study)
    of = f"trial {best.number}" if best else "the best trial"
    n, right = len(found.true), len(found.true) - found.n_wrong
    return (
        f"After epoch {found.step}, {of} recognises {right:,} of {n:,} {_IN_WORDS[found.split]} images, "
        f"{percent(right / n)}.",
        _ORIGIN[found.split],
    )


def _mistakes_words(found: Predictions, n_shown: int) -> str:
    n, wrong = len(found.true), found.n_wrong
    if not wrong:
        return f"None of the {n:,} {_IN_WORDS[found.split]} images was misclassified."
    text = (
        f"{wrong:,} of {count(n, f'{_IN_WORDS[found.split]} image')} ({percent(wrong / n)}) "
        f"{'was' if wrong == 1 else 'were'} misclassified."
    )
    if not n_shown:
        return f"{text} No picture of them was kept."
    which = "All of them" if n_shown == wrong else f"The {n_shown} that the network was most sure of"
    return f"{text} {which}, titled “true:predicted”, the surest first:"
