"""Secrets in addresses and the environment: people, logs and users' code don't get them."""

import ctypes
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

_HIDDEN = "***"
# Both begin where a scheme does: at every letter of a long word, they would take the square of its
# length.
_PASSWORD = re.compile(r"(?<![\w+.-])([\w+.-]+://[^\s:/@?#]*):\S*@(?=[\w.\[/-])")
_LONE_USER = re.compile(r"(?<![\w+.-])((?!postgres|mysql|mssql)[\w+.-]+://)[^\s:/@?#]+@")
"""Of all but databases a token may stand alone before the @."""
_NAME = r"[\w.%-]*(?:password|passwd|passphrase|pwd|token|secret|key|signature|credentials?)"
_IN_QUERY = re.compile(rf"(?i)([?&;]{_NAME}=|[?&;]sig=)[^&\s#]+?(?=['\"]?(?:[&\s#]|$))")
_MIN_PIECE = 4
_VARIABLES = {
    "GRIDLESS_STORAGE_PASSWORD_FILE",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_PASSWORD_FILE",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "WANDB_API_KEY",
}
_ADDRESSES = ("GRIDLESS_STORAGE", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
_PR_SET_DUMPABLE = 4


def masked(text: str | Path) -> str:
    """An address, or any text with some, with *** for each password, token or key."""
    return _IN_QUERY.sub(
        rf"\1{_HIDDEN}",
        _LONE_USER.sub(rf"\1{_HIDDEN}@", _PASSWORD.sub(rf"\1:{_HIDDEN}@", str(text))),
    )


def redacted(text: str, address: str) -> str:
    """An error's `text` without the secrets that `address`, the environment or an address in the
    text hold.

    An address that can't be parsed is quoted by drivers in pieces, so the pieces of its password go
    as well.
    """
    text = masked(text)
    for secret in sorted(_secrets(address), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def redacted_here(text: str) -> str:
    """The same, of all addresses that this process's environment has."""
    for name in _ADDRESSES:
        text = redacted(text, os.environ.get(name, ""))
    return text


def _secrets(address: str) -> set[str]:
    secrets = {os.environ.get(name, "") for name in _VARIABLES if not name.endswith("_FILE")}
    passwords = [match[0][len(match[1]) :] for match in _IN_QUERY.finditer(address)]
    if match := re.match(r"[\w+.-]+://[^\s:/@?#]*:(\S*)@", address):
        passwords.append(match[1])
    for password in (*passwords, *map(unquote, passwords)):
        pieces = re.split(r"[/:@?#\[\]]", password)
        secrets |= {password, *(piece for piece in pieces if len(piece) >= _MIN_PIECE)}
    return secrets - {""}


def without_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that runs a user's code: without the passwords of the database
    and of trackers.

    What belongs to AWS stays only where checkpoints go to a store, which trials write themselves.
    """
    keep_aws = "://" in variables.get("GRIDLESS_ARTIFACTS", "")
    return {
        name: value
        for name, value in variables.items()
        if name not in _VARIABLES
        and (keep_aws or not name.startswith("AWS_"))
        and not (name in _ADDRESSES and masked(value) != value)
    }


def hide_environment() -> None:
    """Close /proc/<pid>/environ of this process to the user's other processes, if there is a secret
    in it (Linux).

    Not to root's, and what is run from here begins open again.
    """
    if sys.platform == "linux" and len(without_secrets(os.environ)) < len(os.environ):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
