"""What the files of docker/ promise without an engine: nothing open, nothing guessable, nothing undocumented."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

DOCKER = Path(__file__).resolve().parents[2] / "docker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return YAML(typ="safe").load(DOCKER / "compose.yaml")


def test_ports_are_loopbacks_unless_asked_and_services_may_do_nothing_they_need_not(compose: dict[str, Any]) -> None:
    services = compose["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("${STACK_BIND:-127.0.0.1}:") for port in ports)
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_passwords_come_from_files_only(compose: dict[str, Any]) -> None:
    assert all("/" in secret["file"] for secret in compose["secrets"].values())
    for service in compose["services"].values():
        named = [name for name in service.get("environment", {}) if re.search("PASSWORD|SECRET|TOKEN|KEY", name)]
        assert all(name.endswith("_FILE") for name in named)
    texts = "".join(file.read_text() for file in DOCKER.iterdir() if file.is_file())
    assert not re.search(r"://[^\s/@:]+:[^\s/@]+@", texts)


def test_every_setting_is_explained(compose: dict[str, Any]) -> None:
    used = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text())) - {"STACK_GPU_LOCKS"}
    told = set(re.findall(r"^#(\w+)=", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    assert used == told


def test_passwords_are_made_once_and_for_this_user(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    for _ in range(2):
        subprocess.run([DOCKER / "secrets.sh", folder], check=True, capture_output=True)
        found = {file.name: file.read_text() for file in folder.iterdir()}
        (folder / "mlflow_password").chmod(0o600)
        (folder / "mlflow_password").write_text("a person's own")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert found.pop("mlflow_password") == "a person's own"
    assert len(set(found.values())) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", password) for password in found.values())
