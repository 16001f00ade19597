"""What each tracker has of the studies, read back by its own programs."""

import json
import subprocess
import sys
import types
from collections import defaultdict
from dataclasses import dataclass, field

from tests.tracking.helpers import client


@dataclass
class Run:
    """One trial there."""

    state: str
    """open, finished or failed."""
    params: dict = field(default_factory=dict)
    points: dict = field(default_factory=dict)
    """Of each metric, the (step, value) in the order in which they came."""
    values: dict = field(default_factory=dict)
    """What it came to."""

    def curve(self, name="val_accuracy"):
        return [(step, round(value, 6)) for step, value in self.points.get(name, [])]


def read_mlflow(home):
    states = {"RUNNING": "open", "SCHEDULED": "open", "FINISHED": "finished", "KILLED": "finished"}
    mlflow = client(f"sqlite:///{home / 'mlflow.db'}")
    runs = {}
    for row in mlflow.search_runs([mlflow.get_experiment_by_name("mlp-digits").experiment_id]):
        name = row.info.run_name
        if name == "mlp-digits":
            continue
        assert name not in runs, f"{name} is there twice"
        history = {
            metric: [(m.step, m.value) for m in mlflow.get_metric_history(row.info.run_id, metric)]
            for metric in row.data.metrics
        }
        state = states.get(row.info.status, "failed")
        runs[name] = Run(state, row.data.params, history, row.data.metrics)
    return runs


def read_tensorboard(home):
    # It would load TensorFlow to read files.
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import Status

    runs = {}
    for file in sorted((home / "tensorboard").rglob("*tfevents*")):
        events = EventAccumulator(str(file.parent), size_guidance={"scalars": 0}).Reload()
        try:
            tags = events.PluginTagToContent("hparams")
        except KeyError:  # the study's own folder
            continue
        start = metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG])
        state = "open"
        if metadata.SESSION_END_INFO_TAG in tags:
            end = metadata.parse_session_end_info_plugin_data(tags[metadata.SESSION_END_INFO_TAG])
            state = "failed" if end.status == Status.STATUS_FAILURE else "finished"
        points = {
            tag.rpartition("/")[2]: [(e.step, e.value) for e in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
        params = {name: getattr(v, v.WhichOneof("kind")) for name, v in start.hparams.items()}
        values = {tag: series[-1][1] for tag, series in points.items()}
        runs[file.parent.name] = Run(state, params, points, values)
    return runs


def read_wandb(home):
    from wandb.util import get_core_path

    runs = {}
    for file in sorted((home / "wandb").glob("offline-run-*/*.wandb")):
        out = subprocess.run(
            [get_core_path(), "leet", "inspect", "--json", "--run-file", file, file.parent],
            capture_output=True,
            check=True,
        ).stdout
        run, points = Run("open"), defaultdict(list)
        for record in map(json.loads, out.splitlines()):
            kind, content = record["type"], record.get(record["type"])
            if kind == "run":
                name = content["display_name"]
                run.params |= content["config"]["update"]
            elif kind == "history":
                for metric, value in content["item"].items():
                    points[metric].append((content["step"]["num"], value))
            elif kind == "summary":
                run.values |= content.get("update", {})
            elif kind == "exit":
                run.state = "failed" if content["exit_code"] else "finished"
        assert name not in runs, f"{name} is there twice"
        run.points = dict(points)
        runs[name] = run
    return runs
