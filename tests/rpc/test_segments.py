"""Sealed segments under a real server: restarts, damage, and the operator's commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from imageward_client import Client, Verdict
from imageward_index.sealer import SEAL_CODES, SEGMENT_SUFFIX
from imageward_server.app import Server
from imageward_server.config import Config
from imageward_server.hasher import InProcessHasher
from imageward_server.replica import HASH_SEGMENTS

BATCH = 1000
FEW = 2 * BATCH


@pytest.fixture(autouse=True)
def _seal_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seal a tail of a few thousand codes instead of a hundred thousand."""
    monkeypatch.setitem(SEAL_CODES, 256, FEW)


@pytest.fixture
def serve(config: Config) -> Iterator[Callable[[], Server]]:
    """Return a starter of servers on one data folder, one after the other."""
    running: list[Server] = []

    def start() -> Server:
        for server in running:
            server.stop()
        running[:] = [Server(config, InProcessHasher())]
        running[0].start(lambda *_progress: None)
        return running[0]

    yield start
    for server in running:
        server.stop()


def _client(server: Server) -> Client:
    return Client(f"127.0.0.1:{server.port}", timeout_s=20)


def _fill(client: Client, count: int) -> list[bytes]:
    """Bank random hashes; return them."""
    codes = [
        code.tobytes() for code in np.random.default_rng(0).integers(0, 256, (count, 32), "u1")
    ]
    client.create_bank("bank", radius=0)
    for first in range(0, count, BATCH):
        client.add_entries("bank", hashes=codes[first : first + BATCH])
    return codes


def _until_sealed(server: Server) -> None:
    """Do the sealer's next step here, and have it done when this returns."""
    for sealer in server._replica.sealers:
        sealer._stopping.set()
        sealer._thread.join()  # type: ignore[union-attr]
        while sealer.step():
            pass


def test_a_restart_maps_segments_and_replays_the_rest(
    serve: Callable[[], Server], config: Config
) -> None:
    """Sealed and later entries, and later withdrawals, are all as they were."""
    server = serve()
    with _client(server) as client:
        codes = _fill(client, FEW)
        _until_sealed(server)
        later = client.add_entries("bank", hashes=[b"\7" * 32])
        ids = [entry.id for entry in client.list_entries("bank")]
        client.withdraw_entries([ids[0], ids[-1]])
        client.restore_entries([ids[-1]])
    assert len(list((config.data_dir / HASH_SEGMENTS).glob(f"*{SEGMENT_SUFFIX}"))) == 1
    server = serve()
    assert len(server._replica.hashes.view.segments) == 1
    assert len(server._replica.hashes.view.tail) == 1
    with _client(server) as client:
        answer = client.check_hashes([codes[0], codes[1], b"\7" * 32])
        assert [result.verdict for result in answer.results] == [
            Verdict.ALLOW,
            Verdict.BLOCK,
            Verdict.BLOCK,
        ]
        assert answer.results[2].entry_ids == (later.results[0].entry_id,)
        assert client.get_stats().index_size == FEW


def test_a_damaged_segment_is_rebuilt_from_the_store(
    serve: Callable[[], Server], config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """The start says which file and what is done, and nothing is lost."""
    server = serve()
    with _client(server) as client:
        codes = _fill(client, FEW)
    _until_sealed(server)
    (file,) = (config.data_dir / HASH_SEGMENTS).glob(f"*{SEGMENT_SUFFIX}")
    data = bytearray(file.read_bytes())
    data[-5000] ^= 255
    server.stop()
    file.write_bytes(data)
    server = serve()
    logged = "".join(capsys.readouterr())
    assert str(file) in logged
    assert "rebuilt from the store" in logged
    with _client(server) as client:
        assert client.check_hashes(codes[:1]).results[0].verdict is Verdict.BLOCK
        assert client.get_stats().index_size == FEW
    assert not file.exists()


def _command(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "imageward_server", "segments", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_operator_s_commands(serve: Callable[[], Server], config: Config) -> None:
    """List shows, verify checks, compact drops withdrawn codes, and refuses beside a server."""
    server = serve()
    with _client(server) as client:
        _fill(client, FEW)
        _until_sealed(server)
        ids = [entry.id for entry in client.list_entries("bank")]
        client.withdraw_entries(ids[:10])
    data_dir = ["--data-dir", str(config.data_dir)]
    assert "a server has the folders in use" in _command("compact", *data_dir).stderr
    server.stop()
    (listed,) = json.loads(_command("list", "--json", *data_dir).stdout)
    assert listed["codes"] == FEW
    assert _command("verify", *data_dir).stdout == f"segments/{listed['segment']}: whole\n"
    assert _command("compact", *data_dir).stdout == f"{FEW - 10:,} hashes and 0 regional codes\n"
    (compacted,) = json.loads(_command("list", "--json", *data_dir).stdout)
    assert (compacted["codes"], compacted["withdrawn"]) == (FEW - 10, 0)
    file = config.data_dir / HASH_SEGMENTS / compacted["segment"]
    file.write_bytes(file.read_bytes()[:-1])
    refused = _command("verify", *data_dir)
    assert refused.returncode == 1
    assert str(file) in refused.stderr


def test_no_segments_is_said(tmp_path: Path) -> None:
    """A folder without a manifest is no error of the program."""
    said = _command("list", "--data-dir", str(tmp_path))
    assert said.returncode == 1
    assert "has no segments" in said.stderr
