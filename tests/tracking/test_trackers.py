"""What holds for every tracker: a worker can tell it anything at any time and never hears of
trouble.
"""

import errno
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from search.tracking.outbox import Event, Outbox, read_events, read_header, write_header
from search.tracking.protocol import NullTracker, Tracker

TRACKERS: dict[str, Callable[[Path], Tracker]] = {
    "null": lambda folder: NullTracker(),
    "outbox": lambda folder: Outbox(folder, "worker 1/a"),
}


def tell(tracker: Tracker, trial: int = 0) -> None:
    tracker.start(trial, at=100.0, tags={"device": "cpu"})
    tracker.params(trial, {"lr": 0.1, "units": np.int64(3), "optimizer": "sgd", "own": object()})
    tracker.metrics(trial, 1, {"val_accuracy": np.float32(0.5), "loss": math.nan}, at=101.0)
    tracker.artifacts(None, [Path("report.html")])
    tracker.end(trial, "COMPLETE", at=102.0, tags={})


def events(folder: Path) -> list[Event]:
    return [line.event for line in read_events(folder, {}) if line.event]


def n_damaged(folder: Path) -> int:
    return sum(line.event is None for line in read_events(folder, {}))


@pytest.fixture(params=TRACKERS.values(), ids=TRACKERS.keys())
def make_tracker(request: pytest.FixtureRequest) -> Callable[[Path], Tracker]:
    return request.param


def test_a_tracker_takes_every_event(make_tracker, tmp_path):
    tell(make_tracker(tmp_path / "new" / "outbox"))


def test_a_tracker_whose_folder_cannot_be_made_fails_no_trial(make_tracker, tmp_path):
    (tmp_path / "file").touch()
    tell(make_tracker(tmp_path / "file" / "outbox"))


def test_a_tracker_given_what_it_cannot_write_fails_no_trial(make_tracker, tmp_path):
    loop: dict[str, object] = {}
    loop["self"] = loop
    make_tracker(tmp_path).params(0, loop)


def test_what_is_told_is_read_back(tmp_path):
    tell(Outbox(tmp_path, "w"))
    start, params, metrics, artifacts, end = events(tmp_path)
    assert (start.kind, start.trial, start.at, start.tags) == ("start", 0, 100.0, {"device": "cpu"})
    assert (params.params["lr"], params.params["units"], params.params["optimizer"]) == (
        0.1,
        3,
        "sgd",
    )
    assert (metrics.step, metrics.at, metrics.values["val_accuracy"]) == (1, 101.0, 0.5)
    assert math.isnan(metrics.values["loss"])
    assert (artifacts.trial, artifacts.paths) == (None, [str(Path.cwd() / "report.html")])
    assert (end.state, end.at) == ("COMPLETE", 102.0)


def test_writers_of_one_name_do_not_share_a_file(tmp_path):
    a, b = Outbox(tmp_path, "w"), Outbox(tmp_path, "w")
    for trial in range(20):
        tell((a, b)[trial % 2], trial)
    assert len(list(tmp_path.iterdir())) == 2
    assert sorted({e.trial for e in events(tmp_path) if e.trial is not None}) == list(range(20))


def test_reading_goes_on_from_a_position_and_leaves_a_torn_line_for_later(tmp_path):
    outbox = Outbox(tmp_path, "w")
    tell(outbox)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    read = list(read_events(tmp_path, {}))
    assert len(read) == 4
    file.write_bytes(whole)
    (rest,) = read_events(tmp_path, {file.name: read[-1].end})
    assert rest.event
    assert rest.event.kind == "end"
    assert rest.end == len(whole)


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\xff",
        b"",
        b"[]",
        b'{"kind":"start"}',
        b'{"kind":"end","trial":0,"at":1,"state":"LOST"}',
        b'{"kind":',
    ],
)
def test_a_damaged_line_is_skipped_and_counted(tmp_path, line):
    tell(Outbox(tmp_path, "w"))
    (file,) = tmp_path.iterdir()
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([*lines[:2], line, *lines[2:], b""]))
    assert len(events(tmp_path)) == 5
    assert n_damaged(tmp_path) == 1


@pytest.mark.parametrize("n_bytes", [0, 1, 30])
def test_what_a_full_disk_refused_is_written_when_there_is_room(
    tmp_path, monkeypatch, caplog, n_bytes
):
    real, full = os.write, []

    def write(fd: int, data: bytes) -> int:
        if not full or data[:1] not in b"{\n":
            return real(fd, data)
        if n_bytes:
            full.pop()
            return real(fd, data[:n_bytes])
        raise OSError(errno.ENOSPC, "No space left on device")

    outbox = Outbox(tmp_path, "w")
    outbox.start(0, at=1.0, tags={})
    monkeypatch.setattr(os, "write", write)
    full.append(True)
    outbox.metrics(0, 1, {"val_accuracy": 0.5}, at=2.0)
    assert len(events(tmp_path)) == 1
    assert "kept for later" in caplog.text
    full.clear()
    outbox.end(0, "COMPLETE", at=3.0, tags={})
    assert [e.kind for e in events(tmp_path)] == ["start", "metrics", "end"]


def test_the_header_is_written_once(tmp_path):
    assert read_header(tmp_path) is None
    write_header(tmp_path, {"study": "a", "params": {"seed": 1}})
    first = read_header(tmp_path)
    write_header(tmp_path, {"study": "b"})
    assert first is not None
    assert (first.study, first.params) == ("a", {"seed": 1})
    assert read_header(tmp_path) == first


def test_workers_never_import_mlflow():
    code = (
        "import sys, search.tracking.outbox, search.tracking.uri; sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
