"""Registers the network of a study's champion in MLflow: `python -m search.tracking.mlflow.register
STUDY`.

It runs on its own since it loads Keras. Prints one line of JSON: {version, error}; the version is
that which the alias `champion` now means.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from search.artifacts import join
from search.errors import StudyError
from search.files import locked
from search.paths import artifacts, home
from search.records import StudyRecord
from search.report.champion_network import builder_name, how_kept, model_file
from search.report.read_evidence import read_evidence
from search.secret import redacted
from search.tracking.mlflow.client import open_client
from search.tracking.mlflow.runs import KIND, find_runs
from search.tracking.mlflow.served import Flavor, UnservableError
from search.tracking.uri import default_uri
from search.training.kept_network import FACTS, WEIGHTS

ALIAS = "champion"
DIGEST = "gridless.model_sha256"
"""The tag of a version that says which file it is: the same file is never logged twice."""


REGISTER_WAIT_S = 300.0


def registered(
    study: StudyRecord, *, wait_s: float = REGISTER_WAIT_S
) -> tuple[str | None, str | None]:
    """Make the network of a study's champion the one that MLflow calls `champion`: its version
    there and None, or None and why not. In a process of its own, which loads the framework.
    """
    program = [sys.executable, "-m", "search.tracking.mlflow.register", study.name, study.uid]
    try:
        done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=wait_s)  # noqa: S603
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return None, f"it took more than {wait_s:g} s"
    except (OSError, ValueError):
        return None, "it ended without a word"
    return answer["version"], answer["error"]


def main() -> int:
    """Run the command line; always 0, since the result is printed."""
    parser = argparse.ArgumentParser(prog="python -m search.tracking.mlflow.register")
    parser.add_argument("study")
    parser.add_argument("uid", help="its id in the storage")
    args, uri = parser.parse_args(), default_uri(home())
    result: dict[str, str | None] = {"version": None, "error": None}
    try:
        with redirect_stdout(sys.stderr):  # Keras shows its progress
            result["version"] = register(args.study, args.uid, uri)
    except Exception as error:  # stores, servers and drivers each raise their own
        result["error"] = redacted(" ".join(str(error).split()), uri) or type(error).__name__
    print(json.dumps(result))  # noqa: T201
    return 0


def register(study: str, uid: str, uri: str) -> str:
    """Give the alias `champion` of the model called `study`, in the MLflow store at `uri`, to its
    network as it is now.

    The file is logged to the study's run and becomes a new version unless one holds it already;
    returns the version. Raises InputError when there is no network, StudyError when MLflow hasn't
    the study's run, and whatever MLflow, SQLAlchemy or the file system does when the store is out
    of reach.
    """
    path = model_file(study)
    with (
        locked(path.with_name(".champion.lock"), wait=True),
        TemporaryDirectory(prefix="gridless-") as new,
    ):
        folder = Path(new)
        # A report may replace the files at any moment: what is digested must be what is loaded.
        for name in (path.name, *(f"model{kind}" for kind in (WEIGHTS, FACTS))):
            with suppress(FileNotFoundError):
                shutil.copyfile(path.with_name(name), folder / name)
        client, digest = open_client(uri), sha256((folder / path.name).read_bytes()).hexdigest()
        version = _version(client, study, digest) or _log(client, uri, study, uid, folder, digest)
        if _current(client, study) != version:
            client.set_registered_model_alias(study, ALIAS, version)
    return version


def _current(client: Any, study: str) -> str | None:
    return {str(k): str(v) for k, v in client.get_registered_model(study).aliases.items()}.get(
        ALIAS
    )


def _version(client: Any, study: str, digest: str) -> str | None:
    """The version that holds this very file: an earlier command may have died before it gave it the
    alias.
    """
    versions = client.search_model_versions(f"name = '{study}'")
    return next((str(v.version) for v in versions if v.tags.get(DIGEST) == digest), None)


def _log(client: Any, uri: str, study: str, uid: str, folder: Path, digest: str) -> str:
    """Log the network whose files are in `folder` to the study's run and register it; its version.

    Where MLflow's copy does not repeat what the network said as it was trained, nothing is
    registered: the files become artifacts of the run. Raises StudyError then.
    """
    import mlflow  # noqa: PLC0415 (takes seconds)
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.models import Model  # noqa: PLC0415

    from search.training.inference import open_network  # noqa: PLC0415 (loads Keras)

    run, builder = _run(client, study, uid), builder_name(study)
    network = open_network(folder, builder)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    mlflow.set_experiment(study)
    details = _described(study, network)
    try:
        alone = how_kept(model_file(study).parent) in {"alone", None}
        flavor = Flavor(folder, builder, alone=alone)
        info = Model.log(None, name=ALIAS, flavor=flavor, model=network, run_id=run, **details)
    except UnservableError as error:
        client.log_artifacts(run, str(folder), "model")
        rule = f"MLflow can't serve this network: {error}"
        raise StudyError(
            f"{rule}; its weights are among the files of the study's run, under model/"
        ) from error
    try:
        client.create_registered_model(
            study, description=f"Networks of the champions of the study {study}"
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        study, info.model_uri, run, tags={DIGEST: digest}, model_id=info.model_id
    )
    return str(made.version)


def _described(study: str, network: Any) -> Mapping[str, Any]:
    """What a server must know of `network`: pixels in, probabilities out, an image to try, and what
    it needs.
    """
    import keras  # noqa: PLC0415 (takes seconds)
    import mlflow  # noqa: PLC0415 (takes seconds)
    import tensorflow  # noqa: PLC0415 (takes seconds)
    from mlflow.models import ModelSignature  # noqa: PLC0415 (takes seconds)
    from mlflow.types import Schema, TensorSpec  # noqa: PLC0415

    shape, n_classes = tuple(network.input_shape[1:]), int(network.output_shape[-1])
    samples = read_evidence(join(artifacts(study), "evidence"), None).samples
    image = samples.images[0, 0] if samples else np.full(shape, 127)
    return {
        # A signature of inputs would name one type and refuse all others: pixels come as uint8,
        # int64, float64.
        "signature": ModelSignature(
            outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, n_classes))])
        ),
        "input_example": image[None].astype(np.float32),
        # By what was imported: the package that brought TensorFlow may be called tensorflow-cpu.
        "pip_requirements": [
            f"{module.__name__}=={module.__version__}" for module in (mlflow, keras, tensorflow, np)
        ],
        "metadata": {
            "study": study,
            "input_shape": list(shape),
            "class_names": list(samples.class_names) if samples else [],
        },
    }


def _run(client: Any, study: str, uid: str) -> str:
    """The study's run, by its id in the storage."""
    experiment = client.get_experiment_by_name(study)
    if experiment:
        condition = f" AND tags.`{KIND}` = 'study'"
        for run in find_runs(client, experiment.experiment_id, uid, condition):
            if not run.is_deleted:
                return run.id
    raise StudyError(f"MLflow has no run of study {study!r}; `gridless sync {study}` sends it")


if __name__ == "__main__":
    raise SystemExit(main())
