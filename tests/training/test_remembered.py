"""Questions about a model that are answered once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.paths import cache
from search.training import remembered
from search.training.model_answers import MARK
from search.training.model_process import ask

ANSWER = {"corners": [], "unbuildable": {}, "unread": ["lr"], "remarks": []}


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> list[str]:
    """The questions that a fresh process was asked; it takes no time and knows the answer."""
    asked: list[str] = []

    def put(question: str) -> tuple[int, str]:
        asked.append(question)
        return 0, f"{MARK}{json.dumps(ANSWER)}\n"

    monkeypatch.setattr("search.training.model_process.put", put)
    return asked


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the source of the user's module `kept_nets`, which `kept_layers` is imported by."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "kept_nets.py").write_text("import kept_layers\n\ndef build(params): ...\n")

    def write(layers: str) -> None:
        (tmp_path / "kept_layers.py").write_text(layers)

    write("WIDTH = 1\n")
    return write


def question(model: str = "kept_nets:build", **changes: Any) -> dict[str, Any]:
    space = {"model": model, "document": {"units": 8}, "params": {}}
    facts = {"input_shape": [8, 8, 1], "n_classes": 10, "task": "classification"}
    return {"probe": {"space": space, "objectives": [], "weights": True, **facts, **changes}}


def test_the_same_question_is_asked_once(processes: list[str], nets: Callable[[str], None]) -> None:
    assert ask(question()) == ask(question()) == ANSWER
    assert len(processes) == 1


@pytest.mark.parametrize(
    "changes", [{"n_classes": 3}, {"input_shape": [9, 8, 1]}, {"objectives": ["f1_macro"]}]
)
def test_another_question_is_asked(
    processes: list[str], nets: Callable[[str], None], changes: dict[str, Any]
) -> None:
    ask(question())
    ask(question(**changes))
    assert len(processes) == 2


def test_a_change_of_the_users_code_is_seen(
    processes: list[str], nets: Callable[[str], None]
) -> None:
    ask(question())
    nets("WIDTH = 2\n")
    ask(question())
    assert len(processes) == 2


def test_a_change_of_an_objectives_code_is_seen(
    processes: list[str], nets: Callable[[str], None]
) -> None:
    by_function = question("mlp", objectives=["kept_layers:value:max"])
    ask(by_function)
    nets("def value(y_true, y_prob): return 1.0\n")
    ask(by_function)
    assert len(processes) == 2


def test_another_backend_is_another_question(
    processes: list[str], nets: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(question())
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    remembered._surroundings.cache_clear()
    ask(question())
    remembered._surroundings.cache_clear()
    assert len(processes) == 2


def test_what_reads_weights_or_files_is_asked_each_time(
    processes: list[str], nets: Callable[[str], None]
) -> None:
    space = {"model": "kept_nets:build", "document": {"weights": "imagenet"}, "params": {}}
    for asked in (question(space=space), {"verify": {"folder": "x", "model": "mlp"}}):
        processes.clear()
        ask(asked)
        ask(asked)
        assert len(processes) == 2


def test_a_torn_answer_is_asked_again(processes: list[str], nets: Callable[[str], None]) -> None:
    ask(question())
    (kept,) = (cache() / "answers").iterdir()
    kept.write_text("{")
    assert ask(question()) == ANSWER
    assert len(processes) == 2


def test_only_the_newest_answers_stay(
    processes: list[str], nets: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "MOST", 2)
    for n_classes in (2, 3, 4):
        ask(question(n_classes=n_classes))
    assert len(list((cache() / "answers").iterdir())) == 2
