"""Where the mirror is, and how to speak of it without its passwords: decided without importing MLflow."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

_HIDDEN = "***"
_PASSWORD = re.compile(r"([\w+.-]+://[^\s:/@?#]*):\S*@(?=[\w.\[/-])")
_LONE_USER = re.compile(r"(https?://)[^\s:/@?#]+@")
"""A server's token may stand alone before the @."""
_IN_QUERY = re.compile(r"(?i)([?&;][\w-]*(?:password|passwd|pwd|token|secret|key)=)[^&;\s#'\"]+")
_MIN_PIECE = 4


def default_uri(home: Path) -> str:
    """Return the MLflow store to mirror into: MLFLOW_TRACKING_URI if set, else an SQLite file in `home`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home.absolute() / 'mlflow.db'}"


def default_artifact_root(home: Path) -> Path:
    """Return the folder that keeps the artifacts of a store on this machine."""
    return home.absolute() / "mlflow-artifacts"


def is_remote(uri: str) -> bool:
    """Whether an MLflow server stands behind `uri`, which then decides by itself where artifacts go."""
    return uri.startswith(("http:", "https:", "databricks"))


def shown_uri(uri: str) -> str:
    """Return `uri`, or any text with addresses in it, with *** in the place of each password."""
    return _IN_QUERY.sub(rf"\1{_HIDDEN}", _LONE_USER.sub(rf"\1{_HIDDEN}@", _PASSWORD.sub(rf"\1:{_HIDDEN}@", uri)))


def redacted(text: str, uri: str) -> str:
    """Return an error's `text` without the passwords that `uri`, the environment or an address in it hold.

    An address that can't be parsed is quoted by drivers in pieces, so the pieces of its password go as well.
    """
    shown = shown_uri(text)
    for secret in sorted(_secrets(uri), key=len, reverse=True):
        shown = shown.replace(secret, _HIDDEN)
    return shown


def _secrets(uri: str) -> set[str]:
    found = {os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("PASSWORD", "TOKEN")}
    if match := re.match(r"[\w+.-]+://[^\s:/@?#]*:(\S*)@", uri):
        for password in (match[1], unquote(match[1])):
            pieces = re.split(r"[/:@?#\[\]]", password)
            found |= {password, *(piece for piece in pieces if len(piece) >= _MIN_PIECE)}
    return found - {""}
