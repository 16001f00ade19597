"""Finalists and forecasts of studies that are for something else than accuracy."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from search.analysis.forecast import forecast
from search.analysis.judging import judge
from search.analysis.statistics import Runs, compare_all, mean_interval
from search.objectives import METRICS, objective_of, shares
from search.records import Objective, Search, StudyRecord
from search.report.text.cost import advice_words
from search.report.text.finalists import finalist_rows, judgement_words
from tests.analysis.test_forecast import searched, uniform
from tests.analysis.test_judging import SCORES, final, search

LOSS = objective_of("mse")


def of(study: StudyRecord, objective: Objective, value: Callable[[float], float]) -> StudyRecord:
    """`study` as one for `objective`, with a `value` for each accuracy."""
    trials = []
    for trial in study.trials:
        curve = [
            replace(e, values={**e.values, objective.key: value(e.values["val_accuracy"])})
            for e in trial.curve
        ]
        scored = trial.evaluation
        if scored and scored.accuracy is not None:
            scored = replace(scored, values={objective.name: value(scored.accuracy)})
        trials.append(replace(trial, curve=tuple(curve), evaluation=scored, objective=objective))
    return replace(study, trials=tuple(trials), objective=objective)


def thousands(accuracy: float) -> float:
    """A loss that is no fraction, and the lower the larger the accuracy."""
    return 5000.0 * (1.0 - accuracy)


def errors(finalists: StudyRecord) -> dict[int, np.ndarray]:
    """What each of 200 examples has to the loss of each replicate, alike in all but the level."""
    noise = np.linspace(-50, 50, 200)
    return {t.number: t.final_value + noise for t in finalists.trials}


def test_losses_are_judged_as_accuracies_are_the_other_way_round() -> None:
    plain = search(), final(SCORES)
    hits = judge(Search(*plain), {})
    study, finalists = of(plain[0], LOSS, thousands), of(plain[1], LOSS, thousands)
    losses = judge(Search(study, finalists), {})
    assert hits
    assert losses
    assert [row.trial for row in losses.rows] == [row.trial for row in hits.rows]
    assert [row.tied_with_best for row in losses.rows] == [row.tied_with_best for row in hits.rows]
    expected = mean_interval((500, 450, 400), is_fraction=False)
    assert losses.champion.interval == pytest.approx(expected)
    assert losses.gain
    assert losses.gain[:4] == pytest.approx([*(5000 * x for x in hits.gain[:3]), hits.gain[3]])
    assert losses.optimism == pytest.approx(5000 * hits.optimism)
    assert losses.champion.accuracy == hits.champion.interval


def test_a_loss_and_its_gain_in_words() -> None:
    study, finalists = of(search(), LOSS, thousands), of(final(SCORES), LOSS, thousands)
    judgement = judge(Search(study, finalists), errors(finalists), "example")
    assert judgement
    words = judgement_words(judgement)
    assert words[0] == (
        "The search chose trial 1: trained again on 3 fresh seeds, its mean squared error on 200"
        " test examples is 450 on average (95 % interval over seeds 325.8 to 574.2)."
    )
    assert words[1].startswith("That is 1,050 better than the document's setting (trial 0, 1,500, ")
    assert words[2] == "Trial 3 has the lowest mean on the test set, 400."
    assert "scored trial 1 at 250 on validation examples, 200 better than its test mean" in words[5]
    last = finalist_rows(judgement)[-1]
    assert (last.test, last.verdict, last.optimism) == ("1,500", "worse", "+500")
    assert "Each test mean squared error is a mean over" in judgement.how
    assert "jackknife" not in judgement.how
    assert "other test examples together" in judgement.how


def test_shares_of_another_value_are_not_believed() -> None:
    study, finalists = of(search(), LOSS, thousands), of(final(SCORES), LOSS, thousands)
    stale = {number: parts + 1 for number, parts in errors(finalists).items()}
    judgement = judge(Search(study, finalists), stale)
    assert judgement
    assert judgement.gain
    assert judgement.gain.over == "seeds"
    assert "fit the recorded values" in judgement.how


def test_what_is_no_mean_over_images_is_judged_by_pseudo_values() -> None:
    f1 = objective_of("f1_macro")
    study, finalists = (of(record, f1, lambda a: a) for record in (search(), final(SCORES, n=900)))
    rng = np.random.default_rng(0)
    parts = {t.number: rng.normal(0.9, 0.1, 200) for t in finalists.trials}
    judgement = judge(Search(study, finalists), parts)
    assert judgement
    assert judgement.gain
    assert judgement.gain.over == "images and seeds"
    assert "the jackknife’s pseudo-values of 200 groups" in judgement.how
    too_few = {number: values[:150] for number, values in parts.items()}
    assert judge(Search(study, finalists), too_few).gain.over == "seeds"


def test_a_loss_that_a_model_logs_has_a_share_of_every_example() -> None:
    logged = objective_of("val_loss")
    study, finalists = of(search(), logged, thousands), of(final(SCORES, n=900), logged, thousands)
    trials = tuple(
        replace(t, evaluation=replace(t.evaluation, loss=t.evaluation.values["val_loss"]))
        for t in finalists.trials
    )
    finalists = replace(finalists, trials=trials)
    noise = np.linspace(-50, 50, 900)
    judgement = judge(Search(study, finalists), {t.number: t.final_value + noise for t in trials})
    assert judgement
    assert judgement.gain
    assert judgement.gain.over == "images and seeds"
    assert "jackknife" not in judgement.how


def test_pseudo_values_tell_as_much_of_other_images_as_the_images_themselves() -> None:
    """For a metric that is a mean, both ways must come to the same interval."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 600)
    answers = [np.eye(3)[np.where(rng.random(600) < p, labels, 2 - labels)] for p in (0.8, 0.7)]
    metric = METRICS["accuracy"]
    ends = []
    for examples in (metric.examples, None):
        runs = [
            Runs((metric.measure(labels, a),), shares(metric.measure, labels, a, examples))
            for a in answers
        ]
        difference = compare_all(runs)[0, 1]
        ends.append(difference.high - difference.low)
    assert ends[1] == pytest.approx(ends[0], rel=0.2)


def test_a_loss_is_followed_down_to_zero_and_its_noise_is_known_from_seeds_only() -> None:
    values = uniform(40, 3)
    by_loss = [
        replace(
            t,
            objective=LOSS,
            curve=(replace(t.curve[0], values={"val_mse": 9000 * (1 - v)}),),
        )
        for t, v in zip(searched(values), values, strict=True)
    ]
    told = forecast(by_loss, n_validation=100, n_workers=1)
    accuracy = forecast(searched(values), n_validation=100, n_workers=1)
    assert told.best == pytest.approx(9000 * (1 - max(values)))
    assert told.gain
    assert accuracy.gain
    assert told.gain.expected == pytest.approx(9000 * accuracy.gain.expected, rel=0.05)
    assert (told.noise, told.is_flat) == (None, False)
    assert "of which nobody knows what is luck" in advice_words(told)[0]
    sure = forecast(by_loss, n_validation=100, n_workers=1, seed_spread=1e6)
    assert (sure.noise, sure.is_flat) == (1e6, True)
