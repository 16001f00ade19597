"""Predictions → a caution where a network does no better than a constant answer would. Pure."""

from collections.abc import Sequence

import numpy as np

from search.analysis.ranking import best_trial
from search.records import StudyRecord
from search.report.evidence import Evidence, Predictions
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
    sentences = [
        caution(answers, evidence.class_names, who, evidence.noun)
        for answers, who in both
        if isinstance(answers, Predictions)
    ]
    return [text for text in sentences if text]


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
    split = {"train": "training"}.get(predictions.split, predictions.split)
    whole = count(n, f"{split} {noun}")
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
