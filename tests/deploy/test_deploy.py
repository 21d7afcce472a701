"""What is shipped to run a server: hardened, well formed, and of one mind with the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from imageward_server import __version__
from imageward_server.config import Config
from imageward_server.processes.supervisor import CLOSE_S_MAX

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "server" / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
DOCKERFILE = DEPLOY / "container" / "Dockerfile"
KUBERNETES = "1.30"
EXPOSURE_MAX = 2.0


def _tool(name: str) -> str:
    """Find a program, beside this Python or anywhere; skip without it."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _read(manifest: Path) -> dict[str, Any]:
    """Read a manifest; skip without a reader of YAML."""
    yaml = pytest.importorskip("yaml", reason="kubernetes-validate is not installed")
    read: dict[str, Any] = yaml.safe_load(manifest.read_text())
    return read


@pytest.fixture
def pod() -> dict[str, Any]:
    """Return what the stateful set says of its pod."""
    spec: dict[str, Any] = _read(DEPLOY / "kubernetes" / "statefulset.yaml")["spec"]
    pod: dict[str, Any] = spec["template"]["spec"]
    return pod


@pytest.fixture
def settings() -> dict[str, Any]:
    """Return the settings of the pod's server."""
    data = _read(DEPLOY / "kubernetes" / "config.yaml")["data"]
    return tomllib.loads(data["server.toml"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_exposes_little(unit: Path) -> None:
    """At most 2.0 of 10 by systemd's own reckoning."""
    command = [_tool("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    told = re.search(r"Overall exposure level for \S+ ([\d.]+)", said)
    if told is None:
        pytest.skip("this systemd-analyze judges no files")
    assert float(told[1]) <= EXPOSURE_MAX


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_lets_the_server_work(unit: Path) -> None:
    """It may compile its search, filter its cells' calls, and write where it must."""
    text = unit.read_text()
    assert "MemoryDenyWriteExecute=yes" not in text
    assert "SystemCallFilter=@system-service\n" in text
    assert "NUMBA_CACHE_DIR=/var/cache/imageward" in text
    assert "StateDirectory=imageward" in text


def test_the_dockerfile_is_clean_and_drops_every_privilege() -> None:
    """By hadolint; in two stages, as a user of its own."""
    linted = subprocess.run(
        [_tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert (linted.returncode, linted.stdout) == (0, "")
    text = DOCKERFILE.read_text()
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) == 2
    assert re.findall(r"^USER (.+)", text, re.MULTILINE) == ["10001:10001"]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_is_of_its_schema(manifest: Path) -> None:
    """Every field is known to Kubernetes and of the right type."""
    validate = pytest.importorskip("kubernetes_validate", reason="it is not installed")
    validate.validate(_read(manifest), KUBERNETES, strict=True)


def test_the_pod_is_locked_in(pod: dict[str, Any]) -> None:
    """No root, no privilege, nothing to write but its volumes, no token of the cluster."""
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"] == f"imageward:{__version__}"


def test_the_pod_is_asked_by_grpc_where_the_server_answers(
    pod: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Ports, probes and times are those of the settings."""
    (container,) = pod["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports == {
        name: int(settings[setting].rpartition(":")[2])
        for name, setting in (
            ("grpc", "listen"),
            ("health", "health_listen"),
            ("metrics", "metrics_listen"),
        )
    }
    assert container["startupProbe"]["grpc"]["port"] == ports["health"]
    assert container["readinessProbe"]["grpc"]["port"] == ports["health"]
    leaving_s = settings["notice_s"] + settings["grace_s"] + CLOSE_S_MAX
    assert pod["terminationGracePeriodSeconds"] > leaving_s


def test_the_pod_s_settings_are_the_server_s(settings: dict[str, Any]) -> None:
    """A name that no setting has, or values that contradict each other, would end the start."""
    config = Config(**settings)
    assert config.has_tls
