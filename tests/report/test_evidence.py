import base64
import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from sklearn.metrics import classification_report, confusion_matrix, r2_score

from search.records import Search
from search.report.charts.confusion import confusion, confusion_chart, most_confused
from search.report.charts.images import picture
from search.report.charts.network import BOX_HEIGHT, BOX_WIDTH, diagram
from search.report.classes import class_table
from search.report.evidence import Evidence, Layer, Network, NumberPredictions, Predictions, Samples
from search.report.read_evidence import read_evidence
from search.report.study_report import write_report
from search.report.text.constant_answer import cautions
from search.training.kept_network import Verdict
from search.words import percent
from tests.report.finished import final_of, finished
from tests.report.test_page import Page

EVIL = "</script><script>alert(1)</script>"
SIX = ["Conv2DTranspose", "Activation", "MaxPooling2D", "Flatten", "Dense", "Dense"]


def predictions(n=500, n_classes=10, seed=0, split="validation"):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, n)
    predicted = np.where(rng.random(n) < 0.7, true, rng.integers(0, n_classes, n))
    wrong = np.nonzero(true != predicted)[0][:48]
    images = rng.integers(0, 256, (len(wrong), 28, 28, 1), dtype=np.uint8)
    return Predictions(split, 2, true, predicted, rng.random(n), wrong, images)


def layer(name, *inputs, type="Dense", shape=(10,), n_params=5, trainable=True):  # noqa: A002
    return Layer(name, type, shape, n_params, trainable, inputs)


def chain(types):
    return [layer(f"l{i}", *([f"l{i - 1}"] if i else []), type=t) for i, t in enumerate(types)]


def write(folder, found, names, trial=3, **changed):
    """Evidence files as workers write them."""
    evidence = folder / "evidence"
    evidence.mkdir(parents=True, exist_ok=True)
    images = np.zeros((len(names), 8, 28, 28, 1), np.uint8)
    counts = np.arange(len(names)) + 1000
    np.savez_compressed(
        evidence / "samples.npz", images=images, class_names=np.array(names), counts=counts
    )
    arrays = {
        "split": np.array(found.split),
        "step": np.array(found.step),
        "true": found.true.astype(np.uint16),
        "predicted": found.predicted.astype(np.uint16),
        "confidence": found.confidence.astype(np.float32),
        "wrong_index": found.wrong_index,
        "wrong_images": found.wrong_images,
    } | changed
    np.savez_compressed(evidence / f"trial-{trial:04}.npz", **arrays)
    layers = [vars(x) for x in chain([EVIL if EVIL in names else t for t in SIX])]
    network = {"layers": layers, "n_params": 721430, "n_trainable": 721430}
    (evidence / f"network-{trial:04}.json").write_text(json.dumps(network))
    return evidence


def replicated(search):
    """The study of its replicates, with what each of them repeats."""
    each = {
        "setting": {},
        "seed": 1,
        "epochs": 2,
        "stop_at": 2,
        "train_on": "all",
        "evaluate": "test",
    }
    replicates = [each | {"source": source} for source in (1, 1, 0, 0)]
    return replace(final_of(search), spec={**search.spec, "replicates": replicates})


def read_page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("n", "n_classes"), [(500, 10), (40, 25), (1, 2)])
def test_the_numbers_are_scikit_learns(n, n_classes):
    found = predictions(n, n_classes)
    found.predicted[found.predicted == 1] = 0  # a class that is never predicted
    found.true[found.true == 0] = 1  # and one without images
    names = [f"c{i}" for i in range(n_classes)]
    labels = list(range(n_classes))
    expected = classification_report(
        found.true,
        found.predicted,
        labels=labels,
        target_names=names,
        output_dict=True,
        zero_division=0,
    )
    table = class_table(found, names).set_index("class")
    right = float(np.mean(found.true == found.predicted))
    assert table.loc["accuracy", "f1"] == pytest.approx(right)
    for name in [*names, "macro avg", "weighted avg"]:
        want = expected[name]
        got = table.loc[name]
        assert got[["precision", "recall", "f1"]].tolist() == pytest.approx(
            [want["precision"], want["recall"], want["f1-score"]]
        )
        assert got["support"] == want["support"]
    every = np.arange(n_classes)
    expected_matrix = confusion_matrix(found.true, found.predicted, labels=every)
    assert (confusion(found.true, found.predicted, every) == expected_matrix).all()
    some = every[1::2]
    assert (
        confusion(found.true, found.predicted, some) == expected_matrix[np.ix_(some, some)]
    ).all()


def test_a_reader_sees_the_chosen_model(study, tmp_path):
    names = ["T-shirt", *(f"class {i}" for i in range(1, 10))]
    found = predictions()
    write(tmp_path, found, names)
    paths = write_report(Search(study), tmp_path).paths
    page = read_page(paths.page)
    n_wrong = found.n_wrong
    assert f"trial 3 recognises {500 - n_wrong} of 500 validation images" in page.text
    assert "slightly better than it will be on new images" in page.text
    assert (
        f"{n_wrong} of 500 validation images ({100 * n_wrong / 500:.2f} %) were misclassified"
        in page.text
    )
    assert "6 layers with 721,430 weights, all trainable" in page.text
    assert "T-shirt 1,000 images" in page.text
    i = found.wrong_index[0]
    assert f"{names[found.true[i]]}:{names[found.predicted[i]]}" in page.text
    images = page.every("img")
    assert len(images) == 10 * 8 + len(found.wrong_index)
    assert all(a["src"].startswith("data:image/png;base64,") and a["alt"] for a in images)
    assert [a["class"] for a in page.every("g")].count("box weighted") == 6
    assert not page.unbalanced
    anchors = {a["href"] for a in page.every("a")}
    assert {"#samples", "#network", "#predictions"} <= anchors
    rows = list(csv.reader(io.StringIO(paths.classes.read_text(encoding="utf-8"))))
    assert rows[0] == ["class", "precision", "recall", "f1", "support"]
    assert [r[0] for r in rows[1:]] == [*names, "accuracy", "macro avg", "weighted avg"]
    assert rows[-3][1:3] == ["", ""]
    assert "heatmap" in (paths.figures / "confusion.html").read_text(encoding="utf-8")


def test_the_exported_network_is_judged_on_the_test_set_beside_the_best_trial(study, tmp_path):
    search, names = finished(study), list("abcdefghij")
    write(tmp_path, predictions(), names, trial=1)
    exported = predictions(200, seed=1, split="test")
    write(tmp_path / "final", exported, names, trial=0)
    paths = write_report(
        Search(search, replicated(search)), tmp_path, None, tmp_path / "final" / "evidence"
    ).paths
    page = read_page(paths.page)
    right = 200 - exported.n_wrong
    assert f"the exported network recognises {right} of 200 test images" in page.text
    assert "trial 1 recognises" in page.text
    assert page.text.index("Misclassified test images") < page.text.index(
        "Misclassified validation images"
    )
    assert {"confusion-1", "confusion_test-1"} <= set(page.ids)
    assert {"confusion.html", "confusion_test.html"} <= {
        path.name for path in paths.figures.iterdir()
    }
    expected = class_table(exported, names)
    cells = [a["data-value"] for a in page.every("td") if "data-value" in a]
    assert str(expected.loc[0, "precision"]) in cells
    assert f"lowest F1 on test images is {100 * expected['f1'][:10].min():.2f} %" in page.text
    assert not page.unbalanced
    rows = list(csv.reader(io.StringIO(paths.classes.read_text(encoding="utf-8"))))
    assert rows[-1][-1] == "500", "classes.csv is of the validation images"


def test_evidence_is_read_from_wherever_workers_kept_it(study, tmp_path, monkeypatch, caplog):
    write(tmp_path / "elsewhere", predictions(), list("abcdefghij"))
    store = f"memory://{tmp_path}/evidence"
    fsspec.filesystem("memory").put(str(tmp_path / "elsewhere" / "evidence"), store, recursive=True)
    for place in (tmp_path / "elsewhere" / "evidence", store):
        page = read_page(write_report(Search(study), tmp_path / "report", place).paths.page)
        assert len(page.every("img")) == 10 * 8 + 48
    assert not caplog.records
    monkeypatch.setattr(MemoryFileSystem, "get_file", lambda *_: 1 / 0)
    read_page(write_report(Search(study), tmp_path / "report", store).paths.page)
    assert f"{store} is out of reach" in caplog.text


@pytest.mark.parametrize(
    "trouble", ["the store is down", "the share is not mounted", "another host's file"]
)
def test_what_earlier_reports_wrote_stays_while_evidence_is_out_of_reach(
    study, tmp_path, monkeypatch, caplog, trouble
):
    def down(*_):
        raise PermissionError("no") if trouble == "another host's file" else OSError("no route")

    monkeypatch.setattr("search.report.champion_network.verify", lambda *_: Verdict("alone", ""))
    search = finished(study)
    final = replicated(search)
    store, report = f"memory://{tmp_path}/evidence", tmp_path / "report"
    evidence = write(tmp_path / "elsewhere", predictions(), list("abcdefghij"), trial=1)
    (evidence / "model-0000.keras").write_bytes(b"network")
    memory = fsspec.filesystem("memory")
    memory.put(str(evidence), store, recursive=True)
    before = write_report(Search(search, final), report, store, store).paths
    files = {
        path: path.read_bytes()
        for path in (before.classes, before.model, before.figures / "confusion.html")
    }
    if trouble == "the share is not mounted":
        memory.rm(store, recursive=True)
    else:
        monkeypatch.setattr(MemoryFileSystem, "get_file", down)
    after = write_report(Search(search, final), report, store, store).paths
    assert (after.classes, after.model) == (before.classes, before.model)
    assert {path: path.read_bytes() for path in files} == files
    assert "classes.csv is left as an earlier report wrote it" in caplog.text
    assert "model.keras is left as an earlier report wrote it" in caplog.text
    page = read_page(after.page)
    assert page.text.count("can’t be shown now: the study’s evidence is out of reach") == 3
    assert "were not kept" not in page.text


def test_the_page_says_which_images_were_judged(study, tmp_path):
    for split, words in (
        ("test", "no epoch was chosen by these"),
        ("train", "trained on these very images"),
    ):
        write(tmp_path, predictions(split=split), list("abcdefghij"))
        assert words in read_page(write_report(Search(study), tmp_path).paths.page).text


def test_without_evidence_each_section_says_so_and_an_old_table_goes(study, tmp_path):
    evidence = write(tmp_path, predictions(), list("abcdefghij"))
    assert write_report(Search(study), tmp_path).paths.classes.exists()
    for file in evidence.iterdir():
        file.unlink()
    paths = write_report(Search(study), tmp_path).paths
    assert paths.classes is None
    assert not (tmp_path / "classes.csv").exists()
    page = read_page(paths.page)
    for sentence in (
        "No sample images were kept",
        "network were not kept",
        "predictions were not kept",
    ):
        assert sentence in page.text
    assert not page.every("img")
    assert not page.unbalanced


def test_damaged_files_count_as_missing(tmp_path):
    evidence = write(tmp_path, predictions(), list("abcdefghij"))
    whole = {file: file.read_bytes() for file in evidence.iterdir()}
    for file, content in whole.items():
        rng = np.random.default_rng(0)
        flipped = [
            content[:i] + bytes([content[i] ^ 255]) + content[i + 1 :]
            for i in rng.integers(0, len(content), 60)
        ]
        for damaged in (b"", b"PK\x03\x04", content[: len(content) // 2], content[:-30], *flipped):
            file.write_bytes(damaged)
            read_evidence(evidence, 3)  # what can't be read does no harm
        file.write_bytes(content[: len(content) // 2])
    found = read_evidence(evidence, 3)
    assert (found.samples, found.predictions, found.network) == (None, None, None)
    (evidence / "network-0003.json").unlink()
    (evidence / "network-0003.json").mkdir()
    assert read_evidence(evidence, 3).network is None


@pytest.mark.parametrize(
    "changed",
    [
        {"split": np.array("holdout")},
        {"predicted": np.zeros(3, np.uint16)},
        {"true": np.zeros(500, np.float32)},
        {"wrong_index": np.full(48, 500)},
        {"wrong_index": np.arange(3)},
        {"wrong_images": np.zeros((48, 28, 28, 1), np.float32)},
        {"wrong_images": np.array([{}], dtype=object)},
        {
            "true": np.zeros(0, np.uint16),
            "predicted": np.zeros(0, np.uint16),
            "confidence": np.zeros(0, np.float32),
        },
    ],
)
def test_predictions_that_contradict_themselves_count_as_missing(tmp_path, changed):
    evidence = write(tmp_path, predictions(), list("abcdefghij"), **changed)
    assert read_evidence(evidence, 3).predictions is None
    assert read_evidence(evidence, 3).samples is not None


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_code_in_a_file_is_run(tmp_path):
    array = np.array([Touch(tmp_path / "run")], dtype=object)
    evidence = write(tmp_path, predictions(), list("abcdefghij"), wrong_images=array)
    assert read_evidence(evidence, 3).predictions is None
    assert not (tmp_path / "run").exists()


def test_names_are_shown_letter_by_letter(study, tmp_path):
    write(tmp_path, predictions(n_classes=3), [EVIL, "=cmd()", '"><img src=x onerror=alert(1)>'])
    paths = write_report(Search(study), tmp_path).paths
    for file in (paths.page, paths.figures / "confusion.html"):
        page = read_page(file)
        assert not page.unbalanced
        images = page.every("img")
        assert bool(images) == (file == paths.page)
        assert all(a["src"].startswith("data:") for a in images)
        assert page.scripts
        assert not any("alert(1)" in s and not s.strip().startswith("{") for s in page.scripts)
    page = read_page(paths.page)
    assert EVIL in page.text
    assert any(EVIL in a["alt"] for a in page.every("img"))
    kept = read_evidence(tmp_path / "evidence", 3)
    chart = confusion_chart(kept.predictions, kept.class_names).panels[0].figure
    assert "true &lt;/script&gt;" in chart.data[0].text[0][0]  # Plotly reads tags in its labels
    assert chart.layout.xaxis.ticktext[0].startswith("&lt;/script&gt;")
    rows = list(csv.reader(io.StringIO(paths.classes.read_text(encoding="utf-8"))))
    assert rows[2][0] == "'=cmd()"


def test_a_thousand_classes_are_bounded_and_it_is_said(study, tmp_path):
    found = predictions(20_000, 1000)
    found.true[:40], found.predicted[:40] = 777, 778
    write(tmp_path, found, [f"n{i}" for i in range(1000)])
    paths = write_report(Search(study), tmp_path).paths
    page = read_page(paths.page)
    assert "Drawn: the 30 of 1,000 classes with the most mistakes" in page.text
    assert "the first 30 of 1,000 classes" in page.text
    assert len(page.every("img")) <= 120 + 48
    assert paths.page.stat().st_size < 7e6
    assert {777, 778} <= set(most_confused(found, 1000))
    shown = confusion_chart(found, Evidence(predictions=found).class_names).panels[0].figure.data[0]
    assert (len(shown.z), len(shown.z[0])) == (30, 30)


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        (
            [0] * 90 + [1] * 10,
            [0] * 100,
            "calls every one of 100 validation images “cat” and is right on 90.00\u00a0%",
        ),
        (
            [1] * 90 + [0] * 10,
            [0] * 100,
            "and is right on 10.00\u00a0%; naming the largest class, “dog”",
        ),
        ([0] * 60 + [1] * 40, [0] * 99 + [1], "calls 99.00\u00a0% of 100 validation images “cat”"),
        (
            [0] * 70 + [1] * 30,
            [0] * 60 + [1] * 10 + [0] * 20 + [2] * 10,
            "is right on 60.00\u00a0% of 100",
        ),
        (
            [0] * 98 + [1] * 2,
            [0] * 98 + [1] * 2,
            "",
        ),  # few images of other classes, and all of them recognised
        ([0] * 50 + [1] * 50, [0] * 40 + [1] * 60, ""),
        ([2] * 10, [2] * 10, ""),
    ],
)
def test_a_network_no_better_than_a_constant_answer_is_said_to_be(
    study, tmp_path, true, predicted, expected
):
    none = np.zeros(0, np.int64)
    images = np.zeros((0, 28, 28, 1), np.uint8)
    found = Predictions(
        "validation", 2, np.array(true), np.array(predicted), np.ones(len(true)), none, images
    )
    write(tmp_path, found, ["cat", "dog", "bird"])
    report = write_report(Search(study), tmp_path)
    page = read_page(report.paths.page).text
    if not expected:
        assert report.cautions == []
        assert " Caution " not in page
        return
    (caution,) = report.cautions
    assert caution.startswith("Trial 3 ")
    assert expected in caution
    largest = max(true.count(label) for label in set(true)) / len(true)
    assert caution.endswith(f"whatever the image, gets {percent(largest)}.")
    assert " ".join(caution.split()) in page
    assert page.index(caution.split(";")[0].replace("\u00a0", " ")) < page.index("Ranked by")


def test_numbers_that_are_no_nearer_than_their_mean_are_said_to_be(study):
    true = np.arange(20.0)[:, None]
    nearer = NumberPredictions("validation", 2, true, true + 1)
    farther = NumberPredictions("test", 2, true, true * 0)
    (caution,) = cautions(study, Evidence(predictions=nearer, exported=farther))
    r2 = r2_score(true, farther.predicted)
    assert caution.startswith(f"The exported network has an R² of {r2:.3g} on 20 test ")
    assert "naming the mean of their true numbers, whatever the" in caution
    constant = NumberPredictions("test", 2, np.ones((20, 1)), true)
    assert cautions(study, Evidence(exported=constant)) == []


def test_labels_without_a_name_are_shown_by_number():
    samples = Samples(np.zeros((2, 1, 4, 4, 1), np.uint8), ("a", "b"), (1, 1))
    assert Evidence(samples, predictions(n_classes=4)).class_names == ("a", "b", "2", "3")
    assert Evidence().class_names == ()


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 20, 3), (300, 200, 3), (5, 5, 4), (6, 6, 2)])
def test_pictures_keep_their_pixels_and_are_shown_at_a_whole_factor(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    shown = picture(image)
    drawn = Image.open(io.BytesIO(base64.b64decode(shown.src.partition(",")[2])))
    assert shown.width % drawn.width == shown.height % drawn.height == 0
    assert 32 < max(shown.width, shown.height) <= 64
    if max(shape[:2]) <= 64 and shape[2] != 2:
        assert (np.asarray(drawn).reshape(shape) == image).all()


def test_a_chain_goes_from_top_to_bottom_and_on_in_another_strip():
    drawn = diagram(Network(tuple(chain(SIX)), 30, 30))
    assert [b.title for b in drawn.boxes] == SIX
    assert [len(strip.boxes) for strip in drawn.strips] == [3, 3]
    for strip in drawn.strips:
        assert len({b.x for b in strip.boxes}) == 1
        assert [b.y for b in strip.boxes] == sorted({b.y for b in strip.boxes})
    assert [len(strip.lines) for strip in drawn.strips] == [
        2 + 1,
        2 + 1,
    ]  # one leaves the first, one enters the next
    assert not drawn.branched
    assert diagram(Network((), 0, 0)).boxes == ()


def residual(n_blocks):
    """Blocks of two layers, every second with a projection on its shortcut."""
    layers, last = [layer("in")], "in"
    for k in range(n_blocks):
        layers += [layer(f"a{k}", last), layer(f"b{k}", f"a{k}")]
        other = last
        if k % 2:
            layers.append(layer(f"p{k}", last))
            other = f"p{k}"
        layers.append(layer(f"add{k}", f"b{k}", other, type="Add"))
        last = f"add{k}"
    return Network(tuple(layers), 0, 0)


@pytest.mark.parametrize("n_blocks", [1, 2, 30])
def test_branches_stand_beside_the_main_path_and_no_boxes_overlap(n_blocks):
    network = residual(n_blocks)
    drawn = diagram(network)
    boxes = {b.layer.name: b for b in drawn.boxes}
    assert drawn.branched
    n_strips = len(drawn.strips)
    assert (n_strips > 1) is (n_blocks > 1)
    n_lines = sum(len(strip.lines) for strip in drawn.strips)
    assert n_lines > 0
    assert n_lines == sum(len(x.inputs) for x in network.layers) + n_strips - 1
    for strip in drawn.strips:
        assert strip.boxes
        assert len({(b.x, b.y) for b in strip.boxes}) == len(strip.boxes)
        assert all(
            b.x + BOX_WIDTH <= strip.width and b.y + BOX_HEIGHT <= strip.height for b in strip.boxes
        )
    place = {b.layer.name: (k, b.y) for k, strip in enumerate(drawn.strips) for b in strip.boxes}
    assert len(place) == len(network.layers)
    assert all(place[i] < place[b.layer.name] for b in drawn.boxes for i in b.layer.inputs)
    sides = {name for name, b in boxes.items() if b.x != boxes["in"].x}
    assert sides == {f"p{k}" for k in range(n_blocks) if k % 2}


def test_layers_that_name_unknown_inputs_or_themselves_are_still_drawn():
    odd = Network(
        (layer("a", "a", "nowhere", shape=(None, 3)), layer("b", "a", "a", trainable=False)), 0, 0
    )
    drawn = diagram(odd)
    assert [len(strip.lines) for strip in drawn.strips] == [1]
    assert drawn.boxes[0].facts == "? × 3 · 5"
    assert [b.frozen for b in drawn.boxes] == [False, True]
