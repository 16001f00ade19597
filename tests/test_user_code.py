"""What a user wrote of a model, found and told apart without importing it."""

import sys
from pathlib import Path

import pytest

from search.user_code import code_difference, top_files, user_code
from tests.study.helpers import spec

FILES = {
    "nets.py": (
        "import queue\nfrom layers import block\n\ndef build(params):\n    from heads import"
        " softmax\n"
    ),
    "layers.py": "import numpy, keras\nimport shared.blocks as b\n",
    "heads.py": "import importlib\nimportlib.import_module('plugged')\n",
    "plugged.py": "",
    "shared/blocks.py": "",  # a folder without __init__.py
    "unused.py": "",
    "queue.py": "raise RuntimeError",  # Python's own comes before it
    "package/__init__.py": "",
    "package/nets.py": "from . import layers\nfrom .deep.er import thing\n",
    "package/layers.py": "",
    "package/deep/__init__.py": "from ..top import *\n",
    "package/deep/er.py": "this is no Python",
    "package/top.py": "",
    "package/other.py": "",
}
BY_NETS = {"nets.py", "layers.py", "heads.py", "plugged.py", "shared/blocks.py"}
BY_PACKAGE = {"__init__.py", "nets.py", "layers.py", "deep/__init__.py", "deep/er.py", "top.py"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_a_model_imports_of_the_users_own_counts_and_nothing_else(folder: Path) -> None:
    modules = set(sys.modules)
    assert set(user_code("nets:build")) == BY_NETS
    assert set(user_code("package.nets:Hyper")) == {f"package/{name}" for name in BY_PACKAGE}
    assert user_code("convNN_8") == user_code("missing:build") == {}
    assert not {"nets", "layers", "package"} & (set(sys.modules) - modules)


def test_a_model_beside_the_working_folder_and_an_installed_one_count_too(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert user_code("nets:build") == {}
    monkeypatch.syspath_prepend(folder)
    assert set(user_code("nets:build")) == BY_NETS  # the same names, wherever they lie
    [installed] = user_code("keras_tuner.applications:HyperResNet")
    assert installed == "keras_tuner, installed"


def test_what_a_copy_of_a_model_must_take_along_is_whole_modules_and_packages(
    folder: Path,
) -> None:
    names = ["heads.py", "layers.py", "nets.py", "plugged.py", "shared"]
    assert top_files("nets:build") == [str(folder / name) for name in names]
    assert top_files("package.nets:Hyper") == [str(folder / "package")]
    assert top_files("convNN_8") == []
    assert top_files("keras_tuner.applications:HyperResNet") == []


def test_each_change_is_named(folder: Path) -> None:
    before = user_code("nets:build")
    (folder / "layers.py").write_text("import fresh\nx = 1\n")
    (folder / "fresh.py").write_text("")
    after = user_code("nets:build")
    assert (
        code_difference(before, after)
        == "changed: layers.py; new: fresh.py; gone: shared/blocks.py"
    )
    assert code_difference(after, after) == ""


def test_our_own_models_have_no_code_of_a_users_however_we_are_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("search.user_code.is_installed", lambda _folder: True)
    assert user_code("mlp") == {}
    assert spec(code={"search, installed": "0123"}).code == {}
