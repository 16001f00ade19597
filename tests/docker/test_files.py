"""What the files of docker/ promise without an engine: nothing open, nothing guessable, nothing
undocumented.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from search.cli.worker import TERMINATED
from search.worker.engines.gpu_locks import lock_folder

DOCKER = Path(__file__).resolve().parents[2] / "docker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return YAML(typ="safe").load(DOCKER / "compose.yaml")


def test_ports_are_loopbacks_unless_asked_and_services_may_do_nothing_they_need_not(
    compose: dict[str, Any],
) -> None:
    services = compose["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("${STACK_BIND:-127.0.0.1}:") for port in ports)
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert [mount for mount in service["tmpfs"] if re.fullmatch(r"/tmp:size=\S+", mount)]


def test_passwords_come_from_files_only(compose: dict[str, Any]) -> None:
    assert all("/" in secret["file"] for secret in compose["secrets"].values())
    for service in compose["services"].values():
        named = [
            name
            for name in service.get("environment", {})
            if re.search("PASSWORD|SECRET|TOKEN|KEY", name)
        ]
        assert all(name.endswith("_FILE") for name in named)
    texts = "".join(file.read_text() for file in DOCKER.iterdir() if file.is_file())
    assert not re.search(r"://[^\s/@:]+:[^\s/@]+@", texts)


def test_only_mlflow_itself_has_its_administrators_password(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert [
        name
        for name, service in services.items()
        if "mlflow_password" in service.get("secrets", [])
    ] == ["mlflow"]
    script = (DOCKER / "mlflow.sh").read_text()
    for name in ("worker", "worker-gpu", "cli"):
        environment = services[name]["environment"]
        assert f" mlflow-account.py {environment['MLFLOW_TRACKING_USERNAME']}\n" in script
        assert environment["MLFLOW_TRACKING_PASSWORD_FILE"] == "/run/secrets/mlflow_worker_password"
        assert services[name]["secrets"] == ["database_password", "mlflow_worker_password"]


def test_every_setting_is_explained(compose: dict[str, Any]) -> None:
    used = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text()))
    told = set(re.findall(r"^#(\w+)=", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    assert used == told


def test_base_images_are_pinned_where_every_command_reads_them(tmp_path: Path) -> None:
    """Else `docker compose` would take the database of `make up` for another and replace it."""
    assert "--env-file" not in (DOCKER.parent / "Makefile").read_text()
    copies = [
        Path(shutil.copy(DOCKER / name, tmp_path))
        for name in ("pin-images.sh", "compose.yaml", "Dockerfile")
    ]
    before = [re.sub(r"@sha256:\w+", "", file.read_text()) for file in copies]
    engine = tmp_path / "docker"
    engine.write_text('#!/bin/sh\n[ "$1" = pull ] || echo "library/some@sha256:0a1b"\n')
    engine.chmod(0o755)
    for _ in range(2):
        variables = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        subprocess.run([copies[0]], env=variables, check=True, capture_output=True)
        assert [file.read_text().count("@sha256:0a1b") for file in copies] == [0, 2, 1]
        assert [file.read_text().replace("@sha256:0a1b", "") for file in copies] == before
    python = re.findall(
        r"PYTHON_IMAGE(?::-|=)([^\s}]+)", copies[1].read_text() + copies[2].read_text()
    )
    assert len(python) == 2
    assert len(set(python)) == 1


def test_passwords_are_made_once_and_for_this_user(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    for _ in range(2):
        subprocess.run([DOCKER / "secrets.sh", folder], check=True, capture_output=True)
        found = {file.name: file.read_text() for file in folder.iterdir()}
        (folder / "mlflow_password").chmod(0o600)
        (folder / "mlflow_password").write_text("a person's own")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert found.pop("mlflow_password") == "a person's own"
    assert len(set(found.values())) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", password) for password in found.values())


def test_containers_claim_gpus_where_the_hosts_own_commands_do(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    default = lock_folder()
    for service in ("worker", "worker-gpu"):
        assert (
            f"${{STACK_GPU_LOCKS:-{default}}}:/gpu-locks" in compose["services"][service]["volumes"]
        )
    assert f"\nfolder=${{folder:-{default}}}\n" in (DOCKER / "gpu-locks.sh").read_text()


def test_the_folder_of_claims_is_everybodys_and_no_link(tmp_path: Path) -> None:
    script, named = tmp_path / "gpu-locks.sh", tmp_path / "named"
    shutil.copy(DOCKER / "gpu-locks.sh", script)
    (tmp_path / ".env").write_text(f"STACK_BIND=127.0.0.1\nSTACK_GPU_LOCKS={named}\n")

    def run(folder: Path | None) -> int:
        own = {} if folder is None else {"STACK_GPU_LOCKS": str(folder)}
        known = {k: v for k, v in os.environ.items() if k != "STACK_GPU_LOCKS"}
        return subprocess.run(
            [script], env=known | own, check=False, capture_output=True
        ).returncode

    dockers = tmp_path / "made by Docker"
    dockers.mkdir(mode=0o755)
    for folder, found in ((None, named), (tmp_path / "new", tmp_path / "new"), (dockers, dockers)):
        assert [run(folder), run(folder)] == [0, 0]
        assert found.stat().st_mode & 0o7777 == 0o1777
    private, link = tmp_path / "private", tmp_path / "link"
    private.mkdir(mode=0o700)
    link.symlink_to(private)
    assert run(link) != 0
    assert private.stat().st_mode & 0o7777 == 0o700


def test_kubernetes_replaces_a_pod_that_was_stopped_without_counting_it() -> None:
    job = YAML(typ="safe").load(DOCKER / "kubernetes-job.yaml")["spec"]
    [container] = job["template"]["spec"]["containers"]
    assert container["args"] == ["worker", "--until-idle"]
    disrupted, ended = job["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in (disrupted, ended)] == ["Ignore", "Ignore"]
    assert disrupted["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert ended["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [TERMINATED],
    }
