#!/usr/bin/env python3
"""Set up the workers' account in MLflow: `mlflow-account.py NAME <password`, with
MLFLOW_AUTH_CONFIG_PATH set.

It runs before the server starts, each time, so that no worker meets a server that does not know it.
Workers go on with studies that others began: they may write to every experiment and model and
delete every run. They are no administrator, and can delete no experiment or model but those that
they made.
"""

import sys

from mlflow.server.auth.config import read_auth_config
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

PERMISSIONS = {"experiment": "EDIT", "run": "MANAGE", "registered_model": "EDIT"}


def set_up(name: str, password: str) -> None:
    """Make or update the account. MLflow refuses passwords under 12 characters."""
    store = SqlAlchemyStore()
    store.init_db(read_auth_config().database_uri)
    if store.has_user(name):
        store.update_user(name, password=password, is_admin=False)
    else:
        store.create_user(name, password)
    for kind, permission in PERMISSIONS.items():
        store.grant_user_permission(name, kind, "*", permission)


if __name__ == "__main__":
    set_up(sys.argv[1], sys.stdin.read().strip("\r\n"))
