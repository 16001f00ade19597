"""Predictions → a caution where a network does no better than a constant answer would. Pure."""

from collections.abc import Sequence

import numpy as np

from search.analysis.ranking import best_trial
from search.records import StudyRecord
from search.report.evidence import Answers, Evidence, NumberPredictions, Predictions
from search.words import count, percent

_NEARLY = 0.05
"""The largest share of other classes' images that a network of nearly one answer tells apart."""


def cautions(study: StudyRecord, evidence: Evidence) -> list[str]:
    """What must be known of the best trial's and champion's networks before they are believed."""
    best = best_trial(study)
    both = (
        (evidence.predictions, f"Trial {best.number}" if best else "The best trial"),
        (evidence.exported, "The exported network"),
    )
    sentences = []
    for answers, who in both:
        if isinstance(answers, Predictions):
            sentences.append(caution(answers, evidence.class_names, who, evidence.noun))
        elif isinstance(answers, NumberPredictions):
            sentences.append(_of_numbers(answers, who, evidence.noun))
    return [text for text in sentences if text]


def _of_numbers(answers: NumberPredictions, who: str, noun: str) -> str:
    """That `who` is no nearer to the true numbers than their mean is, with its R²; else empty."""
    spread = answers.true.var(axis=0)
    if not spread.all():
        return ""
    errors = ((answers.true - answers.predicted) ** 2).mean(axis=0)
    r2 = float((1 - errors / spread).mean())
    if r2 > 0:
        return ""
    constant = f"naming the mean of their true numbers, whatever the {noun}, gets 0"
    return f"{who} has an R² of {r2:.3g} on {_whole(answers, noun)}; {constant}."


def _whole(answers: Answers, noun: str) -> str:
    split = {"train": "training"}.get(answers.split, answers.split)
    return count(answers.n, f"{split} {noun}")


def caution(
    predictions: Predictions, class_names: Sequence[str], who: str, noun: str = "image"
) -> str:
    """That `who` answers with one class only, or nearly, or is right no more often than always
    naming the largest class would be: with that class's share beside it. Empty where none of it
    holds, or where the images are of one class.
    """
    images = np.bincount(predictions.true, minlength=len(class_names))
    answers = np.bincount(predictions.predicted, minlength=len(class_names))
    n = len(predictions.true)
    largest = int(images.argmax())
    top = int(answers.argmax())
    if images[largest] == n:
        return ""
    named_otherwise = float(np.mean(predictions.predicted[predictions.true != top] != top))
    right = percent(1 - predictions.n_wrong / n)
    whole = _whole(predictions, noun)
    if answers[top] == n:
        text = f"{who} calls every one of {whole} “{class_names[top]}” and is right on {right}"
    elif named_otherwise < _NEARLY:
        share = percent(float(answers[top]) / n)
        text = f"{who} calls {share} of {whole} “{class_names[top]}” and is right on {right}"
    elif n - predictions.n_wrong <= images[largest]:
        text = f"{who} is right on {right} of {whole}"
    else:
        return ""
    share = percent(float(images[largest]) / n)
    return (
        f"{text}; naming the largest class, “{class_names[largest]}”, whatever the {noun}, gets"
        f" {share}."
    )
