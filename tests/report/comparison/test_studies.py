"""Comparisons of studies: who stands how, what is refused, and files that other programs read."""

import csv
import io
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from search.analysis.comparison import Contender, compare_studies, critical_difference, labelled
from search.analysis.cost import Hours
from search.analysis.statistics import Difference, Runs, compare_all, holm
from search.errors import InputError
from search.files import write_text
from search.objectives import objective_of
from search.records import Search, StudyRecord
from search.report.charts.drawing import Axis, log_ticks, tick_text
from search.report.charts.label_places import place
from search.report.charts.paper import write_pictures
from search.report.charts.screen import as_chart
from search.report.comparison.charts import accuracy_by_search, accuracy_per_study, pareto
from search.report.comparison.contenders import contenders, searched
from search.report.comparison.entrants import Entrant, differences
from search.report.comparison.page import write_studies
from search.report.comparison.table import standing
from search.report.comparison.words import summary
from search.report.tables import latex
from tests.analysis.test_judging import SCORES, final, hits, search
from tests.report.conftest import curve, trial
from tests.report.test_page import Page

N = 400
EVIL = "</script><script>alert(1)</script>"
GAIN = Difference(0.02, 0.01, 0.03, 0.001, "images and seeds")
UNSURE = Difference(0.02, -0.01, 0.05, 0.3, "images and seeds")


def contender(model, data="fashion", mean=0.9, *, seeds=3, **fields):
    """A model that gets about the `mean` of N images right, always the first ones, a few more with
    each seed.
    """
    kept = [np.arange(N) < round(mean * N) + k for k in range(seeds)]
    given = {
        "n_test": N,
        "n_wanted": seeds,
        "trial": 2,
        "n_params": 1000,
        "train_s": 10.0,
        "n_trials": 5,
        "search": Hours(0.5, 0.0),
        "replicates": Hours(0.1, 0.0),
        "device": "a CPU",
    }
    values = tuple(float(k.mean()) for k in kept)
    return Contender(
        f"{model}-{data}", model, data, values, np.mean(kept, axis=0), **(given | fields)
    )


LOW, BEST, NEAR = (
    contender("mlp", mean=0.80, train_s=5.0, gain=GAIN),
    contender("conv", mean=0.9025, train_s=60.0, search=Hours(0.25, 0.0), gain=UNSURE),
    contender("lenet", mean=0.90, train_s=40.0, n_params=61706),
)
ABSENT = Contender(
    "vgg-fashion",
    "vgg",
    "fashion",
    missing="no trial has a validation accuracy yet; go on",
    n_trials=2,
)
ROWS = (LOW, BEST, NEAR, ABSENT)


def of(comparison, model):
    return next(row for row in comparison.rows if row.contender.model == model)


def test_a_study_is_represented_by_what_its_validation_chose_even_if_another_does_better_on_the_test_set():
    record = final(SCORES)
    record = replace(
        record, trials=tuple(replace(t, curve=curve(0.5, seconds=t.number)) for t in record.trials)
    )
    kept = hits(record)
    found = searched(Search(search(), record), kept)
    assert (found.study, found.model, found.data, found.trial, found.missing) == (
        "s",
        "m",
        "d",
        1,
        "",
    )
    assert (found.values, found.search_value, found.document.values) == (
        SCORES[1],
        0.95,
        SCORES[0],
    )
    assert found.gain.value == pytest.approx(0.21)
    assert (found.n_params, found.train_s, found.n_trials, found.n_wanted) == (1000, 1.0, 4, 3)
    assert np.array_equal(found.shares, np.mean([kept[0], kept[1], kept[2]], axis=0))
    stale = searched(
        Search(search(), record), kept | {0: ~kept[0]}
    )  # predictions that are not those of the score
    assert np.array_equal(stale.shares, np.mean([kept[1], kept[2]], axis=0))


def test_studies_are_told_apart_by_the_paired_test_corrected_for_all_pairs_of_a_data_set():
    found = compare_studies(ROWS)
    assert [r.contender.model for r in found.rows] == ["conv", "lenet", "mlp", "vgg"]
    pairs = compare_all([Runs(c.values, c.shares) for c in (BEST, NEAR, LOW)])
    corrected = holm([pairs[0, 1].p_value, pairs[0, 2].p_value, pairs[1, 2].p_value])
    assert [r.p_value for r in found.rows] == [
        None,
        pytest.approx(corrected[0]),
        pytest.approx(corrected[1]),
        None,
    ]
    assert corrected[1] > pairs[0, 2].p_value
    assert [standing(r) for r in found.rows] == ["best", "tied", "lower", ""]
    assert [r.rank for r in found.rows] == [1, 2, 3, None]
    assert found.ranks is None
    twins = compare_studies([replace(LOW, model="a"), replace(LOW, model="b")])
    assert [(r.rank, r.p_value, standing(r)) for r in twins.rows] == [
        (1.5, None, "best"),
        (1.5, 1.0, "tied"),
    ]
    # Other data sets are other families of tests.
    apart = compare_studies([*ROWS, contender("mlp", "digits"), contender("conv", "digits", 0.5)])
    assert of(apart, "lenet").p_value == of(found, "lenet").p_value


def test_the_lowest_of_losses_is_the_best():
    loss = objective_of("mse")

    def losing(model, level):
        values = (level, level + 10, level - 10)
        shares = np.linspace(-100, 100, N) + level
        return replace(contender(model), values=values, shares=shares, objective=loss)

    comparison = compare_studies([losing("poor", 2000.0), losing("good", 1000.0)])
    assert [(row.contender.model, row.rank, standing(row)) for row in comparison.rows] == [
        ("good", 1.0, "best"),
        ("poor", 2.0, "worse"),
    ]
    assert summary(comparison)[0] == (
        "On fashion, good is best: 1,000 on 400 test images on average over 3 seeds (95 % interval"
        " 975.2 to 1,025). All others are worse by more than chance explains."
    )
    assert "a little too low" in comparison.how
    axis = accuracy_per_study(comparison).drawings[0].x
    assert axis.title == "test mean squared error"
    assert axis.low < 990
    assert axis.high > 2010


def test_studies_for_different_objectives_are_not_compared():
    others = replace(record("b"), objective=objective_of("log_loss"))
    assert differences([record("a"), others]) == [
        "studies for different objectives can’t be compared: accuracy in a and log_loss in b;"
        " compare those of one objective"
    ]


def test_mean_ranks_are_those_of_models_with_a_value_everywhere_and_tested_from_three_data_sets_on():
    means = {"a": 0.9, "b": 0.8, "c": 0.7}
    table = [contender(m, d, mean) for d in ("x", "y", "z") for m, mean in means.items()]
    ranks = compare_studies([*table, contender("d", "x")]).ranks
    assert ranks.models == (("a", 1.0), ("b", 2.0), ("c", 3.0))
    assert ranks.left_out == ("d",)
    # Friedman's χ² is 12 N / (k (k + 1)) · (Σ R² − k (k + 1)² / 4) = 3 · (14 − 12) = 6, with 2
    # degrees of freedom.
    assert ranks.p_value == pytest.approx(np.exp(-3))
    assert ranks.critical == pytest.approx(2.343 * (3 * 4 / 18) ** 0.5, abs=1e-3)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)  # Demšar (2006), page 17
    two = compare_studies([c for c in table if c.data != "z"])
    assert (two.ranks.models[0], two.ranks.p_value, two.ranks.critical) == (("a", 1.0), None, None)
    assert "Ranks are not tested" in " ".join(summary(two))
    same = compare_studies([contender(m, d) for d in ("x", "y", "z") for m in means])
    assert ([r for _, r in same.ranks.models], same.ranks.p_value) == ([2.0, 2.0, 2.0], None)
    assert "a, b and c share the best mean rank, 2.00." in " ".join(summary(same))


def record(name, data="d", **spec):
    known = {"data_digest": "a" * 64, "seed": 0, "validation_fraction": 1 / 6, "finalists": 1}
    return replace(search(), name=name, data=data, spec=known | spec)


def test_unlike_images_or_splits_under_one_name_are_refused_with_what_differs_and_the_remedy():
    alike = [record("a"), record("b"), record("c", "other", seed=1, data_digest="c" * 64)]
    assert differences(alike) == []
    digest, seed, part = differences(
        [*alike, record("e", data_digest="b" * 64, seed=2, validation_fraction=0.2)]
    )
    assert "data_digest is aaaaaaaaaaaa in a and b and bbbbbbbbbbbb in e" in digest
    assert "other images under one name" in digest
    assert "seed is 0 in a and b and 2 in e" in seed
    assert "the same SEED and validation_fraction under another NAME" in seed
    assert "validation_fraction is 0.1667 in a and b and 0.2 in e" in part
    # A fixed setting has used the images, but not the split.
    assert differences([record("a"), record("e", seed=2)], ["a"]) == []
    with pytest.raises(InputError, match="seed is 0 in a and 2 in e"):
        contenders([Entrant(r.name, "m", "d", r, None) for r in (record("a"), record("e", seed=2))])


def test_what_a_study_lacks_is_said_in_words_and_only_when_all_lack_it_is_an_error():
    def missing(study, replicates):
        return searched(Search(study, replicates), {}).missing

    bare = StudyRecord("s", "m", "d", {}, (trial(0, "FAIL", (0.9,)), trial(1, "RUNNING")))
    assert missing(bare, None).startswith("no trial has a validation accuracy yet")
    assert "--finalists 1" in missing(search(finalists=0), None)
    assert missing(search(), None).startswith("its finalists have not been trained again yet")
    assert (
        missing(search(), final({1: ("RUNNING", "not begun")}))
        == "no replicate of its best setting is finished yet"
    )
    assert (
        missing(search(), final({1: ("FAIL", "FAIL")}))
        == "all replicates of its best setting failed"
    )
    part = searched(Search(search(), final({1: (0.9, "FAIL", "RUNNING")})), {})
    assert (part.missing, len(part.values), part.n_wanted, part.n_failed) == ("", 1, 3, 1)
    with pytest.raises(InputError) as error:
        contenders(
            [Entrant(n, "m", "d", replace(bare, name=n), None) for n in ("a", "b")]
            + [Entrant("c", "m", "d", None, None)]
        )
    assert [p.split(":")[0] for p in error.value.problems] == [
        "nothing to compare yet",
        "a",
        "b",
        "c",
    ]
    assert error.value.problems[3] == "c: not run yet"


def test_a_model_that_a_data_set_has_twice_is_told_apart_by_its_study():
    again = replace(LOW, study="mine")
    assert [c.model for c in labelled([LOW, again, BEST])] == [
        "mlp (mlp-fashion)",
        "mlp (mine)",
        "conv",
    ]
    assert [c.model for c in labelled([LOW, contender("mlp", "digits")])] == ["mlp", "mlp"]


def test_the_summary_says_who_is_best_who_is_tied_what_was_gained_what_it_cost_and_what_lacks():
    first, *rest = summary(compare_studies(ROWS))
    assert (
        first.replace("\u00a0", " ")
        == "On fashion, conv has the highest test accuracy: 90.50 % of 400 test images right on"
        " average over 3 seeds (95 % interval 89.88 to 91.12 %). lenet is tied with it: chance"
        " alone can explain the difference. mlp is lower by more than chance explains. Of these"
        " 2, lenet trains fastest: in 40.0 s, with 61,706 parameters."
    )
    assert rest == [
        "The search gained over the document’s own setting for mlp (+2.00 points).",
        "For conv it may have gained nothing over the document’s own setting.",
        "The searches took 1.2 core-hours in all, training the finalists again 0.3 core-hours.",
        "vgg-fashion has no test accuracy: no trial has a validation accuracy yet; go on.",
    ]
    assert summary(compare_studies([LOW, BEST]))[0].startswith("On fashion, conv is best: ")


def test_the_pareto_front_is_of_those_that_none_beats_in_both():
    points = [(5.0, 80.0), (40.0, 90.0), (60.0, 90.0), (3.0, 70.0), (4.0, 60.0), (5.0, 79.0)]
    assert pareto(points) == [3, 0, 1]
    drawing = accuracy_by_search(compare_studies(ROWS)).drawings[0]
    front, beaten = drawing.marks
    assert [x for x, _ in front.points] == [0.25]
    assert len(beaten.points) == 2
    assert {name for name, *_ in drawing.names} == {"mlp", "conv", "lenet"}
    # An hour of a GPU is not one of a core; what was not searched has no such cost.
    mixed = [
        *ROWS,
        contender("a", search=Hours(0, 2)),
        contender("b", search=Hours(0, 3)),
        contender("c", search=None),
    ]
    units = [d.x.title for d in accuracy_by_search(compare_studies(mixed)).drawings]
    assert units == ["compute of the search (core-hours)", "compute of the search (GPU-hours)"]


@pytest.mark.parametrize(("low", "high"), [(0.0021, 0.0049), (11, 22), (5.1, 10.4), (0.2, 9000)])
def test_a_logarithmic_axis_has_round_numbers_wherever_it_lies(low, high):
    ticks = log_ticks(Axis("s", low, high, is_log=True))
    assert 3 <= len(ticks) <= 9
    assert all(
        low <= t <= high and len(tick_text(t).replace(",", "").strip("0.")) <= 3 for t in ticks
    )
    assert [tick_text(t) for t in (0.05, 1.5, 2.0, 2000.0)] == ["0.05", "1.5", "2", "2,000"]


@pytest.mark.parametrize("seed", range(3))
def test_names_hide_neither_points_nor_each_other_at_any_width(seed):
    points = [tuple(p) for p in np.random.default_rng(seed).uniform(0.3, 0.7, (12, 2))]
    names = [f"model_{i}" for i in range(12)]
    labels = place(points, names, ((265, 290), (1120, 330)))
    assert None not in labels
    for width, height in itertools.product((265, 400, 700, 1120), (290, 330)):
        boxes = []
        for (x, y), name, label in zip(points, names, labels, strict=True):
            wide = 6.5 * len(name)
            left = (
                x * width + label.dx - {"left": 0, "center": wide / 2, "right": wide}[label.align]
            )
            assert left >= 0
            assert left + wide <= width
            boxes.append((left, left + wide, y * height + label.dy - 7, y * height + label.dy + 7))
        boxes += [(x * width - 5, x * width + 5, y * height - 5, y * height + 5) for x, y in points]
        for one, other in itertools.combinations(boxes[: len(names)], 2):
            assert not overlap(one, other), (width, one, other)
        for i, j in itertools.product(range(len(names)), range(len(names))):
            assert not overlap(boxes[i], boxes[len(names) + j]), (width, names[i], j)


def overlap(one, other):
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def test_every_study_has_a_row_in_the_chart_best_first_and_what_lacks_says_so():
    figure = as_chart(accuracy_per_study(compare_studies(ROWS))).panels[0].figure
    assert figure.layout.yaxis.ticktext == ("conv", "lenet", "mlp", "vgg")
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    by_name = {t.name: [figure.layout.yaxis.ticktext[int(y)] for y in t.y] for t in figure.data}
    assert by_name["best, or tied with it"] == ["conv", "lenet"]
    assert by_name["lower than the best"] == ["mlp"]
    assert [a.text for a in figure.layout.annotations] == [
        "<i>no trial has a validation accuracy yet</i>"
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A comparison of two data sets in which names and notes mean something to spreadsheets, LaTeX
    and HTML.
    """
    odd = replace(LOW, study="=s", model="a_b & $1$ % <b>x", note="-2+3", device="@d")
    rows = (odd, BEST, NEAR, ABSENT, contender("conv", EVIL, 0.7), contender("lenet", EVIL, 0.6))
    folder = tmp_path_factory.mktemp("out")
    return write_studies("+x", compare_studies(rows), folder, facts={EVIL: EVIL, "python": "3.11"})


def test_the_csv_has_types_every_digit_and_no_formula(written):
    rows = list(csv.DictReader(io.StringIO(written.csv.read_text(encoding="utf-8"))))
    assert [r["data"] for r in rows] == ["fashion"] * 4 + [EVIL] * 2
    conv, odd, absent = rows[0], rows[2], rows[3]
    assert [odd[c] for c in ("comparison", "study", "note", "device")] == [
        "'+x",
        "'=s",
        "'-2+3",
        "'@d",
    ]
    assert float(conv["test_accuracy_mean"]) == pytest.approx(BEST.mean, abs=1e-15)
    assert (conv["n_replicates"], conv["n_params"], conv["tied_with_best"], conv["p_value"]) == (
        "3",
        "1000",
        "True",
        "",
    )
    assert (odd["gain"], odd["tied_with_best"], odd["search_core_hours"]) == (
        "0.02",
        "False",
        "0.5",
    )
    assert [absent[c] for c in ("rank", "test_accuracy_mean", "n_replicates", "n_params")] == [
        "",
        "",
        "0",
        "",
    ]
    assert absent["missing"] == ABSENT.missing


def test_the_latex_table_has_booktabs_the_best_in_bold_and_nothing_that_is_not_escaped(written):
    text = written.latex.read_text(encoding="utf-8")
    body = text.split(r"\begin{tabular}{llrrrrr}")[1].split(r"\end{tabular}")[0]
    rules = [line for line in body.splitlines() if line.startswith("\\") and line.endswith("rule")]
    assert rules == [
        r"\toprule",
        r"\midrule",
        r"\midrule",
        r"\bottomrule",
    ]  # one between the data sets
    rows = [line for line in body.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 7
    assert all(len(re.findall(r"(?<!\\)&", row)) == 6 for row in rows)
    bare = re.sub(r"\\[a-zA-Z]+|\\.|\$\\times\$|\$-\$", "", body)
    assert not set(bare) & set('#$%^_\\<>|"')
    assert body.count("{") == body.count("}")
    assert re.findall(r"\\textbf\{(\S+)~", body) == ["90.50", "70.25"]
    assert r"a\_b \& \$1\$ \% \textless{}b\textgreater{}x" in body
    assert "*" in next(row for row in rows if row.startswith("lenet"))
    assert latex("x-1 -2.5 a~b") == r"x-1 $-$2.5 a\textasciitilde{}b"


def test_the_markdown_has_both_tables(written):
    lines = written.markdown.read_text(encoding="utf-8").replace("\u00a0", " ").splitlines()
    cross = next(line for line in lines if line.startswith("| conv | 90.50"))
    assert "best | 70.25 % [" in cross
    assert any(
        line.startswith("| model | data | test accuracy [95 % interval] |") for line in lines
    )
    assert not any("<script" in line.replace(r"\<", "") for line in lines)


def test_the_page_is_one_sound_file_with_words_first_and_nothing_becomes_markup(written):
    text = written.page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    found = Page(text)
    assert not found.unbalanced
    assert not found.open
    assert found.scripts
    assert not any("alert(1)" in s and not s.strip().startswith("{") for s in found.scripts)
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {
        a[k] for _, a in found.elements for k in ("aria-labelledby", "data-figure") if k in a
    } <= set(ids)
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    charts = [a for a in found.every("div") if a.get("class") == "plot"]
    assert charts
    assert all(a["aria-label"] for a in charts)
    assert found.text.index("has the highest test accuracy") < found.text.index("against the best")
    figures = [
        json.loads(s) for s in found.scripts if s.strip().startswith("{") and '"layout"' in s
    ]
    names = {
        a["text"] for f in figures if "layout" in f for a in f["layout"].get("annotations", ())
    }
    assert "a_b &amp; $1$ % &lt;b&gt;x" in names


def test_the_figures_are_files_for_papers_too_and_always_the_same(written, tmp_path):
    keys = ("accuracy-per-model", "accuracy-by-training", "accuracy-by-search")
    expected = {f"{key}.{ending}" for key in keys for ending in ("html", "png", "svg")} | {
        "plotly.min.js"
    }
    assert {p.name for p in written.figures.iterdir()} == expected
    png = (written.figures / "accuracy-per-model.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20]) == 1440  # 7.2 inches of 200 dots
    picture, nothing = (
        accuracy_per_study(compare_studies([LOW])),
        accuracy_by_search(compare_studies([LOW])),
    )
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_text(folder / f"{nothing.key}.svg", "of an earlier comparison")
        write_pictures([picture, nothing], folder)
        # What there is nothing to draw for any more does not stay.
        assert {p.name for p in folder.iterdir()} == {
            "accuracy-per-model.png",
            "accuracy-per-model.svg",
        }
    assert (tmp_path / "a" / "accuracy-per-model.svg").read_bytes() == (
        tmp_path / "b" / "accuracy-per-model.svg"
    ).read_bytes()
