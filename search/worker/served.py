"""Where networks that MLflow registered before the loader moved look for their loader."""

from search.tracking.mlflow.served import _load_pyfunc

__all__ = ["_load_pyfunc"]
