"""Drives the stack of docker/compose.yaml, under a name, ports and passwords of its own, through
`docker compose`.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GRIDLESS = str(Path(sys.executable).parent / "gridless")
IMAGES = ("cpu", "mlflow")


def why_not() -> str | None:
    """Why the stack can't be tried here."""
    if not os.environ.get("GRIDLESS_TEST_DOCKER"):
        return "it takes minutes and gigabytes: `make test-docker` runs it"
    if shutil.which("docker") is None:
        return "there is no docker command on this machine"
    for arguments in (["version"], ["compose", "version"], ["buildx", "version"]):
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"`docker {' '.join(arguments)}` fails: {done.stderr.strip().splitlines()[-1:]}"
    return None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class Stack:
    """A compose project."""

    name: str
    secrets: Path
    postgres_port: int
    mlflow_port: int

    @cached_property
    def environment(self) -> dict[str, str]:
        own = {
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_PROFILES": "cpu",
            "STACK_IMAGE": "gridless-test",
            "STACK_SECRETS": str(self.secrets),
            "STACK_GPU_LOCKS": str(self.secrets.parent / "gpu-locks"),
            "STACK_POSTGRES_PORT": str(self.postgres_port),
            "STACK_MLFLOW_PORT": str(self.mlflow_port),
            "STACK_GRACE_S": "15",
            "STACK_WORKER_MEMORY": "6g",
        }
        return {
            k: v for k, v in os.environ.items() if not k.startswith(("STACK_", "COMPOSE_"))
        } | own

    @property
    def storage(self) -> str:
        """The studies' database, as this machine reaches it, without its password."""
        return f"postgresql://gridless@127.0.0.1:{self.postgres_port}/gridless"

    def docker(self, *arguments: str, check: bool = True) -> str:
        """stdout of a docker command, and its stderr in the error when it fails."""
        done = subprocess.run(
            ["docker", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
            cwd=ROOT,
        )
        if check and done.returncode:
            raise AssertionError(
                f"docker {' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
            )
        return done.stdout if check else done.stdout + done.stderr

    def compose(self, *arguments: str, check: bool = True) -> str:
        return self.docker("compose", "--file", "docker/compose.yaml", *arguments, check=check)

    def gridless(self, *arguments: str) -> str:
        """stdout of a command of this machine, outside of all containers, on the stack's
        database.
        """
        own = {
            "GRIDLESS_STORAGE": self.storage,
            "GRIDLESS_STORAGE_PASSWORD_FILE": str(self.secrets / "database_password"),
        }
        done = subprocess.run(
            [GRIDLESS, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | own,
            cwd=ROOT,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def containers(self, *services: str) -> list[dict[str, Any]]:
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        return list(json.loads(self.docker("inspect", *ids)))

    def kill(self, container: str) -> None:
        """`kill -9` the container's first process from outside, as a crash would; `docker kill`
        counts as a stop.
        """
        pid = self.docker("inspect", "--format", "{{.State.Pid}}", container).strip()
        own_user = ["--pid", "host", "--user", "0", "--network", "none", "--entrypoint", "bash"]
        self.docker("run", "--rm", *own_user, "gridless-test:cpu", "-c", f"kill -9 {pid}")

    def is_healthy(self, service: str) -> bool:
        return all(
            c["State"].get("Health", {}).get("Status") == "healthy"
            for c in self.containers(service)
        )

    def mlflow(
        self, path: str, *, user: str = "gridless", password: str | None = None, body: Any = None
    ) -> Any:
        """MLflow's answer, or the HTTP status if that is none of success."""
        url = f"http://127.0.0.1:{self.mlflow_port}/api/2.0/mlflow/{path}"
        request = urllib.request.Request(url, data=json.dumps(body).encode() if body else None)
        request.add_header("Content-Type", "application/json")
        if password is not None:
            request.add_header(
                "Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
            )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text()


def wait_for(condition: Callable[[], object], what: str, *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        time.sleep(0.5)
