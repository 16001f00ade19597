"""Every test here is cut off from the network, from Keras' cache and from the machine's own
data.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.datasets import fashion, npz


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """Point every outside place into tmp_path: no tools on PATH, and a Python that only fails."""
    for variable, folder in {"KERAS_HOME": "keras", "GRIDLESS_HOME": "home", "PATH": "bin"}.items():
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.delenv("GRIDLESS_DATA", raising=False)
    monkeypatch.setattr(fashion, "ROOT", tmp_path / "root")
    monkeypatch.setattr(
        sys, "executable", str(program(tmp_path / "python", "echo no network >&2; exit 1"))
    )
    monkeypatch.chdir(tmp_path)


def program(path: Path, script: str) -> Path:
    """Write an executable shell script; PATH is empty for it."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def some_arrays(n_train=60, n_test=30, n_classes=10, shape=(28, 28)):
    """Return a small sound data set as the dict that numpy.savez takes."""
    rng = np.random.default_rng(5)
    labels = {"y_train": np.arange(n_train) % n_classes, "y_test": np.arange(n_test) % n_classes}
    images = {
        f"x_{part}": rng.integers(0, 256, (n, *shape), np.uint8)
        for part, n in (("train", n_train), ("test", n_test))
    }
    return {**images, **{key: value.astype(np.uint8) for key, value in labels.items()}}


def saved(path: Path, **changes) -> str:
    """Save `some_arrays`, changed, as .npz; a change to None leaves the array out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {**some_arrays(), **changes}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return str(path)


def digest_of(path: str) -> str:
    """Return the content digest of an .npz file."""
    return npz.load(Path(path), "any").digest


def pictures(folder: Path, classes: dict[str, list[np.ndarray]]) -> Path:
    """Save images (h, w) or (h, w, 3) as folder/<class>/<number>.png; a class may have a part
    before it.
    """
    for label, images in classes.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(images):
            Image.fromarray(image.astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder
