"""`search.optimize` in a program of its own: the documents' example, interrupted and gone on with."""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

DOCS = (Path(__file__).resolve().parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
BEGINNING = """
import _thread, asyncio, json, threading, time
import psutil
from sklearn.datasets import load_digits

x, y = load_digits(return_X_y=True)
x = (x.reshape(-1, 8, 8, 1) * 15).astype("uint8")
x, y, x_test, y_test = x[:600], y[:600], x[600:800], y[600:800]
told = {}

def interrupt():
    while not told.get("epochs"):
        time.sleep(0.1)
        try:
            told["epochs"] = len(search.load_study("mine").curves)
        except Exception:
            pass  # it is being made
    _thread.interrupt_main()

def workers():
    lines = [" ".join(p.cmdline()) for p in psutil.Process().children(recursive=True)]
    return sum("search.worker" in line for line in lines)
"""
INTERRUPTED = """
import search
threading.Thread(target=interrupt, daemon=True).start()
try:
    {example}
except KeyboardInterrupt:
    told["left"] = workers()
    told["while_paused"] = search.load_study("mine").leaderboard["state"].tolist()
"""
RESUMED = """
async def main():
    {example}
    told["accuracy"] = float((study.predict(x_test).argmax(axis=1) == y_test).mean())

    def other(params, *, input_shape, n_classes):
        return build({"units": 16}, input_shape=input_shape, n_classes=n_classes)

    space = {"optimizer": "adam", "epochs": 40}
    data = (x, y, x_test, y_test)
    try:
        search.optimize(other, data, name="mine", n_trials=2, space=space, progress=False)
    except search.errors.InputError as error:
        told["other"] = error.problems
    return study

study = asyncio.run(main())
code = study.spec["code"]
told["states"] = study.leaderboard["state"].tolist()
told["test_accuracy"] = float(study.finalists["test_accuracy_mean"][0])
try:
    {changed}
except search.errors.InputError as error:
    told["difference"] = error.problems[-1]
{allowed}
told["changed"] = [study.spec["code"] == code, len(study.trials)]
threading.Timer(1, _thread.interrupt_main).start()
try:
    study.resume(n_trials=4, progress=False, background=True).wait()
except KeyboardInterrupt:
    told["left_in_background"] = workers()
more = study.resume(n_trials=4, progress=False, background=True)
told["waited"] = len(more.wait().trials)
told["html"] = more._repr_html_()
told["figure"] = type(more.figure("curves")).__name__
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What the program saw, which has no `if __name__ == "__main__"`."""
    folder = tmp_path_factory.mktemp("program")
    [example] = re.findall(r"^```py\n(.*?)^```", DOCS, flags=re.MULTILINE | re.DOTALL)
    assert "n_trials=20" in example
    assert '"epochs": 10' in example
    quick = "n_trials=2, workers=1, finalists=1, n_replicates=1, tracker='none'"
    example = example.replace("n_trials=20", quick).replace('"epochs": 10', '"epochs": 40')
    indented = textwrap.indent(example, "    ").lstrip()
    changed = example.replace('"relu"', '"tanh"')
    fill = {
        "{example}": indented,
        "{changed}": textwrap.indent(changed, "    ").lstrip(),
        "{allowed}": changed.replace("n_trials=2", "n_trials=3, allow_changes=True"),
    }
    parts = [INTERRUPTED, RESUMED]
    for name, text in fill.items():
        parts = [part.replace(name, text) for part in parts]
    program = folder / "program.py"
    program.write_text(BEGINNING + "".join(parts))
    variables = os.environ | {"GRIDLESS_HOME": str(folder / "runs"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_an_interrupt_pauses_a_study(told: Mapping[str, Any]) -> None:
    assert told["left"] == 0
    assert set(told["while_paused"]) <= {"WAITING", "COMPLETE"}


def test_the_same_call_goes_on_to_the_end(told: Mapping[str, Any]) -> None:
    assert len(told["states"]) == 2
    assert set(told["states"]) <= {"COMPLETE", "PRUNED"}
    assert told["accuracy"] == pytest.approx(told["test_accuracy"], abs=0.02)
    assert told["accuracy"] > 0.5


def test_a_name_in_use_by_another_builder_is_refused(told: Mapping[str, Any]) -> None:
    assert any(
        re.search("model: the study has 'pickled.*:build', .*:other'", p) for p in told["other"]
    )
    assert len(told["states"]) == 2


def test_a_changed_builder_is_refused_with_the_difference_unless_it_may(
    told: Mapping[str, Any],
) -> None:
    lines = told["difference"].splitlines()
    assert next(line for line in lines if "relu" in line).startswith("-")
    assert next(line for line in lines if "tanh" in line).startswith("+")
    assert told["changed"] == [False, 3]


def test_a_study_goes_on_with_more_trials_in_the_background(told: Mapping[str, Any]) -> None:
    assert told["left_in_background"] == 0
    assert told["waited"] == 4
    assert told["figure"] == "Figure"
    assert "trials for accuracy</p><table" in told["html"]
