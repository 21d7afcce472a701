"""Every call once over a socket, with both clients."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import pytest
from grpc_health.v1 import health_pb2

import imageward_client as iw
from imageward.v1 import bank_pb2, match_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from tests.client.conftest import Ask, Peer

HASH = "0f" * 32


def test_check_image(peer: Peer, ask: Ask) -> None:
    """An upload is sent with its scope and answered with verdict, entries and revision."""
    answer = ask(
        peer.target,
        "check_image",
        b"block me",
        surface="FACEBOOK",
        banks=["B", "C"],
        minimum_revision=5,
    )
    assert (
        iw.CheckAnswer(
            verdict=iw.Verdict.BLOCK,
            entry_ids=("e0",),
            logged_entry_ids=(),
            quality=77,
            low_quality=False,
            completeness=iw.Completeness.COMPLETE,
            revision=7,
        )
        == answer
    )
    scope = match_pb2.CheckScope(surface="FACEBOOK", banks=["B", "C"], minimum_revision=5)
    expected = match_pb2.CheckImageRequest(image=b"block me", scope=scope)
    assert [expected] == peer.script.requests["CheckImage"]


@pytest.mark.parametrize("value", [HASH, bytes.fromhex(HASH), iw.PdqHash.from_hex(HASH)])
def test_check_hashes(peer: Peer, ask: Ask, value: iw.HashLike) -> None:
    """A hash may be digits, bytes or a PdqHash, and each has its result."""
    answer = ask(peer.target, "check_hashes", [value, iw.PdqHash.from_hex(HASH, 80)])
    assert (len(answer.results), answer.revision) == (2, 7)
    (request,) = peer.script.requests["CheckHashes"]
    assert [bytes.fromhex(HASH)] * 2 == [sent.pdq for sent in request.hashes]
    assert [sent.HasField("quality") for sent in request.hashes] == [False, True]


def test_create_bank(peer: Peer, ask: Ask) -> None:
    """A bank is made with the default policy where nothing is said."""
    bank = ask(peer.target, "create_bank", "B", surfaces=["FACEBOOK"])
    assert _policy(bank) == ("B", iw.Action.BLOCK, 31, ("FACEBOOK",), True, 0.0, False)
    assert bank.create_time.tzinfo is not None


def test_get_bank(peer: Peer, ask: Ask) -> None:
    """A bank is fetched by its name."""
    peer.script.bank("B")
    assert ask(peer.target, "get_bank", "B").name == "B"


def test_list_banks_reads_every_page(peer: Peer, ask: Ask) -> None:
    """Banks come in the order of the server over as many pages as there are."""
    for name in "DACBE":
        peer.script.bank(name)
    assert list("ABCDE") == [bank.name for bank in ask(peer.target, "list_banks")]
    assert [page.page_token for page in peer.script.requests["ListBanks"]] == ["", "2", "4"]


def test_pages_are_fetched_when_they_are_reached(peer: Peer) -> None:
    """Reading the first items asks for no later page."""
    for name in "ABC":
        peer.script.bank(name)
    with iw.Client(peer.target) as client:
        banks = client.list_banks()
        assert next(banks).name == "A"
    assert len(peer.script.requests["ListBanks"]) == 1


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"action": "REVIEW"}, "action"),
        ({"radius": 0}, "radius_bits"),
        ({"surfaces": ()}, "surfaces"),
        ({"enabled": False}, "enabled"),
        ({"coverage_min": 0.5}, "coverage_min"),
        ({"review_doubtful": True}, "review_doubtful"),
    ],
)
def test_update_bank_changes_what_is_given(
    peer: Peer, ask: Ask, change: dict[str, Any], path: str
) -> None:
    """The mask names what is given, be it empty or zero, and nothing else."""
    peer.script.bank("B").policy.surfaces.append("FACEBOOK")
    bank = ask(peer.target, "update_bank", "B", **change)
    (request,) = peer.script.requests["UpdateBank"]
    assert [path] == request.update_mask.paths
    before = {"action": "BLOCK", "radius": 31, "surfaces": ("FACEBOOK",), "enabled": True}
    before |= {"coverage_min": 0.0, "review_doubtful": False}
    assert ("B", *(before | change).values()) == _policy(bank)


def test_update_bank_with_nothing_is_refused(peer: Peer, ask: Ask) -> None:
    """No request goes out for a change of nothing: an empty mask may mean everything."""
    with pytest.raises(iw.InvalidRequest, match="radius_bits"):
        ask(peer.target, "update_bank", "B")
    assert peer.script.requests["UpdateBank"] == []


def test_add_entries(peer: Peer, ask: Ask) -> None:
    """Each entry of a batch has an id or a refusal, in order, and its reference."""
    peer.script.bank("B")
    answer = ask(peer.target, "add_entries", "B", images=[b"one", b"flat"], references=["r1", "r2"])
    assert [result.entry_id for result in answer.results] == ["e0", None]
    assert [type(None), iw.LowQuality] == [type(result.refusal) for result in answer.results]
    assert (answer.revision, answer.replayed) == (8, False)
    (request,) = peer.script.requests["AddEntries"]
    assert [entry.reference for entry in request.entries] == ["r1", "r2"]
    assert len(request.request_id) == 32


def test_add_entries_again_with_its_request_id(peer: Peer, ask: Ask) -> None:
    """The same request id is answered as the first time and says so."""
    peer.script.bank("B")
    first, second = (
        ask(peer.target, "add_entries", "B", hashes=[HASH], request_id="mine") for _ in range(2)
    )
    assert (first.replayed, second.replayed) == (False, True)
    assert first.results == second.results
    assert len(peer.script.entries) == 1


def test_request_ids_differ(peer: Peer, ask: Ask) -> None:
    """Two calls that name no request id are two batches."""
    peer.script.bank("B")
    for _ in range(2):
        assert not ask(peer.target, "add_entries", "B", hashes=[HASH]).replayed
    assert len(peer.script.entries) == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, TypeError),
        ({"images": [b"x"], "hashes": [HASH]}, TypeError),
        ({"fingerprints": [b"x"], "hashes": [HASH]}, TypeError),
        ({"hashes": [HASH], "references": ["a", "b"]}, iw.InvalidBatch),
        ({"hashes": [HASH], "references": "a"}, TypeError),
        ({"hashes": ["0F" * 32]}, iw.InvalidHash),
        ({"images": [bytes(20_000_001)]}, iw.ImageTooLarge),
        ({"images": [bytes(17_000_000)] * 2}, iw.InvalidBatch),
    ],
)
def test_add_entries_refuses_before_sending(
    peer: Peer, ask: Ask, arguments: dict[str, Any], error: type[Exception]
) -> None:
    """What is bound to be refused is refused without being sent."""
    with pytest.raises(error):
        ask(peer.target, "add_entries", "B", **arguments)
    assert peer.script.requests["AddEntries"] == []


def test_largest_batch_fits_the_channel(peer: Peer, ask: Ask) -> None:
    """A batch of exactly the contract's bytes arrives."""
    peer.script.bank("B")
    images = [bytes(20_000_000), bytes(12_000_000)]
    answer = ask(peer.target, "add_entries", "B", images=images, timeout_s=30)
    assert [result.entry_id for result in answer.results] == ["e0", "e1"]


def test_withdraw_and_restore_entries(peer: Peer, ask: Ask) -> None:
    """Both say from which revision on, and how many changed."""
    peer.script.bank("B")
    ask(peer.target, "add_entries", "B", hashes=[HASH, HASH])
    assert iw.ChangeAnswer(9, 2) == ask(peer.target, "withdraw_entries", ["e0", "e1"])
    assert iw.ChangeAnswer(9, 0) == ask(peer.target, "withdraw_entries", ["e0"])
    assert iw.ChangeAnswer(9, 1) == ask(peer.target, "restore_entries", ["e1"])
    with pytest.raises(iw.EntryNotFound):
        ask(peer.target, "restore_entries", ["nobody"])


@pytest.mark.parametrize("method", ["withdraw_entries", "restore_entries"])
def test_one_id_is_no_sequence(peer: Peer, ask: Ask, method: str) -> None:
    """A lone string is not taken for the ids that its letters are."""
    with pytest.raises(TypeError, match="sequence"):
        ask(peer.target, method, "e0")


def test_get_entry(peer: Peer, ask: Ask) -> None:
    """An entry is fetched by its id, its hash included and not printed."""
    peer.script.bank("B")
    ask(peer.target, "add_entries", "B", hashes=[iw.PdqHash.from_hex(HASH, 80)], references=["r"])
    entry = ask(peer.target, "get_entry", "e0")
    assert (entry.id, entry.bank, entry.reference, entry.revision) == ("e0", "B", "r", 8)
    assert (entry.state, entry.source) == (iw.EntryState.ACTIVE, iw.EntrySource.HASH)
    assert iw.PdqHash.from_hex(HASH, 80) == entry.hash
    assert entry.regional_code_count == 0
    assert HASH not in repr(entry)


def test_get_fingerprint(peer: Peer, ask: Ask) -> None:
    """All hashes of an entry are fetched where they are asked for, and bank it elsewhere."""
    peer.script.bank("B")
    ask(peer.target, "add_entries", "B", images=[b"one"])
    fingerprint = ask(peer.target, "get_fingerprint", "e0")
    assert fingerprint == b"all of it"
    ask(peer.target, "add_entries", "B", fingerprints=[fingerprint])
    _, request = peer.script.requests["AddEntries"]
    assert [entry.fingerprint for entry in request.entries] == [fingerprint]


def test_list_entries_filters(peer: Peer, ask: Ask) -> None:
    """Entries are listed by bank and state over as many pages as there are."""
    peer.script.bank("B")
    peer.script.bank("C")
    ask(peer.target, "add_entries", "B", hashes=[HASH] * 5)
    ask(peer.target, "add_entries", "C", hashes=[HASH])
    ask(peer.target, "withdraw_entries", ["e1"])
    assert [entry.id for entry in ask(peer.target, "list_entries", "B", iw.EntryState.ACTIVE)] == [
        "e0",
        "e2",
        "e3",
        "e4",
    ]
    assert [
        entry.id for entry in ask(peer.target, "list_entries", state=iw.EntryState.WITHDRAWN)
    ] == ["e1"]
    assert len(ask(peer.target, "list_entries")) == 6


@pytest.mark.parametrize(("query", "field"), [({"image": b"x"}, "image"), ({"hash": HASH}, "hash")])
def test_find_matches(peer: Peer, ask: Ask, query: dict[str, Any], field: str) -> None:
    """A reviewer sees how near an entry is and how the query was turned."""
    answer = ask(peer.target, "find_matches", **query, banks=["B"], radius=0)
    turned = iw.Orientation.FLIP_HORIZONTAL
    corners = ((iw.Point(-0.5, 1.0),), (iw.Point(0.25, 0.0),))
    mirrored = iw.Method.PARTS_MIRRORED
    whole, part = answer.matches
    assert astuple(whole) == ("e0", "B", iw.Method.TRIMMED, True, 12, turned, None, 0, (), ())
    assert iw.Match("e1", "B", mirrored, part.certain, None, None, 0.5, 7, *corners) == part
    assert not part.certain
    assert (answer.revision, answer.quality) == (7, 88)
    assert answer.completeness is iw.Completeness.CUT_SHORT
    (request,) = peer.script.requests["FindMatches"]
    assert (field, ["B"], True) == (
        request.WhichOneof("query"),
        list(request.banks),
        request.HasField("radius_bits"),
    )


@pytest.mark.parametrize("query", [{}, {"image": b"x", "hash": HASH}])
def test_find_matches_asks_one_thing(peer: Peer, ask: Ask, query: dict[str, Any]) -> None:
    """Neither nothing nor two things can be looked for."""
    with pytest.raises(TypeError):
        ask(peer.target, "find_matches", **query)


def test_get_stats(peer: Peer, ask: Ask) -> None:
    """The counts of the store, the index and each bank are told."""
    stats = ask(peer.target, "get_stats")
    assert (
        stats.revision,
        stats.store_revision,
        stats.index_size,
        stats.regional_code_count,
        stats.server_version,
    ) == (7, 8, 0, 248, "0.1.0")
    assert (iw.BankStats("B", 3, 1),) == stats.banks


@pytest.mark.parametrize("word", ["SERVING", "NOT_SERVING", "UNKNOWN"])
def test_status(peer: Peer, ask: Ask, word: str) -> None:
    """The standard health service's word is passed on."""
    peer.health.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(word))
    assert word == ask(peer.target, "status")


def test_status_of_an_unknown_service(peer: Peer, ask: Ask) -> None:
    """A service that the server does not have is not found."""
    with pytest.raises(iw.NotFound):
        ask(peer.target, "status", "nobody")


def test_wait_for_ready_returns_when_it_serves(peer: Peer, ask: Ask) -> None:
    """Waiting ends when a loading server serves."""
    peer.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    serving = health_pb2.HealthCheckResponse.SERVING
    timer = threading.Timer(0.2, peer.health.set, ("", serving))
    timer.start()
    assert ask(peer.target, "wait_for_ready", 10) is None
    timer.join()


def test_wait_for_ready_gives_up(ask: Ask) -> None:
    """Waiting for a server that is not there ends at its timeout."""
    started = time.monotonic()
    with pytest.raises(iw.DeadlineExceeded, match=r"0\.3 s"):
        ask(_closed_port(), "wait_for_ready", 0.3)
    assert time.monotonic() - started < 2


def test_unreachable_server_is_unavailable(ask: Ask) -> None:
    """A server that is not there is reported as such, within the deadline."""
    with pytest.raises(iw.Unavailable):
        ask(_closed_port(), "get_stats", options={"timeout_s": 5})


@pytest.mark.parametrize(
    ("method", "arguments", "response"),
    [
        ("CheckImage", (b"x",), match_pb2.CheckImageResponse(revision=7)),
        ("CheckHashes", ([HASH],), match_pb2.CheckHashesResponse(revision=7)),
        (
            "CheckImage",
            (b"x",),
            match_pb2.CheckImageResponse(result=match_pb2.CheckResult(verdict=99)),  # type: ignore[arg-type]
        ),
    ],
)
def test_answer_without_a_verdict_is_no_allow(
    peer: Peer, ask: Ask, method: str, arguments: tuple[object, ...], response: Message
) -> None:
    """An answer that leaves the verdict out, or holds an unknown one, is an error."""
    peer.script.answers[method] = lambda _request: response
    name = {"CheckImage": "check_image", "CheckHashes": "check_hashes"}[method]
    with pytest.raises(iw.UnreadableAnswer):
        ask(peer.target, name, *arguments)


def test_added_entry_without_an_outcome_is_an_error(peer: Peer, ask: Ask) -> None:
    """An entry that was neither banked nor refused is not passed over."""
    empty = bank_pb2.AddEntriesResponse(results=[bank_pb2.AddEntryResult()])
    peer.script.answers["AddEntries"] = lambda _request: empty
    with pytest.raises(iw.UnreadableAnswer):
        ask(peer.target, "add_entries", "B", hashes=[HASH])


def test_banks_must_not_be_one_string(peer: Peer, ask: Ask) -> None:
    """A lone string is not taken for the banks that its letters are."""
    with pytest.raises(TypeError, match="sequence"):
        ask(peer.target, "check_image", b"x", banks="B")


def test_client_is_shared_by_threads(peer: Peer) -> None:
    """Calls of many threads on one client each get their own answer."""
    images = [b"block 1", b"review 2", b"plain 3"] * 20
    with iw.Client(peer.target, timeout_s=20) as client, ThreadPoolExecutor(8) as pool:
        verdicts = [answer.verdict for answer in pool.map(client.check_image, images)]
    assert verdicts == [iw.Verdict.BLOCK, iw.Verdict.REVIEW, iw.Verdict.ALLOW] * 20


def _policy(bank: iw.Bank) -> tuple[object, ...]:
    whole = (bank.name, bank.action, bank.radius_bits, bank.surfaces, bank.enabled)
    return (*whole, bank.coverage_min, bank.review_doubtful)


def _closed_port() -> str:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
