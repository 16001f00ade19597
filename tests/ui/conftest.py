"""One small study with finished and pruned trials and its finalists, in a home of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.docker.stack import wait_for
from tests.ui.browser import ROOT, free_port

GRIDLESS = str(Path(sys.executable).parent / "gridless")
STUDY = "mlp-digits"
# A rung lies at epoch 3, where half of the trials are left behind.
COMMAND = (
    "study",
    "mlp",
    "digits",
    "--n-trials",
    "5",
    "--epochs",
    "6",
    "--finalists",
    "2",
    "--n-replicates",
    "2",
)
SMALL = ("--fix", "units=32,depth=2,batch_size=100", "--quiet")


class Served(NamedTuple):
    """A study's files, and the address of an MLflow that shows it."""

    folder: Path
    url: str
    environment: Mapping[str, str]
    pages: Mapping[str, str]
    """What the command said of itself, by what they show."""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home of its own, for commands."""
    known = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GRIDLESS_", "MLFLOW_"))
    }
    return known | {"GRIDLESS_HOME": str(tmp_path_factory.mktemp("ui") / "runs")}


@pytest.fixture(scope="session")
def study(environment: dict[str, str]) -> Path:
    """The folder of a study that is over, its champion registered in MLflow."""
    for command in ((*COMMAND, *SMALL), ("register", STUDY)):
        done = subprocess.run(
            [GRIDLESS, *command],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=environment,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr
        assert "note" not in done.stderr, done.stderr
    return Path(environment["GRIDLESS_HOME"]) / STUDY


@pytest.fixture(scope="session")
def served(study: Path, environment: dict[str, str]) -> Iterator[Served]:
    """The same with `gridless ui` running."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    log = study / "logs" / "ui.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [GRIDLESS, "ui", STUDY, "--port", str(port)],
            stdout=file,
            stderr=file,
            cwd=ROOT,
            env=environment,
        )
    try:
        wait_for(lambda: _answers(url), "MLflow", seconds=180)
        wait_for(lambda: "\ntrials" in log.read_text(), "its pages", seconds=60)
        lines = [line.rpartition(" ") for line in log.read_text().splitlines()]
        pages = {name.strip(): page for name, _, page in lines if "/#/" in page}
        yield Served(study, url, environment, pages)
    finally:
        for one in [
            *psutil.Process(process.pid).children(recursive=True),
            psutil.Process(process.pid),
        ]:
            one.kill()
        process.wait()


def _answers(url: str) -> bool:
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
