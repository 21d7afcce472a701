"""Dashboard and alerts: every query finds what a server shows, every alert is tested and explained.

What Prometheus itself must say is asked of Debian's, which `make monitoring-tools` fetches.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from imageward_client import Client, HashQuery, UndecodableImage
from imageward_server.intake.metrics import Metrics
from imageward_server.intake.steward import Standing
from imageward_server.sight.catalogue import FAMILIES, Kind

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "server" / "deploy" / "monitoring"
OPERATIONS = (ROOT / "OPERATIONS.md").read_text()
ALERTS = (MONITORING / "alerts.yml").read_text()
CASES = (MONITORING / "alerts_test.yml").read_text()
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
NAMES = re.findall(r"- alert: (\w+)", ALERTS)
EXPRESSIONS = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
RULES = re.findall(r"expr: (?:>-\s+)?(.+?)\n +(?:for|labels):", ALERTS, re.DOTALL)
# Of Prometheus itself, about what it scrapes.
BUILT_IN = {"up"}
SUFFIXES = ("_bucket", "_count", "_sum")
WAIT_S = 60.0


def _tool(name: str) -> Path:
    """Find a program of Debian's package prometheus; skip without it."""
    here = ROOT / ".venv" / "debian" / "usr" / "bin" / name
    found = shutil.which(name) or (str(here) if here.exists() else None)
    if found is None:
        pytest.skip(f"{name} is not installed; make monitoring-tools fetches it")
    return Path(found)


def _metrics_of(expression: str) -> dict[str, set[str]]:
    """Read from a query which metrics it asks for, and by which labels."""
    pattern = r"\b(up|grpc_server_\w+|imageward_\w+)(?:\{([^}]*)\})?"
    return {
        name: set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers or ""))
        for name, matchers in re.findall(pattern, expression)
    }


@pytest.mark.parametrize("expression", [*EXPRESSIONS.values(), *RULES])
def test_every_query_asks_for_what_there_is(expression: str) -> None:
    """Metrics and labels of panels and alerts are those of the catalogue."""
    for name, labels in _metrics_of(expression).items():
        if name in BUILT_IN:
            continue
        whole = name
        for suffix in SUFFIXES:
            if name not in FAMILIES:
                whole = name.removesuffix(suffix) if name.endswith(suffix) else whole
        assert whole in FAMILIES, name
        assert labels <= {*FAMILIES[whole].labels, "instance", "job", "le"}, name


def test_the_dashboard_shows_every_metric() -> None:
    """What is counted is looked at."""
    shown = " ".join(EXPRESSIONS.values())
    assert [name for name in FAMILIES if name not in shown] == []


@pytest.mark.parametrize("name", FAMILIES)
def test_every_metric_is_in_operations(name: str) -> None:
    """Each has its row, with its kind, its labels and its meaning."""
    family = FAMILIES[name]
    kind = "gauge" if family.kind is Kind.AGE else family.kind.value
    labels = ", ".join(f"`{label}`" for label in family.labels)
    assert f"| `{name}` | {kind} | {labels} | {family.meaning} |".replace("  ", " ") in OPERATIONS


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_fires_is_silent_and_has_its_runbook(name: str) -> None:
    """There is a case of each, and a section that says what to do."""
    cases = dict(re.findall(r"- name: (\w+ .+)\n((?:    .*\n)+)", CASES))
    assert "exp_labels" in cases[f"{name} fires"]
    assert f"alertname: {name}\n" in cases[f"{name} fires"]
    assert "exp_alerts: []" in cases[f"{name} is silent"]
    assert f"alertname: {name}\n" in cases[f"{name} is silent"]
    assert f"runbook: OPERATIONS.md#{name.lower()}" in ALERTS
    (section,) = re.findall(rf"^#### {name}\n+(.+?)(?=^#|\Z)", OPERATIONS, re.MULTILINE | re.DOTALL)
    assert len(section.split()) > 20


def test_the_alerts_do_as_their_cases_say() -> None:
    """Prometheus' own judge runs every case."""
    promtool = _tool("promtool")
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        ended = subprocess.run(
            [promtool, *command], cwd=MONITORING, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def recorded(
    tmp_path_factory: pytest.TempPathFactory, astronaut_bytes: bytes
) -> Iterator[tuple[str, str]]:
    """Scrape a server before and after every kind of call, an intake beside it."""
    data_dir = tmp_path_factory.mktemp("recorded") / "data"
    command = [sys.executable, "-m", "imageward_server", "serve", "--insecure"]
    command += ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    command += ["--data-dir", str(data_dir)]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [*command, "--log-format", "json"], stdout=subprocess.PIPE, stderr=log, text=True
        ) as server,
    ):
        assert server.stdout
        ready = re.search(r"port (\d+)", server.stdout.readline())
        assert ready
        log.seek(0)
        shown = re.search(r'"port": (\d+), "event": "metrics shown"', log.read())
        assert shown
        metrics = Metrics(data_dir)
        metrics.show(Standing(1, {24: 0, 36: 0, 44: 0}, 60.0, 1, 0, 0), 0.0, time.time())
        with Client(f"127.0.0.1:{ready[1]}", timeout_s=WAIT_S) as client:
            first = _scrape(int(shown[1]))
            client.create_bank("bank")
            client.add_entries("bank", images=[astronaut_bytes])
            client.check_image(astronaut_bytes)
            client.check_hashes([bytes(32)])
            list(client.check_stream([HashQuery(bytes(32))]))
            with contextlib.suppress(UndecodableImage):
                client.check_image(astronaut_bytes[:4000])
            yield first, _scrape(int(shown[1]))
        server.terminate()
        server.communicate(timeout=WAIT_S)


@pytest.fixture(scope="module")
def astronaut_bytes(photograph: Callable[[str], bytes]) -> bytes:
    """Return a photograph."""
    return photograph("astronaut.png")


def _scrape(port: int) -> str:
    """Read the endpoint as text."""
    return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S).text


def _history(scrapes: tuple[str, str], end_s: int) -> Iterator[str]:
    """Lay two scrapes out over ten minutes, as Prometheus would have stored them."""
    first, second = (
        [line for line in text.splitlines() if line and not line.startswith("#")]
        for text in scrapes
    )
    values = [dict(line.rsplit(" ", 1) for line in lines) for lines in (first, second)]
    for series in sorted({*values[0], *values[1]}):
        name, brace, labels = series.partition("{")
        known = f'{name}{{instance="a",job="imageward"{"," if brace else ""}{labels or "}"}'
        for minute in range(11):
            value = values[minute >= 5].get(series)
            if value is not None:
                yield f"{known} {value} {end_s - 600 + minute * 60}"
    yield "# EOF"


@contextlib.contextmanager
def _prometheus(folder: Path) -> Iterator[str]:
    """Run Prometheus on stored samples; yield where it answers."""
    (folder / "empty.yml").write_text("")
    command = [str(_tool("prometheus")), f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--config.file={folder / 'empty.yml'}", "--web.listen-address=127.0.0.1:0"]
    command += ["--storage.tsdb.retention.time=10y"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        assert running.stderr
        port = None
        while port is None:
            readable, _, _ = select.select([running.stderr], [], [], WAIT_S)
            assert readable, "Prometheus does not say where it listens"
            said = running.stderr.readline().decode()
            assert said, "Prometheus ended"
            port = re.search(r'Listening on" address=127.0.0.1:(\d+)', said)
        drained = subprocess.Popen(["cat"], stdin=running.stderr, stdout=subprocess.DEVNULL)
        _until_ready(f"http://127.0.0.1:{port[1]}")
        yield f"http://127.0.0.1:{port[1]}"
        running.terminate()
        running.wait(WAIT_S)
        drained.wait(WAIT_S)


def _until_ready(base: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{base}/-/ready", timeout=5).status_code == 200:
                return
        select.select([], [], [], 0.05)
    raise AssertionError("Prometheus is not ready")


def test_every_panel_s_query_resolves(recorded: tuple[str, str], tmp_path: Path) -> None:
    """Against what a server showed, each gives at least one series, by Prometheus itself."""
    end_s = int(time.time()) - 7200
    (tmp_path / "history").write_text("\n".join(_history(recorded, end_s)) + "\n")
    made = subprocess.run(
        [_tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", "history", "data"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    empty = []
    with _prometheus(tmp_path) as base:
        for where, expression in EXPRESSIONS.items():
            query = expression.replace("$__rate_interval", "10m").replace("$instance", ".*")
            asked = {"query": query, "time": str(end_s)}
            answer = httpx.get(f"{base}/api/v1/query", params=asked, timeout=WAIT_S)
            if not answer.json()["data"]["result"]:
                empty.append(where)
    assert empty == []
