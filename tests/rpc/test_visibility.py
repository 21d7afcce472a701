"""A write is seen by every check that starts after its acknowledgement."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from imageward_client import Client, RevisionNotReached, Verdict
from imageward_server.app import Server
from imageward_server.config import Config
from imageward_server.hasher import InProcessHasher

WRITERS = 4
ROUNDS = 25


def _code(writer: int, number: int) -> bytes:
    """Make hashes that are far from each other."""
    return bytes([writer * 16 + 1, number + 1]) * 16


def test_no_check_after_an_acknowledgement_misses_it(client: Client) -> None:
    """Four writers add, check, withdraw and check again, all at once, and never wait."""
    client.create_bank("bank", radius=0)
    together = threading.Barrier(WRITERS)
    wrong: list[str] = []

    def write(writer: int) -> None:
        together.wait()
        for number in range(ROUNDS):
            code = _code(writer, number)
            added = client.add_entries("bank", hashes=[code])
            answer = client.check_hashes([code])
            if answer.results[0].verdict is not Verdict.BLOCK:
                wrong.append(f"add {writer}.{number} not seen")
            if answer.revision < added.revision:
                wrong.append(f"answered at {answer.revision}, acknowledged at {added.revision}")
            gone = client.withdraw_entries([added.results[0].entry_id or ""])
            answer = client.check_hashes([code])
            if answer.results[0].verdict is not Verdict.ALLOW:
                wrong.append(f"withdrawal {writer}.{number} not seen")
            if answer.revision < gone.revision:
                wrong.append(f"answered at {answer.revision}, acknowledged at {gone.revision}")

    threads = [threading.Thread(target=write, args=[writer]) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_feed_carries_changes_of_another_server(config: Config, tmp_path: Path) -> None:
    """Two servers on one store: what one acknowledges, the other answers at that revision."""
    assert tmp_path in config.data_dir.parents
    first, second = Server(config, InProcessHasher()), Server(config, InProcessHasher())
    for server in (first, second):
        server.start(lambda *_progress: None)
    with (
        Client(f"127.0.0.1:{first.port}", timeout_s=20) as writer,
        Client(f"127.0.0.1:{second.port}", timeout_s=20) as reader,
    ):
        writer.create_bank("bank")
        added = writer.add_entries("bank", hashes=[bytes(32)])
        answer = reader.check_hashes([bytes(32)], minimum_revision=added.revision)
        assert answer.results[0].verdict is Verdict.BLOCK
        assert answer.revision >= added.revision
    for server in (first, second):
        server.stop()


def test_a_revision_that_does_not_come_is_refused_within_the_deadline(client: Client) -> None:
    """The answer says which revision there is instead."""
    with pytest.raises(RevisionNotReached) as refused:
        client.check_hashes([bytes(32)], minimum_revision=99, timeout_s=1.0)
    assert refused.value.metadata == {"revision": "0", "minimum_revision": "99"}
