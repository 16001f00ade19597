"""Folders of images by class: the layouts, the many kinds of image files, and all that can be wrong
with them.
"""

import errno
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from search import datasets
from search.errors import InputError
from tests.datasets.conftest import pictures


def numbered(n: int, first: int = 0) -> list[np.ndarray]:
    """Grey images 6×4 (width × height), each filled with its own number."""
    return [np.full((4, 6), first + i) for i in range(n)]


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(InputError) as refused:
        datasets.load(str(path))
    return refused.value.problems


def test_train_and_test_folders(tmp_path):
    root = tmp_path / "my photos"
    pictures(root / "train", {"b": numbered(3), "a": numbered(2, 10), "c d": numbered(2, 20)})
    pictures(root / "test", {"c d": numbered(1, 50), "a": numbered(1, 30), "b": numbered(2, 40)})
    data = datasets.load("my photos")
    assert data.name == "my-photos"
    assert data.class_names == ("a", "b", "c d")
    assert data.input_shape == (4, 6, 1)
    assert data.x_train[:, 0, 0, 0].tolist() == [10, 11, 0, 1, 2, 20, 21]
    assert data.y_train.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert data.x_test[:, 3, 5, 0].tolist() == [30, 40, 41, 50]
    assert data.y_test.tolist() == [0, 1, 1, 2]
    digest = data.digest
    (root / "train").rename(root / "Train")
    assert datasets.load(str(root)).digest == digest


def test_class_folders_alone_set_a_sixth_aside(tmp_path):
    pictures(
        tmp_path / "all", {"train": numbered(30), "boat": numbered(12, 100)}
    )  # a train is a class here
    data = datasets.load("all/")
    assert data.class_names == ("boat", "train")
    assert np.bincount(data.y_test).tolist() == [2, 5]
    values = [*data.x_train[:, 0, 0, 0].tolist(), *data.x_test[:, 0, 0, 0].tolist()]
    assert sorted(values) == [*range(30), *range(100, 112)]
    assert all(
        (value >= 100) == (label == 0)
        for value, label in zip(values, [*data.y_train, *data.y_test], strict=True)
    )
    assert data.digest == "5adceb2599a7ab49fd75e5050dc587999243c5cd0a96c6acb2b9f5565b312e00"


def test_order_comes_from_names_and_hidden_and_other_files_are_passed_over(tmp_path, caplog):
    images = numbered(12)
    pictures(tmp_path / "one", {"a": images, "b": images})
    two = tmp_path / "two"
    for label in "ba":
        (two / label).mkdir(parents=True)
        for path in sorted((tmp_path / "one" / label).iterdir(), reverse=True):
            (two / label / path.name).symlink_to(path)
    (two / ".git").mkdir()
    (two / "a" / ".DS_Store.png").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        digest = datasets.load("one").digest
        assert not caplog.messages
        (two / "a" / "notes.txt").write_text("x")
        pictures(two, {"a/deeper": images})
        shutil.copy(two / "a" / "0.png", two / "cover.PNG")
        assert datasets.load("two").digest == digest
    assert caplog.messages == [
        f"{two}: left out, being no image of a class: cover.PNG, a/deeper, a/notes.txt"
    ]


def test_other_folders_beside_train_and_test_are_left_out_with_a_warning(tmp_path, caplog):
    for part in ("train", "test", "extra"):
        pictures(tmp_path / "x" / part, {"a": numbered(2), "b": numbered(2)})
    with caplog.at_level(logging.WARNING):
        assert len(datasets.load("x").y_train) == 4
    assert caplog.text.rstrip().endswith("left out, being no image of a class: extra")


COLOURS = np.zeros((4, 6, 3), np.uint8)
COLOURS[:, :3] = 255, 0, 0
HALF = Image.fromarray(np.where(np.arange(24).reshape(4, 6) % 6 < 3, 255, 0).astype(np.uint8))


def on_its_side() -> dict[str, Any]:
    """How a camera held sideways saves a picture: turned, with the orientation to undo it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"image": Image.fromarray(COLOURS).rotate(90, expand=True), "exif": exif}


def half_clear() -> dict[str, Any]:
    image = Image.fromarray(COLOURS).convert("RGBA")
    image.putalpha(HALF)
    return {"image": image}


def palette() -> Image.Image:
    image = Image.fromarray((COLOURS[:, :, 0] == 0).astype(np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 0, 0])
    return image


SAVED = {
    "a.bmp": {},
    "a.PNG": {},
    "a.webp": {"lossless": True},
    "a.jpeg": {"quality": 100, "subsampling": 0},
    "a.gif": {
        "save_all": True,
        "append_images": [Image.new("RGB", (6, 4), "blue")],
    },  # only its first picture counts
    "turned.jpg": {**on_its_side(), "quality": 100, "subsampling": 0},
    "turned.png": on_its_side(),
    "clear.png": half_clear(),
    "clear.webp": {**half_clear(), "lossless": True},
    "clear palette.png": {"image": palette(), "transparency": 1},
}


@pytest.mark.parametrize("name", SAVED)
def test_every_format_orientation_and_transparency(name, tmp_path):
    options = {"image": Image.fromarray(COLOURS), **SAVED[name]}
    pictures(tmp_path / "x", {"a": numbered(3), "b": numbered(3)})
    (tmp_path / "x" / "c").mkdir()
    for copy in range(3):
        options["image"].save(
            tmp_path / "x" / "c" / f"{copy}{name}",
            **{k: v for k, v in options.items() if k != "image"},
        )
    data = datasets.load("x")
    assert data.input_shape == (4, 6, 3)  # one image in colour makes all of them so
    (image,) = data.x_test[data.y_test == 2].astype(int)
    colours = COLOURS.astype(int)
    if name.startswith("clear"):
        colours[:, 3:] = 255
    assert abs(image - colours).max() <= (4 if name.endswith(("jpeg", "jpg")) else 0)


def test_grey_files_of_every_mode_stay_one_channel(tmp_path):
    pictures(tmp_path / "x", {"a": numbered(4), "b": numbered(2)})
    Image.new("1", (6, 4), 1).save(tmp_path / "x/b/bits.png")
    Image.new("LA", (6, 4), (9, 0)).save(tmp_path / "x/b/clear.png")
    data = datasets.load("x")
    assert data.input_shape == (4, 6, 1)
    assert sorted([*data.x_train[:, 0, 0, 0], *data.x_test[:, 0, 0, 0]]) == [
        0,
        0,
        1,
        1,
        2,
        3,
        255,
        255,
    ]


def test_everything_wrong_comes_at_once(tmp_path):
    root = tmp_path / "x"
    pictures(root / "train", {"a": numbered(12), "b": numbered(1), "only": numbered(2)})
    pictures(root / "test", {"a": numbered(1), "b": [np.zeros((5, 6))], "strange": numbered(1)})
    whole = (root / "train/a/0.png").read_bytes()
    (root / "train/a/0.png").write_bytes(whole[:-20])
    (root / "train/a/1.png").write_bytes(b"no image")
    (root / "train/a/2.png").write_bytes(b"")
    (root / "test/a/gone.png").symlink_to(root / "nowhere.png")
    Image.new("I;16", (6, 4)).save(root / "train/a/3.png")
    program = (  # Pillow would have it run
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n%%EndComments\n%%EOF\n"
    )
    (root / "train/a/4.png").write_text(program)
    train_lacks, few, failed, sizes = problems(root)
    assert "train must have the classes of test, but lacks strange;" in train_lacks
    assert (
        "each class needs at least 2 images, one of them to validate on; with fewer: b (1)" in few
    )
    assert "6 files can't be read; mend or remove them" in failed
    for part in (
        "0.png (",
        "1.png (not an image)",
        "2.png (",
        "3.png (16 bits a pixel; save all with 8",
        "4.png (not an",
        "gone.png (No ",
    ):
        assert part in failed
    assert "not 2: 6×4 (12: train/a/" in sizes
    assert "6×5 (1: test/b/0.png)" in sizes


def test_many_broken_files_are_counted(tmp_path):
    pictures(tmp_path / "x", {"a": numbered(15), "b": numbered(4)})
    for path in (tmp_path / "x" / "a").iterdir():
        path.write_bytes(b"")
    (failed,) = problems(tmp_path / "x")
    assert "15 files can't be read" in failed
    assert failed.count("not an image") == 10
    assert failed.endswith("and 5 more")


@pytest.mark.parametrize(
    ("classes", "parts"),
    [
        (
            {},
            [
                "0 class folders, but a classifier needs at least 2; put the images in <class>/"
                " folders"
            ],
        ),
        ({".": numbered(3)}, ["0 class folders"]),
        ({"a": numbered(3)}, ["1 class folders"]),
        ({"a": numbered(3), "b": numbered(2)}, ["at least 3 images", "with fewer: b (2)"]),
        (
            {"Training/a": numbered(3), "Testing/a": numbered(3)},
            ["with fewer: Testing (0), Training (0)", "deeper"],
        ),
        (
            {"train/a": numbered(3)},
            ["it has train but no test", "DATA=", "/x/train"],
        ),
        ({"test/a": numbered(3)}, ["it has test but no train"]),
    ],
)
def test_layouts_that_are_none(classes, parts, tmp_path):
    (tmp_path / "x").mkdir()
    pictures(tmp_path / "x", classes)
    (problem,) = problems(tmp_path / "x")
    for part in (str(tmp_path / "x"), *parts):
        assert part in problem


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    pictures(tmp_path / "x", {"a": numbered(3), "b": numbered(3)})

    def refuse(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read everything
    assert problems(tmp_path / "x") == (f"{tmp_path / 'x'} can't be read (Permission denied)",)


def test_the_remedy_for_different_sizes_is_an_option_that_works(tmp_path):
    root = pictures(
        tmp_path / "it's@mine", {"a": numbered(6), "b": [*numbered(4), np.zeros((9, 9, 3))]}
    )
    (problem,) = problems(root)
    assert problem.endswith("bring them to one by --resize 6x4")
    named = datasets.sized(str(root), "6x4")
    data = datasets.load(named)
    assert (data.name, data.input_shape) == ("it-s-mine-6x4", (4, 6, 3))
    assert datasets.data_source("./it's@mine@6x4") == named
    assert datasets.load(datasets.sized(str(root), "4x4")).digest != data.digest


def test_resizing_keeps_proportions_and_names_what_it_can_not_read(tmp_path):
    wide = np.zeros((4, 12))
    wide[:, 4:8] = 255
    pictures(tmp_path / "x", {"a": [wide] * 3, "b": [wide] * 3})
    assert datasets.load("x@2x2").x_train.min() > 200  # the middle third
    (tmp_path / "x/a/bad.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"bad\.jpg \(not an image"):
        datasets.load("x@2x2")


def test_a_folder_of_validation_images_is_kept_as_it_is(tmp_path):
    for part, n in {"train": 1, "valid": 3, "test": 2}.items():
        pictures(tmp_path / "x" / part, {"a": numbered(n), "b": numbered(n, 10)})
    data = datasets.load("x")
    assert [len(y) for y in (data.y_train, data.y_val, data.y_test)] == [2, 6, 4]
    assert data.x_val[:, 0, 0, 0].tolist() == [0, 1, 2, 10, 11, 12]
    shutil.rmtree(tmp_path / "x" / "test")
    assert not datasets.load("x").has_test


def test_16_bit_files_keep_their_bits(tmp_path):
    ramp = np.linspace(0, 65535, 24).astype(np.uint16).reshape(4, 6)
    for label in "ab":
        (tmp_path / "x" / label).mkdir(parents=True)
        for name in ("0.png", "1.tif", "2.tiff"):
            Image.fromarray(ramp).save(tmp_path / "x" / label / name)
    data = datasets.load("x")
    assert (data.x_train.dtype, data.input_shape, data.pixel_max) == (np.uint16, (4, 6, 1), 65535)
    np.testing.assert_array_equal(data.x_train[1, ..., 0], ramp)
    assert datasets.load("x@3x2").input_shape == (2, 3, 1)
    pictures(tmp_path / "x", {"a": numbered(1)})
    (problem,) = problems(tmp_path / "x")
    assert "5 files can't be read" in problem
    assert "16 bits a pixel; save all with 8, or all with 16 in grey" in problem


def test_litter_of_archivers_is_no_class(tmp_path):
    classes = {"a": numbered(6), "b": numbered(6)}
    digest = datasets.load(str(pictures(tmp_path / "clean", classes))).digest
    for litter in ("__MACOSX/a", "@eaDir", "$RECYCLE.BIN"):
        pictures(tmp_path / "x", classes | {litter: numbered(3)})
    assert datasets.load("x").digest == digest
    pictures(
        tmp_path / "y",
        {f"{part}/{name}": n for part in ("train", "test") for name, n in classes.items()},
    )
    pictures(tmp_path / "y", {f"{part}/__MACOSX": numbered(1) for part in ("train", "test", ".")})
    assert datasets.load("y").class_names == ("a", "b")


def test_a_class_that_the_test_set_lacks_is_told_and_keeps_its_number(tmp_path, caplog):
    root = pictures(
        tmp_path / "x" / "train", {"a": numbered(3), "b": numbered(3), "c": numbered(3)}
    ).parent
    pictures(root / "test", {"c": numbered(2), "a": []})
    data = datasets.load("x")
    assert data.class_names == ("a", "b", "c")
    assert data.y_test.tolist() == [2, 2]
    assert "the test set has no image of a, b" in caplog.text
    shutil.rmtree(root / "test" / "c")
    assert "test has no images" in " ".join(problems(root))


def test_images_that_would_fill_the_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    pictures(tmp_path / "x", {"a": numbered(3), "b": numbered(3)})
    need = 6 * 4 * 6
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2 * need))
    assert len(datasets.load("x").y_train) == 4
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2 * need - 1))
    last = sorted((tmp_path / "x" / "b").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-30])  # its header is whole: only reading it would fail
    (problem,) = problems(tmp_path / "x")
    for part in ("at up to 24 pixels each 6 images", "more than half", "--resize 64x64"):
        assert part in problem
