"""Pictures and arrays to be classified: brought to a data set's form as its own images were, or
refused.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.datasets import folder
from search.datasets.batch import read_batch
from search.errors import InputError

GREY, COLOUR = (4, 6, 1), (4, 6, 3)


def picture(path: Path, size: tuple[int, int] = (6, 4), mode: str = "L", seed: int = 0) -> str:
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], channels), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze(), mode=mode).save(path)
    return str(path)


@pytest.mark.parametrize(("mode", "shape"), [("L", GREY), ("RGB", COLOUR), ("RGBA", COLOUR)])
def test_a_picture_is_read_as_those_of_a_folder_are(
    tmp_path: Path, mode: str, shape: tuple[int, int, int]
) -> None:
    files = [
        picture(tmp_path / "data" / c / f"{i}.png", mode=mode, seed=i)
        for c in "ab"
        for i in range(3)
    ]
    data = folder.load(tmp_path / "data", "data")
    batch = read_batch(files, shape)
    assert data.input_shape == batch.images[0].shape == shape
    both = {image.tobytes() for image in (*data.x_train, *data.x_test)}
    assert {image.tobytes() for image in batch.images} == both
    assert batch.names == files
    assert batch.notices(shape) == []


def test_a_picture_of_another_size_is_brought_to_it_as_a_folder_with_a_size_is(
    tmp_path: Path,
) -> None:
    files = [
        picture(tmp_path / "data" / c / f"{i}.png", (40, 20), "RGB", i)
        for c in "ab"
        for i in range(3)
    ]
    data = folder.load(tmp_path / "data", "data", (6, 4))
    batch = read_batch(files, COLOUR)
    assert {i.tobytes() for i in batch.images} == {
        i.tobytes() for i in (*data.x_train, *data.x_test)
    }
    assert batch.resized == files
    assert batch.notices(COLOUR) == [
        f"{', '.join(files)}: brought to 6×4 pixels, what is too long cut at both ends"
    ]
    assert read_batch(files[:1], GREY).images[0].shape == GREY


def test_colour_becomes_grey_with_a_notice_and_grey_becomes_colour(tmp_path: Path) -> None:
    file = picture(tmp_path / "a.png", mode="RGB")
    batch = read_batch([file], GREY)
    assert np.array_equal(batch.images[0][:, :, 0], np.asarray(Image.open(file).convert("L")))
    assert batch.notices(GREY) == [f"{file}: turned from colour to grey"]
    grey = read_batch([picture(tmp_path / "b.png")], COLOUR)
    assert np.ptp(grey.images[0], axis=2).max() == 0
    assert grey.notices(COLOUR) == []


@pytest.mark.parametrize("key", ["x", "x_test"])
def test_arrays_are_taken_as_they_are_in_the_order_given(tmp_path: Path, key: str) -> None:
    x = np.arange(48, dtype=np.uint8).reshape(2, 4, 6)
    np.savez(tmp_path / "new.npz", **{key: x, "x_train": x[:1], "y_test": np.zeros(2)})
    file = picture(tmp_path / "a.png")
    batch = read_batch([file, str(tmp_path / "new.npz")], GREY)
    assert batch.names == [file, f"{tmp_path / 'new.npz'}[0]", f"{tmp_path / 'new.npz'}[1]"]
    assert np.array_equal(batch.pixels[1:, :, :, 0], x)
    np.save(tmp_path / "new.npy", x)
    alone = read_batch([str(tmp_path / "new.npy")], GREY)
    assert alone.names == [f"{tmp_path / 'new.npy'}[0]", f"{tmp_path / 'new.npy'}[1]"]
    assert np.array_equal(alone.pixels, batch.pixels[1:])


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    good = picture(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("no image")
    Path(tmp_path / "cut.png").write_bytes(Path(good).read_bytes()[:60])
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "wrong.npy", np.zeros((1, 5, 5), np.uint8))
    np.savez(tmp_path / "other.npz", y=np.zeros(3))
    np.savez(tmp_path / "wrong.npz", x=np.zeros((0, 5, 5), np.float32))
    np.savez(tmp_path / "pickled.npz", x=np.array([{}], dtype=object))
    names = [
        "text.png",
        "cut.png",
        "gone.jpg",
        "text.npz",
        "other.npz",
        "wrong.npz",
        "pickled.npz",
        "text.npy",
        "wrong.npy",
        ".",
    ]
    with pytest.raises(InputError) as error:
        read_batch([good, *(str(tmp_path / name) for name in names)], GREY)
    problems = error.value.problems
    assert len(problems) == 11
    parts = [
        "not an image",
        "cut.png: ",
        "no such file",
        "not a readable .npz",
        "it holds y, but neither x nor x_test",
    ]
    parts += [
        "x must be uint8, 0–255, not float32",
        "(n, 4, 6, 1), n at least 1",
        "pickled.npz: not a",
        "not a readable .npy",
        "the array must have the shape (n, 4, 6, 1)",
        "is a folder",
    ]
    assert all(part in problem for part, problem in zip(parts, problems, strict=True)), problems


def test_no_picture_has_two_channels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"2 channels, which no picture has; give an \.npz"):
        read_batch([picture(tmp_path / "a.png")], (4, 6, 2))


def test_rows_of_numbers_are_read_as_the_data_has_them_and_pictures_refused(
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "new.npz", x=np.arange(12).reshape(2, 6))
    batch = read_batch([str(tmp_path / "new.npz")], (6,), np.float32)
    assert (batch.pixels.dtype, batch.pixels.shape) == (np.float32, (2, 6))
    assert batch.notices((6,)) == []
    with pytest.raises(InputError, match="must have the shape"):
        read_batch([str(tmp_path / "new.npz")], (5,), np.float32)
    with pytest.raises(InputError, match="no pictures; give an"):
        read_batch([picture(tmp_path / "a.png")], (6,), np.float32)
