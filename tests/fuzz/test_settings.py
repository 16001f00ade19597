"""What people write: spaces, studies, suites, and values on the command line."""

import os
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from search.space.load import load_space
from search.space.yaml_file import typed
from search.study.read_settings import settings_for
from search.study.suite_file import read_suite
from tests.fuzz.helpers import ODD, ROOT, attempt, changed, damaged, dumped, fuzz, written

SPACE = {
    "model": "mlp",
    "params": {
        "lr": {"type": "float", "low": 1e-3, "high": 1, "log": True},
        "n": {"type": "int", "low": 1, "high": 9, "step": 2},
        "o": {"type": "choice", "choices": ["sgd", "adam"]},
        "m": {"type": "float", "low": 0, "high": 1, "when": {"o": "sgd"}},
    },
    "document": {"lr": 0.1, "n": 3, "o": "adam"},
}
SETTINGS = {"n_trials": 4, "epochs": 3, "name": "a", "budget": 2.5, "gpus": 0}
SUITE = {
    "systems": [
        {"model": ["mlp"], "data": "digits", "setting": [{"lr": 1}], "search": {"n_trials": 3}}
    ]
}


@fuzz
@given(damaged((ROOT / "spaces" / "convNN.yaml").read_bytes()) | changed(SPACE).map(dumped))
@example(b"a: &a [&b [*a, *b]]\nparams: *a\n")
@example(b'{"\\uDFAA": 0}')
@example(b"- 2001-13-45\n" * 3)
@example(b"? [a]\n: !!binary x\nb: !!timestamp z\n<<: 3\n")
def test_space(content: bytes) -> None:
    attempt(lambda: load_space(written(content, "own.yaml")))


@fuzz
@given(damaged(dumped(SETTINGS)) | changed(SETTINGS).map(dumped))
def test_study(content: bytes) -> None:
    path = written(content, "own.yaml")
    (path.parent / "studies").mkdir()
    path.rename(path.parent / "studies" / "own.yaml")
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        checked, problems = settings_for("own", {})
    finally:
        os.chdir(before)
    assert (checked is None) == bool(problems)


@fuzz
@given(damaged((ROOT / "studies" / "documents.yaml").read_bytes()) | changed(SUITE).map(dumped))
def test_suite(content: bytes) -> None:
    attempt(lambda: read_suite(str(written(content, "own.yaml")), {}))


@fuzz
@given(st.text() | ODD.map(str) | st.binary().map(lambda b: b.decode(errors="surrogateescape")))
@example("[" * 1000)
@example("9" * 5000)
@example("2001-02-30")
def test_a_typed_value(text: str) -> None:
    typed(text)
