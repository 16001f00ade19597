"""Where the mirror is: decided without importing MLflow."""

import os
from pathlib import Path

ARTIFACTS = "mlflow-artifacts"
"""The folder of a store on this machine, beside its database."""


def default_uri(home: Path) -> str:
    """Return the MLflow store to mirror into: MLFLOW_TRACKING_URI if set, else an SQLite file in
    `home`.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home.absolute() / 'mlflow.db'}"


def default_artifact_root(home: Path) -> Path:
    """Return the folder that keeps the artifacts of a store on this machine."""
    return home.absolute() / ARTIFACTS


def is_remote(uri: str) -> bool:
    """Whether an MLflow server stands behind `uri`, which then decides by itself where artifacts
    go.
    """
    return uri.startswith(("http:", "https:", "databricks"))
