"""A study of data twice as large as the memory that it may use, killed and resumed: is it the same?

systemd-run --scope -p MemoryMax=1536M python benchmarks/larger_than_memory.py [--kills 3]
Or in any other control group with a limit, such as a container's. Makes a folder of .npy files,
runs the study of `dense` with finalists on them undisturbed, and once more with `kill -9` for all
its processes, and compares every epoch's values and test scores. Exits 1 if anything differs.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from killed import run_killed
from numpy.lib.format import open_memmap

from search.study.storage.read import open_library, read_study

SHAPE = (64, 64)
ROW_BYTES = 4 * SHAPE[0] * SHAPE[1]
PIECE = 2**12
SPACE = """
model: dense
baseline: {depth: 1, units: 8, scaling: standard, optimizer: adam, lr: 1e-4, batch_size: 128, epochs: 3}
params:
  depth: {type: constant, value: 1}
  units: {type: constant, value: 8}
  scaling: {type: constant, value: standard}
  optimizer: {type: constant, value: adam}
  lr: {type: float, low: 1e-5, high: 1e-3, log: true}
  batch_size: {type: constant, value: 128}
  epochs: {type: constant, value: 3}
"""


class ControlGroup:
    """The group of this process, of version 2 or 1."""

    def __init__(self) -> None:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        paths = {controller: path.lstrip("/") for _, controller, path in lines}
        root = Path("/sys/fs/cgroup")
        self.is_v1 = "memory" in paths
        self.folder = root / "memory" / paths["memory"] if self.is_v1 else root / paths.get("", "")
        self.most_anonymous = 0

    @property
    def limit(self) -> int | None:
        """Bytes, page cache included; None where there is no limit."""
        file = self.folder / ("memory.limit_in_bytes" if self.is_v1 else "memory.max")
        text = file.read_text().strip() if file.exists() else "max"
        return None if text == "max" or int(text) > 2**60 else int(text)

    def watch(self) -> None:
        """Keep the most bytes that processes hold themselves: what is cached can be dropped."""
        key = "total_rss" if self.is_v1 else "anon"
        while True:
            rows = (self.folder / "memory.stat").read_text().splitlines()
            stat = dict(row.split() for row in rows)
            self.most_anonymous = max(self.most_anonymous, int(stat[key]))
            time.sleep(0.1)

    @property
    def n_killed(self) -> int:
        """How many processes of the group the kernel has ever killed for want of memory."""
        file = self.folder / ("memory.oom_control" if self.is_v1 else "memory.events")
        return int(dict(row.split() for row in file.read_text().splitlines())["oom_kill"])


def make(folder: Path, n_bytes: int) -> None:
    """Write float32 numbers in two classes that a line tells apart, nearly."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=SHAPE).astype(np.float32)
    for part, size in {"train": n_bytes, "test": n_bytes // 20}.items():
        n = size // ROW_BYTES
        x = open_memmap(folder / f"x_{part}.npy", "w+", np.float32, (n, *SHAPE))
        y = np.empty(n, np.int64)
        for begin in range(0, n, PIECE):
            rows = rng.standard_normal((min(PIECE, n - begin), *SHAPE), np.float32)
            noise = 20 * rng.standard_normal(len(rows), np.float32)
            y[begin : begin + PIECE] = (rows * weights).sum(axis=(1, 2)) + noise > 0
            x[begin : begin + PIECE] = rows
        np.save(folder / f"y_{part}.npy", y)


def run(data: Path, home: Path, kill_after: float | None, most_kills: int) -> int:
    """Run the study in `home` to its end, and say how often it was killed on the way."""
    space = data.parent / "space.yaml"
    space.write_text(SPACE)
    words = f"study dense {data} --space {space} --name large --n-trials 2 --finalists 1"
    flags = "--n-replicates 2 --workers 1 --threads 1 --seed 7 --tracker none --quiet"
    command = [sys.executable, "-c", "from search.cli import main; main()"]
    env = os.environ | {"GRIDLESS_HOME": str(home), "GRIDLESS_STORAGE": url_of(home)}
    command += [*words.split(), *flags.split()]
    return run_killed(command, env, every_s=kill_after, most=most_kills)


def url_of(home: Path) -> str:
    return f"sqlite:///{home}/studies.db"


def values_of(home: Path) -> Mapping[str, object]:
    """What each trial and each replicate measured, epoch by epoch and on the test set."""
    values: dict[str, object] = {}
    for name in ("large", "large.final"):
        for trial in read_study(open_library(url_of(home)), name).trials:
            epochs = [(epoch.step, sorted(epoch.values.items())) for epoch in trial.curve]
            values[f"{name} {trial.number}"] = (str(trial.state), epochs, trial.evaluation)
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--ratio", type=float, default=2.0, help="of the data to the limit")
    parser.add_argument("--folder", help="where data and studies are written, thrice the data")
    arguments = parser.parse_args()
    group = ControlGroup()
    limit = group.limit
    if limit is None:
        sys.exit(f"{group.folder} has no limit of memory; start this in a group that has one")
    n_bytes = int(arguments.ratio * limit)
    n_killed = group.n_killed
    threading.Thread(target=group.watch, daemon=True).start()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        data = Path(scratch, "arrays")
        data.mkdir()
        make(data, n_bytes)
        begin = time.monotonic()
        run(data, Path(scratch, "through"), None, 0)
        seconds = time.monotonic() - begin
        kill_after = 1.3 * seconds / (arguments.kills + 1)
        n_kills = run(data, Path(scratch, "killed"), kill_after, arguments.kills)
        through, killed = (values_of(Path(scratch, name)) for name in ("through", "killed"))
    differing = [name for name in through if through[name] != killed.get(name)]
    n_epochs = sum(len(epochs) for _, epochs, _ in through.values())
    print(f"data {n_bytes / 1e6:,.0f} MB, limit {limit / 1e6:,.0f} MB")
    print(f"held by processes at most {group.most_anonymous / 1e6:,.0f} MB, the rest is cache")
    print(f"killed for want of memory: {group.n_killed - n_killed}")
    print(f"{len(through)} trainings, {n_epochs} epochs in {seconds:,.0f} s; kill -9: {n_kills}")
    print(f"differing after them: {', '.join(differing) or 'none'} of {', '.join(through)}")
    sys.exit(bool(differing) or len(through) != len(killed))


if __name__ == "__main__":
    main()
