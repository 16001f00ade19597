"""Where networks that MLflow registered before 0.1.0 look for their loader."""

from search.tracking.mlflow.served import _load_pyfunc

__all__ = ["_load_pyfunc"]
