"""What a study's baseline is called, how far it was trained, what a full training costs. Pure."""

from collections.abc import Mapping

from search.records import StudyRecord, TrialRecord
from search.space.hyper_choices import FOUND
from search.study.finalist_costs import Rule, baseline_s, n_trainings
from search.words import count, duration

DOCUMENT = "the document's setting"


def baseline_name(study: StudyRecord) -> str:
    """What trial 0 of `study` is called: only a space that names its source has a document."""
    space = study.spec.get("space")
    source = space.get("source") or space.get("published") if isinstance(space, Mapping) else None
    has_document = bool(source) and source != FOUND
    return DOCUMENT if has_document else "the baseline"


def printed_name(study: StudyRecord) -> str:
    """The same on the page."""
    return baseline_name(study).replace("'", "’")


def baseline_cut(study: StudyRecord) -> str:
    """How far the study's limit let trial 0 train, `4 of its 10 epochs`; empty where all."""
    epochs = Rule.of(study.spec).baseline_epochs
    trial = study.document
    if (
        epochs is None
        or trial is None
        or trial.total_epochs is None
        or trial.total_epochs >= epochs
    ):
        return ""
    return f"{trial.total_epochs} of its {count(epochs, 'epoch')}"


def full_cost(study: StudyRecord, baseline: TrialRecord) -> str:
    """What it takes to train `baseline` in full, as often as a finalist."""
    rule = Rule.of(study.spec)
    n = n_trainings(rule, baseline)
    cost_s = baseline_s(rule, baseline)
    return (
        f"{n} × {count(rule.baseline_epochs or 0, 'epoch')}, about {duration(cost_s)} of training"
    )


def why_unranked(baseline: TrialRecord | None) -> str:
    """Why a baseline without a rank has none, after its name."""
    broken = baseline.broken if baseline else ()
    return f"breaks a bound ({', '.join(broken)})" if broken else "has no value"
