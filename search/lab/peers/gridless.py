"""Our own command, as a person would run it."""

import os
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

from ruamel.yaml import YAML

from search.errors import StudyError
from search.lab.peers.meter import Meter
from search.lab.peers.task import Task
from search.study.storage.read import open_library, read_study

_NAME = "ours"
_ELSEWHERE = {
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_PASSWORD_FILE",
    "GRIDLESS_ARTIFACTS",
    "GRIDLESS_STORAGE_PASSWORD_FILE",
}
"""Variables that lead out of a search's own folder, or are for what does."""
_PLENTY = 100_000


def search(task: Task, meter: Meter) -> None:
    """`gridless study` by default with one worker; its epochs are read from its storage."""
    space = Path("space.yaml")
    with space.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(dict(task.space), file)
    home = Path("home").absolute()
    url = f"sqlite:///{home}/studies.db"
    home.mkdir()
    flags = {
        "--space": space,
        "--name": _NAME,
        "--epochs": task.epochs,
        "--budget": task.budget,
        "--n-trials": _PLENTY,
        "--seed": task.seed,
        "--workers": 1,
        "--threads": task.threads,
        "--gpus": "none",
        "--finalists": 0,
    }
    command = [
        sys.executable,
        "-c",
        "from search.cli import main; main()",
        "study",
        str(task.space["model"]),
    ]
    variables = {k: v for k, v in os.environ.items() if k not in _ELSEWHERE}
    process = subprocess.Popen(  # noqa: S603  # this very package
        [*command, task.images, *map(str, chain.from_iterable(flags.items())), "--quiet"],
        env=variables | {"GRIDLESS_HOME": str(home), "GRIDLESS_STORAGE": url},
    )
    # It pauses its workers when it is told to stop, and this process outlives it.
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    if code := process.wait():
        raise StudyError(f"gridless study ended with exit code {code}")
    trials = read_study(open_library(url), _NAME).trials
    epochs = []
    for trial in trials:
        epochs += [(epoch, trial.params) for epoch in trial.curve]
    epochs.sort(key=lambda pair: pair[0].at)
    for epoch, setting in epochs:
        meter.begin(setting)
        meter.epoch(epoch.val_accuracy or 0.0, at=epoch.at)
