"""How users' modules are imported, by whichever command."""

import sys
from pathlib import Path

import pytest

from search.errors import InputError
from search.registry import check_name, load_builder

BUILD = "\ndef build(params, *, input_shape, n_classes):\n    pass\n"
PARSES = (
    "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('{}')\nARGS ="
    " parser.parse_args()\n"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.setattr("sys.argv", ["gridless", "study", "--units", "many"])
    for name in ("parsing", "stopping"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_module_of_the_working_folder_is_found_last_and_sees_no_arguments(folder: Path) -> None:
    (folder / "parsing.py").write_text(PARSES.format("--units") + BUILD)
    (folder / "random.py").write_text("raise RuntimeError")
    assert load_builder("parsing:build").__name__ == "build"
    assert sys.argv == ["gridless", "study", "--units", "many"]
    assert sys.path[-1] == str(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "raise KeyError('units')": "KeyError: 'units'",
        "raise GeneratorExit('enough')": "GeneratorExit: enough",
        "class Stop(BaseException): pass\nraise Stop('enough')": "Stop: enough",
        PARSES.format(
            "folder"
        ): "it ends the program, SystemExit: 2; a script that parses arguments must not",
        "class Mute(Exception):\n    def __str__(self): return self\nraise Mute": "Mute: its text can't",
        "import nowhere": "No module named 'nowhere'",
    }.items(),
)
def test_whatever_ends_an_import_is_told(folder: Path, text: str, message: str) -> None:
    (folder / "stopping.py").write_text(text)
    with pytest.raises(InputError) as error:
        load_builder("stopping:build")
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["queue", "search", "keras", "random"])
def test_a_module_that_another_hides_is_named_with_the_remedy(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text(BUILD)
    with pytest.raises(InputError, match=rf"comes before .*{name}\.py: rename that"):
        load_builder(f"{name}:build")


@pytest.mark.parametrize("name", ["path/to/nets.py:build", "nets:", ":build"])
def test_a_path_is_no_module(name: str) -> None:
    assert "package.module:function" in str(check_name("gridless.models", name))


def test_a_function_that_is_not_there_is_told_by_the_nearest_one(folder: Path) -> None:
    (folder / "parsing.py").write_text(BUILD)
    with pytest.raises(InputError, match=r"no attribute 'biuld'\); did you mean 'build'\?"):
        load_builder("parsing:biuld")
