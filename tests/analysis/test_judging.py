import logging
from dataclasses import replace

import numpy as np
import pytest

from search.analysis.judging import judge
from search.analysis.statistics import Runs, compare_all, holm, mean_interval
from search.errors import InputError
from search.records import Evaluation, Search, StudyRecord
from search.report.leaderboard.columns import FINALIST_COLUMNS, Row
from search.report.read_evidence import read_shares
from search.report.text.finalists import finalist_rows, judgement_words
from search.study.spec import Replicate
from tests.report.conftest import trial

N = 200
SEARCH = (0.80, 0.95, 0.90, 0.93)
"""Validation accuracies of trials 0…3: trial 1 is chosen, then 3 and 2; trial 0 is the document's
setting.
"""
SCORES = {1: (0.90, 0.91, 0.92), 3: (0.91, 0.93, 0.92), 0: (0.70, 0.71, 0.69)}


def search(finalists=2, accuracies=SEARCH, **changes):
    rows = tuple(trial(i, "COMPLETE", (a,)) for i, a in enumerate(accuracies))
    spec = {
        "finalists": finalists,
        "n_replicates": 3,
        "epochs": 3,
        "space": {"source": "a paper"},
    } | changes
    return StudyRecord("s", "m", "d", spec, rows)


def final(scores, n=N, stop_at=1, baseline_stop_at=3):
    """`scores` by source: the test accuracy of each replicate, or the state of one that has
    none.
    """
    replicates, rows = [], []
    for source, values in scores.items():
        for value in values:
            number = len(replicates)
            made = Replicate(
                setting={},
                seed=number,
                source=source,
                epochs=3,
                train_on="all",
                evaluate="test",
                stop_at=stop_at if source else baseline_stop_at,
            )
            replicates.append(made.model_dump(mode="json"))
            scored = isinstance(value, float)
            found = Evaluation("test", value, 0.3, n) if scored else None
            if value != "not begun":
                rows.append(trial(number, "COMPLETE" if scored else value, evaluation=found))
    return StudyRecord("s.final", "m", "d", {"replicates": replicates}, tuple(rows))


def hits(record):
    """Predictions as the scores say: right on the first images, but for two that each replicate
    gets wrong.
    """
    found = {}
    for t in record.trials:
        if t.evaluation:
            found[t.number] = (
                np.arange(t.evaluation.n) < round(t.evaluation.accuracy * t.evaluation.n) + 2
            )
            found[t.number][[2 * t.number, 2 * t.number + 1]] = False
    return found


def judged(scores=SCORES, study=None, **options):
    record = final(scores, **options)
    return judge(Search(study or search(), record), hits(record))


def by_trial(judgement):
    return {row.trial: row for row in judgement.rows}


def test_finalists_are_listed_by_validation_and_judged_by_their_replicates():
    found = judged()
    assert [(r.trial, r.rank, r.is_document, r.is_extra) for r in found.rows] == [
        (1, 1, False, False),
        (3, 2, False, False),
        (0, 4, True, True),
    ]
    assert [r.values for r in found.rows] == list(SCORES.values())
    assert [r.interval for r in found.rows] == [mean_interval(v) for v in SCORES.values()]
    assert [r.search_value for r in found.rows] == [0.95, 0.93, 0.80]
    assert [r.optimism for r in found.rows] == pytest.approx([0.04, 0.01, 0.10])
    assert (found.n_test, found.is_complete) == (N, True)
    assert found.champion.trial == 1
    assert found.best.trial == 3


def test_the_documents_setting_comes_last_where_it_is_no_finalist_any_more():
    scores = {1: (0.9, 0.91), 0: (0.8, 0.81), 2: (0.9, 0.91)}
    found = judged(scores, study=search(finalists=1, accuracies=(0.92, 0.95, 0.90)))
    assert [(r.trial, r.rank) for r in found.rows] == [(1, 1), (2, 3), (0, 2)]


def test_p_values_against_the_best_are_corrected_for_all_pairs_and_the_gain_is_not():
    found = judged()
    kept = hits(final(SCORES))
    runs = [
        Runs(v, np.mean([kept[3 * i + k] for k in range(3)], axis=0))
        for i, v in enumerate(SCORES.values())
    ]
    pairs = compare_all(runs)
    corrected = dict(zip(pairs, holm([d.p_value for d in pairs.values()]), strict=True))
    assert finalist_rows(found)[2].p_value == "< 0.001"
    assert [(r.p_value, r.tied_with_best) for r in found.rows] == [
        (pytest.approx(corrected[0, 1]), True),
        (None, True),
        (pytest.approx(corrected[1, 2]), False),
    ]
    assert corrected[1, 2] == pytest.approx(3 * pairs[1, 2].p_value)
    assert found.gain == pairs[0, 2]
    assert found.gain.low > 0.15
    assert found.optimism == pytest.approx(
        0.025
    )  # over the two finalists, not the document's setting: 4 and 1 points


def test_what_has_not_ended_is_waited_for_and_what_failed_is_left_out():
    found = judged(
        {1: (0.91, 0.92, "RUNNING"), 3: (0.90, "FAIL", "not begun"), 0: ("FAIL", "FAIL", "PRUNED")}
    )
    assert [(len(r.values), r.n_wanted, r.n_failed) for r in found.rows] == [
        (2, 3, 0),
        (1, 3, 1),
        (0, 3, 3),
    ]
    assert by_trial(found)[3].interval == mean_interval((0.90,))
    assert by_trial(found)[0].tied_with_best is None
    assert found.gain is None
    assert not found.is_complete
    assert judged({1: (0.91, "FAIL"), 3: (0.9, 0.9), 0: (0.8, 0.8)}).is_complete
    # A search that went on has found a better setting since.
    assert not judged({3: (0.9, 0.9), 0: (0.8, 0.8)}).is_complete


def test_a_replicate_of_what_a_trial_was_before_it_trained_on_does_not_count():
    assert [row.trial for row in judged(stop_at=2).rows] == [0]
    assert judged(stop_at=2, baseline_stop_at=2) is None


def test_a_baseline_that_was_cut_short_is_said_to_be_and_no_gain_over_it_is_claimed():
    """As an earlier version trained it: to its best epoch."""
    found = judged(baseline_stop_at=1)
    assert (found.gain, by_trial(found)[0].trained, by_trial(found)[0].is_cut) == (
        None,
        (1, 3),
        True,
    )
    words = judgement_words(found)
    assert words[1].startswith(
        "No gain over the document's setting is claimed: it was cut to 1 of its 3 epochs. "
    )
    assert "3 × 3 epochs, about 13.5 s of training" in words[1]
    assert "Trial 0 (the document's setting, cut to 1 of its 3 epochs) is lower" in " ".join(words)
    assert finalist_rows(found)[2].note == "the document's setting, cut to 1 of its 3 epochs"
    other = judgement_words(judged(study=search(space={}), baseline_stop_at=1))
    assert other[1].startswith("No gain over the baseline is claimed")


def test_a_baseline_that_was_left_out_or_failed_leaves_no_gain_and_its_cost_is_named():
    left_out = judged({1: (0.9, 0.91), 3: (0.9, 0.92)}, study=search(finalists=None))
    assert left_out.is_complete
    assert (
        "is claimed: it was left out. To train it in full takes 3 × 3 epochs, about 13.5 s"
        in left_out.no_gain
    )
    first = replace(
        search().trials[0], params={"early_stopping": 2}, total_epochs=2
    )  # of its 3 epochs
    watching = replace(search(finalists=None), trials=(first, *search().trials[1:]))
    assert "takes 4 × 3 epochs, about 18.0 s" in judged({1: (0.9,)}, study=watching).no_gain
    failed = judged({1: (0.9, 0.91), 3: (0.9, 0.92), 0: ("FAIL", "FAIL")})
    assert "can be told: none of its 2 replicates ended well" in failed.no_gain
    without = search()
    without = replace(
        without, trials=(replace(without.trials[0], state="FAIL"), *without.trials[1:])
    )
    assert (
        "can be told: trial 0 has no value" in judged({1: (0.9,), 3: (0.9,)}, study=without).no_gain
    )
    assert (judged().no_gain, judged({1: (0.9,), 3: (0.9,), 0: ("RUNNING",)}).no_gain) == ("", "")


def test_a_baseline_waits_for_the_validated_training_that_it_replays():
    record = final({1: (0.9,), 3: (0.9,)})
    pilot = Replicate(
        setting={"early_stopping": 2},
        seed=9,
        source=0,
        epochs=3,
        train_on="train",
        evaluate="validation",
    )
    record = replace(
        record, spec={"replicates": [*record.spec["replicates"], pilot.model_dump(mode="json")]}
    )
    for state, n_failed in ((None, 0), ("RUNNING", 0), ("COMPLETE", 0), ("FAIL", 3)):
        done = {"evaluation": Evaluation("validation", 0.9, 0.3, 50)} if state == "COMPLETE" else {}
        rows = (trial(2, state, (0.8,), **done),) if state else ()
        found = judge(Search(search(), replace(record, trials=(*record.trials, *rows))), {})
        row = by_trial(found)[0]
        assert (row.n_wanted, row.n_failed, row.values, found.n_test) == (3, n_failed, (), N)
        assert (found.is_complete, bool(found.no_gain)) == (bool(n_failed), bool(n_failed))


@pytest.mark.parametrize("spec", [{}, {"replicates": []}])
def test_without_replicates_there_is_nothing_to_judge(spec):
    assert judge(Search(search()), {}) is None
    assert judge(Search(search(), StudyRecord("s.final", "m", "d", spec)), {}) is None


def test_replicates_of_another_version_are_refused():
    with pytest.raises(InputError, match=r"replicates of study 's' .* choose another NAME"):
        judge(Search(search(), StudyRecord("s.final", "m", "d", {"replicates": [{"from": 3}]})), {})


def test_without_predictions_seeds_alone_judge_and_it_says_so():
    record = final(SCORES)
    blind = judge(Search(search(), record), {})
    assert blind.gain.over == "seeds"
    assert "over the seeds alone" in blind.how
    kept = hits(record)
    kept |= {0: kept[0][:-1], 1: ~kept[1], 2: np.append(kept[2], True)}
    assert judge(Search(search(), record), kept) == judge(
        Search(search(), record), {n: kept[n] for n in range(3, 9)}
    )
    assert judge(Search(search(), record), kept).gain.over == "seeds"
    # One that was scored on other images than most is judged by its accuracy only.
    odd = replace(record.trials[0], evaluation=Evaluation("test", 0.9, 0.3, 100))
    other = replace(record, trials=(odd, *record.trials[1:]))
    assert judge(Search(search(), other), hits(other)).gain.over == "images and seeds"
    # One that is left speaks for its setting.
    kept[1] = ~kept[1]
    assert judge(Search(search(), record), kept).gain.over == "images and seeds"


def test_single_replicates_are_judged_over_images_alone_and_without_predictions_not_at_all():
    one = {1: (0.91,), 3: (0.90,), 0: (0.70,)}
    found = judged(one)
    assert [r.tied_with_best for r in found.rows] == [True, True, False]
    assert found.gain.over == "images"
    assert "McNemar" in found.how
    assert [r.interval.low for r in found.rows] == [None] * 3
    blind = judge(Search(search(), final(one)), {})
    assert [r.tied_with_best for r in blind.rows] == [True, None, None]
    assert blind.gain[1:4] == (None, None, None)
    assert (
        "Trials 3 and 0 (the document's setting, its 3 epochs) are not comparable with trial 1"
        in " ".join(judgement_words(blind))
    )


def test_equal_predictions_are_tied_with_p_1():
    record = final({1: (0.9, 0.9), 3: (0.9, 0.9), 0: (0.9, 0.9)})
    found = judge(Search(search(), record), {n: np.arange(N) < 180 for n in range(6)})
    assert [(r.p_value, r.tied_with_best) for r in found.rows] == [
        (None, True),
        (1.0, True),
        (1.0, True),
    ]
    assert found.gain[:4] == (0.0, None, None, 1.0)
    assert "That is the same as the document's setting" in " ".join(judgement_words(found))


def write(folder, record, **changed):
    """Evidence files as workers write them; `changed` by number: arrays in another way."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    true = rng.choice([0, 2], N)  # no image of class 1
    for number, right in hits(record).items():
        arrays = {
            "split": np.array("test"),
            "step": np.array(1),
            "true": true.astype(np.uint16),
            "predicted": np.where(right, true, 1).astype(np.uint16),
            "confidence": np.full(N, 0.5, np.float32),
            "wrong_index": np.zeros(0, np.int64),
            "wrong_images": np.zeros((0, 2, 2, 1), np.uint8),
        } | changed.get(f"r{number}", {})
        np.savez(folder / f"trial-{number:04}.npz", **arrays)


def test_predictions_are_read_from_the_evidence_and_what_is_missing_or_strange_is_left_out(
    tmp_path, caplog
):
    record = final(SCORES)
    shuffled = {"true": np.ones(N, np.uint16)}
    write(tmp_path / "e", record, r2={"split": np.array("validation")}, r5=shuffled)
    (tmp_path / "e" / "trial-0001.npz").unlink()
    (tmp_path / "e" / "trial-0003.npz").write_bytes(b"PK damaged")
    with caplog.at_level(logging.WARNING):
        found = read_shares(tmp_path / "e", record)
    assert sorted(found) == [0, 4, 6, 7, 8]
    assert all(np.array_equal(found[n], hits(record)[n]) for n in found)
    assert "trial-0003.npz can't be read" in caplog.text
    assert "replicates [5] are of other images" in caplog.text
    assert judge(Search(search(), record), found).gain.over == "images and seeds"
    assert read_shares(tmp_path / "e", None) == {}


def test_the_words_say_what_was_chosen_gained_and_tied():
    words = judgement_words(judged())
    assert (
        words[0]
        == "The search chose trial 1: trained again on 3 fresh seeds, it gets 91.00\u00a0% of 200"
        " test images right on average (95 % interval over seeds 88.52 to 93.48\u00a0%)."
    )
    assert words[1].startswith(
        "That is 21.00 points above the document's setting (trial 0, 70.00\u00a0%, "
    )
    assert words[2:5] == [
        "Trial 3 has the highest mean on the test set, 92.00\u00a0%.",
        (
            "Trial 1 is tied with trial 3: with 2 compared to it at once, chance alone can explain"
            " the difference."
        ),
        (
            "Trial 0 (the document's setting, its 3 epochs) is lower than trial 3 by more than"
            " chance explains."
        ),
    ]
    assert "4.00 points above its test accuracy" in words[5]
    assert (
        "Over 2 finalists search scores lie 2.50 points above test accuracies on average"
        in words[6]
    )


def test_the_words_of_an_unfinished_test_say_so():
    words = judgement_words(
        judged({1: (0.91, 0.92, "RUNNING"), 3: (0.90, "FAIL", "not begun"), 0: (0.91, 0.90, 0.92)})
    )
    assert words[0] == "The finalists are being trained again: 6 of 9 replicates finished so far."
    assert words[1] == "1 replicate failed and is left out."
    assert "on 2 fresh seeds" in words[2]
    assert "(too few seeds for an interval)" in words[2]
    assert words[3].endswith("; too few replicates for an interval.")
    early = judgement_words(judged({1: ("FAIL",), 3: ("RUNNING",), 0: ("not begun",)}))
    assert early[-1] == "The search chose trial 1; all its replicates failed."
    later = judgement_words(judged({3: (0.9, 0.91), 0: (0.8, 0.8)}))
    assert "The trial that is first by validation now has not been trained again yet." in later


def test_where_the_search_chose_the_documents_own_setting_nothing_was_gained():
    found = judged({0: (0.9, 0.91), 1: (0.91, 0.9)}, study=search(accuracies=(0.95, 0.9, 0.8)))
    assert found.gain is None
    assert [(r.trial, r.is_extra) for r in found.rows] == [(0, False), (1, False)]
    assert judgement_words(found)[0].startswith(
        "The search chose the document's setting, its 3 epochs (trial 0): "
    )


def test_a_test_set_that_disagrees_with_validation_does_not_choose():
    words = judgement_words(
        judged({1: (0.80, 0.81, 0.80), 3: (0.92, 0.92, 0.93), 0: (0.85, 0.86, 0.85)})
    )
    assert "below the document's setting" in words[1]
    assert (
        "The choice stays with validation all the same: a test set that chooses is no test any"
        " more." in words
    )


def test_the_table_is_text_and_the_columns_are_numbers():
    found = judged({1: (0.91, 0.92, "RUNNING"), 3: (0.90, "FAIL"), 0: (0.70, 0.71)})
    first, second, last = finalist_rows(found)
    assert (first.rank, first.trial, first.note, first.search) == (
        "1",
        "1",
        "chosen by the search",
        "95.00\u00a0%",
    )
    assert (first.test, first.replicates, first.verdict) == (
        "91.50\u00a0%",
        "2 of 3",
        "best on the test set",
    )
    assert (first.p_value, first.optimism) == ("–", "+3.50")
    assert (second.interval, second.replicates) == ("too few seeds", "1 of 2, 1 failed")
    assert second.verdict == "tied with the best"
    assert (last.note, last.verdict, last.p_value) == (
        "the document's setting, its 3 epochs",
        "lower",
        "0.002",
    )
    short = replace(found, rows=[replace(row, trained=(1, 1)) for row in found.rows])
    assert finalist_rows(short)[-1].note == "the document's setting, its 1 epoch"
    finalists = {row.trial: row for row in found.rows}
    rows = [Row(1, search(), trial(0, "FAIL"), finalists.get(number)) for number in (2, 3, 1)]
    columns = {column.name: [column.value(row) for row in rows] for column in FINALIST_COLUMNS}
    assert columns["test_accuracy_mean"] == [None, 0.90, pytest.approx(0.915)]
    assert columns["test_accuracy_ci_low"] == [None, None, None]
    assert columns["n_replicates"] == [None, 1, 2]
    assert columns["tied_with_best"] == [None, True, True]
