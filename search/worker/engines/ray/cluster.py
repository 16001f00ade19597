"""A Ray cluster: how to reach it, its room for workers, and whether it can run a study."""

import json
import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from search.errors import InputError
from search.worker.engines.ray.keeper import Terms

Node = Mapping[str, Any]
"""As `ray.nodes()` tells it."""
OBJECT_STORE_BYTES = 100 * 2**20
"""We keep nothing there, and by default it takes 30 % of the memory."""
_CONNECT_S = 10.0
_SMALLEST = 1e-4
"""Ray counts shares of a GPU by this."""


@dataclass(frozen=True)
class ClusterSettings:
    """What to place where."""

    address: str | None
    """The head's address as `ray start` prints it; "auto" for this machine's; None to start Ray."""
    n_workers: int | None
    """None for as many as there is room for."""
    gpus_per_worker: float | None
    """None for 1 where the cluster has GPUs, and 0 elsewhere."""
    cpus_per_worker: float | None
    """None for 0 with a GPU, since GPUs are what is scarce, and as many as its threads without."""
    shared_storage: bool
    """Whether other machines can open the studies' database."""
    terms: Terms

    def resolved(self, nodes: Sequence[Node]) -> "ClusterSettings":
        """The settings with what was left open decided by what `nodes` have."""
        gpus = self.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if any(node["Resources"].get("GPU", 0) >= 1 for node in nodes) else 0.0
        cpus = self.cpus_per_worker
        if cpus is None:
            cpus = 0.0 if gpus else float(self.terms.threads)
        terms = replace(self.terms, gpus=gpus, one_machine=not self.shared_storage)
        return replace(self, gpus_per_worker=gpus, cpus_per_worker=cpus, terms=terms)

    @property
    def needs(self) -> dict[str, float]:
        """What one worker takes of a node, by Ray's names. Only of `resolved` settings."""
        gpus = math.floor((self.gpus_per_worker or 0.0) / _SMALLEST + 1e-6) * _SMALLEST
        return {"GPU": round(gpus, 4), "CPU": self.cpus_per_worker or 0.0}

    def room(self, nodes: Sequence[Node]) -> int:
        """How many workers `nodes` have room for, were they empty."""
        return sum(_fits(node["Resources"], self.needs) for node in nodes)

    def to_line(self) -> bytes:
        """As one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "ClusterSettings":
        """The settings that `to_line` wrote."""
        raw = json.loads(line)
        terms = raw.pop("terms")
        return cls(
            **raw,
            terms=Terms(**terms | {"program": tuple(terms["program"])}),
        )


def connect(address: str | None) -> list[Node]:
    """Join the cluster at `address`, or start one on this machine that nobody else can reach; its
    living nodes.

    Raises InputError when that fails.
    """
    import ray  # noqa: PLC0415  # an extra

    if address is None:
        where: dict[str, Any] = {
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    elif address.startswith("ray://"):
        raise InputError(
            f"--address {address}: run the command on a node of the cluster, with --address auto"
        )
    else:
        where = {}
    try:
        if address and ":" in address:
            host, _, port = address.rpartition(":")
            # Ray itself would go on trying for minutes.
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **where)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        remedy = "run the command on a node of the cluster; `ray start` there prints the address"
        raise InputError(
            f"--address {address}: Ray can't be reached: {reason}; {remedy}"
        ) from error
    return [node for node in ray.nodes() if node["Alive"]]


def unfit(settings: ClusterSettings, nodes: Sequence[Node]) -> list[str]:
    """Why studies can't run on `nodes` by these `settings`."""
    problems = []
    if settings.n_workers is None and not settings.room(nodes):
        needs, has = _shown(settings.needs), "; ".join(_shown(node["Resources"]) for node in nodes)
        problems.append(
            f"no node of the Ray cluster has room for a worker, which needs {needs}; they have"
            f" {has}. Start Ray with more, ask for less, or give --workers N if the cluster grows"
            " by itself"
        )
    n = len({(node["NodeManagerHostname"], node["NodeManagerAddress"]) for node in nodes})
    if n == 1:
        return problems
    if not settings.shared_storage:
        problems.append(
            f"SQLite can't be shared by the cluster's {n} machines; set GRIDLESS_STORAGE to"
            " postgresql://…"
        )
    if not os.environ.get("GRIDLESS_ARTIFACTS"):
        problems.append(
            f"GRIDLESS_ARTIFACTS is not set: the cluster's {n} machines need a place for"
            " checkpoints that all of them reach; give a shared folder, or the URL of a store such"
            " as s3://bucket/gridless"
        )
    return problems


def _fits(has: Mapping[str, float], needs: Mapping[str, float]) -> int:
    times = [
        math.floor(has.get(name, 0.0) / need + 1e-6) for name, need in needs.items() if need > 0
    ]
    return min(times, default=1)


def _shown(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
