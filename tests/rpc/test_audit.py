"""Every call that changes something, or shows a reviewer something, is a row of the audit."""

from __future__ import annotations

import json
import select
import signal
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from imageward.v1 import bank_pb2, bank_pb2_grpc, hash_pb2, match_pb2, match_pb2_grpc
from imageward_client import Client
from imageward_server.app import Server, open_store
from imageward_server.audit.row import Row
from imageward_server.audit.store_evidence import collect
from imageward_server.audit.verify import find_fault
from imageward_server.config import Config
from imageward_server.services.actor import REASON_KEY
from imageward_server.store.ledger import read_rows

if TYPE_CHECKING:
    from conftest import Start

Code = grpc.StatusCode
Audit = Callable[[], list[Row]]
WHY = ((REASON_KEY, "ticket 7"),)
# Calls that show nothing of an entry and change nothing.
SILENT = {"GetBank", "ListBanks", "GetStats"}
CODE = np.random.default_rng(7).bytes(32)


@pytest.fixture
def audit(server: Server, config: Config) -> Audit:
    """Return a reader of the audit of the server that runs."""
    del server

    def read() -> list[Row]:
        store = open_store(config)
        with store.reading() as connection:
            rows = [sealed.row for sealed in read_rows(connection)]
        store.close()
        return rows

    return read


@pytest.fixture
def entry_id(client: Client) -> str:
    """Bank a hash in `bank`; return its entry's id."""
    client.create_bank("bank")
    added = client.add_entries("bank", hashes=[imageward_hash()])
    assert added.results[0].entry_id is not None
    return added.results[0].entry_id


def imageward_hash() -> object:
    """Return a hash as the client takes it."""
    from imageward_client import PdqHash

    return PdqHash(CODE)


def calls(entry_id: str) -> dict[str, tuple[object, str, str]]:
    """Name each audited call: its request, the action that is written, and the entries."""
    one = hash_pb2.PdqHash(pdq=CODE)
    policy = bank_pb2.Policy(radius_bits=20)
    return {
        "CreateBank": (bank_pb2.CreateBankRequest(name="new"), "create bank", ""),
        "UpdateBank": (
            bank_pb2.UpdateBankRequest(
                name="bank", policy=policy, update_mask={"paths": ["radius_bits"]}
            ),
            "update bank",
            "",
        ),
        "AddEntries": (
            bank_pb2.AddEntriesRequest(
                bank="bank", request_id="r", entries=[bank_pb2.NewEntry(hash=one)]
            ),
            "add entries",
            f"{int(entry_id, 16) + 1:016x}",
        ),
        "GetEntry": (bank_pb2.GetEntryRequest(entry_id=entry_id), "get entry", entry_id),
        "ListEntries": (bank_pb2.ListEntriesRequest(bank="bank"), "list entries", entry_id),
        "FindMatches": (bank_pb2.FindMatchesRequest(hash=one), "find matches", entry_id),
        "WithdrawEntries": (
            bank_pb2.WithdrawEntriesRequest(entry_ids=[entry_id]),
            "withdraw entries",
            entry_id,
        ),
        "RestoreEntries": (
            bank_pb2.RestoreEntriesRequest(entry_ids=[entry_id]),
            "restore entries",
            entry_id,
        ),
    }


def test_no_call_of_the_bank_service_is_forgotten() -> None:
    """One that is added joins the table above, or the silent ones with a reason."""
    service = bank_pb2.DESCRIPTOR.services_by_name["BankService"]
    assert {method.name for method in service.methods} == calls("0" * 16).keys() | SILENT


@pytest.mark.parametrize("method", calls("0" * 16))
def test_a_call_is_one_row(method: str, channel: grpc.Channel, entry_id: str, audit: Audit) -> None:
    """Who, what, which entries, and why, in the caller's words."""
    before = audit()
    request, action, entries = calls(entry_id)[method]
    getattr(bank_pb2_grpc.BankServiceStub(channel), method)(request, metadata=WHY)
    (row,) = audit()[len(before) :]
    assert (row.action, row.entries, row.reason) == (action, entries, "ticket 7")
    assert row.actor
    assert row.role == "developer"  # who calls a server on loopback that asks for nothing


def test_a_fingerprint_is_told_from_an_entry(
    channel: grpc.Channel, entry_id: str, audit: Audit
) -> None:
    """Who took a fingerprint took all that finds a picture."""
    stub = bank_pb2_grpc.BankServiceStub(channel)
    stub.GetEntry(bank_pb2.GetEntryRequest(entry_id=entry_id, with_fingerprint=True))
    assert audit()[-1].action == "get fingerprint"


def test_checks_leave_no_row(channel: grpc.Channel, entry_id: str, audit: Audit) -> None:
    """Frontends ask thousands of times a second, and learn nothing of an entry."""
    del entry_id
    before = audit()
    match_pb2_grpc.MatchServiceStub(channel).CheckHashes(
        match_pb2.CheckHashesRequest(hashes=[hash_pb2.PdqHash(pdq=CODE)])
    )
    assert audit() == before


@pytest.mark.parametrize(
    "reason", ["ask sam@example.org", CODE.hex(), "x " * 129, "see " + "A1" * 16]
)
def test_a_reason_that_tells_too_much_is_refused(
    reason: str, channel: grpc.Channel, audit: Audit
) -> None:
    """Before anything is done."""
    before = audit()
    with pytest.raises(grpc.RpcError) as refused:
        bank_pb2_grpc.BankServiceStub(channel).CreateBank(
            bank_pb2.CreateBankRequest(name="new"), metadata=[(REASON_KEY, reason)]
        )
    assert refused.value.code() is Code.INVALID_ARGUMENT
    assert audit() == before


def test_a_reload_is_one_row_for_all_workers(start: Start) -> None:
    """Who may call what has changed, at a time that can be told later."""
    running = start("--workers", "2")
    running.process.send_signal(signal.SIGHUP)
    config = Config(data_dir=running.data_dir, insecure=True)
    actions = list[str]()
    for _ in range(600):
        store = open_store(config)
        with store.reading() as connection:
            actions = [sealed.row.action for sealed in read_rows(connection)]
        store.close()
        if "reload" in actions:
            break
        select.select([], [], [], 0.1)
    assert actions.count("reload") == 1


def test_no_row_holds_a_hash(
    channel: grpc.Channel, entry_id: str, audit: Audit, config: Config
) -> None:
    """Nor what it was found by, however it is written; and the chain is whole."""
    for method, (request, _, _) in calls(entry_id).items():
        getattr(bank_pb2_grpc.BankServiceStub(channel), method)(request)
    written = json.dumps([asdict(row) for row in audit()])
    assert CODE.hex()[:16] not in written.lower()
    store = open_store(config)
    with collect(store, []) as evidence:
        keys = store.audit_keys
        assert find_fault(evidence, keys.public, keys) is None
    store.close()
