"""Every exception has a status of its own, and its message gives nothing away."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

from imageward.v1 import error_pb2
from imageward.v1.error_pb2 import ErrorReason
from imageward.v1.hash_pb2 import PdqHash as PdqHashMessage
from imageward_index import errors as index_errors
from imageward_index.decode import decode_grey
from imageward_index.errors import ImagewardError
from imageward_index.fingerprint import Fingerprint
from imageward_index.index import Index
from imageward_index.pdq import PdqHash
from imageward_index.policy import BankSet, Policy
from imageward_server import errors as server_errors
from imageward_server.lifecycle import Lifecycle
from imageward_server.replica import Replica
from imageward_server.services import paging, validate
from imageward_server.status import (
    DETAILS_KEY,
    DOMAIN,
    TABLE,
    Row,
    Status,
    foreign_status,
    internal_status,
    refusal_of,
    row_of,
    status_of,
)
from imageward_server.store import EntrySource, NewEntry, Store

HEX_HASH = "f0" * 32
RETRIED = {grpc.StatusCode.UNAVAILABLE}


def tree(root: type[ImagewardError]) -> set[type[ImagewardError]]:
    """Collect a class and all below it."""
    return {root}.union(*(tree(kind) for kind in root.__subclasses__()))


def in_modules() -> set[type[ImagewardError]]:
    """Collect the exceptions that the two modules define."""
    return {
        kind
        for module in (index_errors, server_errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, ImagewardError)
    }


EVERY_KIND = sorted(in_modules(), key=lambda kind: kind.__name__)


def details_of(status: Status) -> tuple[status_pb2.Status, list[object]]:
    """Unpack a status as a caller would."""
    ((key, packed),) = status.trailing_metadata
    assert key == DETAILS_KEY == "grpc-status-details-bin"
    unpacked = status_pb2.Status.FromString(packed)
    found: list[object] = []
    for detail in unpacked.details:
        kinds = (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo)
        (message,) = (kind() for kind in kinds if detail.Is(kind.DESCRIPTOR))
        detail.Unpack(message)
        found.append(message)
    return unpacked, found


def test_every_exception_is_defined_in_the_two_trees() -> None:
    """No module hides an exception of the domain elsewhere."""
    assert {kind for kind in tree(ImagewardError) if "tests" not in kind.__module__} == set(
        EVERY_KIND
    )


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_exception_has_a_row_of_its_own(kind: type[ImagewardError]) -> None:
    """A class without a row is a decision that nobody took."""
    assert kind in TABLE
    assert row_of(kind("what happened")) == TABLE[kind]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_exception_is_drawn_in_its_tree(kind: type[ImagewardError]) -> None:
    """The drawing at the head of its module shows the class."""
    drawing = {index_errors.__name__: index_errors.__doc__}.get(
        kind.__module__, server_errors.__doc__
    )
    assert re.search(rf"\b{kind.__name__}\b", drawing or "")


def test_an_exception_without_a_row_takes_its_bases() -> None:
    """A class that the table does not know is answered as its nearest base is."""
    kind = type("Unheard", (server_errors.Loading,), {})
    assert row_of(kind("what happened")) == TABLE[server_errors.Loading]
    del kind


def test_every_reason_of_the_contract_is_given() -> None:
    """Each reason stands in a row, or is that of a foreign service's refusal."""
    used = {row.reason for row in TABLE.values()}
    elsewhere = {ErrorReason.ERROR_REASON_REFUSED, ErrorReason.ERROR_REASON_UNSPECIFIED}
    assert used.isdisjoint(elsewhere)
    assert used | elsewhere == set(ErrorReason.values())


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_status_carries_its_details(kind: type[ImagewardError]) -> None:
    """Code, message, reason, domain and metadata arrive; RetryInfo where waiting helps."""
    status = status_of(kind("what happened", bytes_max=7, field="x"))
    row, (unpacked, details) = TABLE[kind], details_of(status)
    assert (status.code, status.details) == (row.code, "what happened")
    assert (unpacked.code, unpacked.message) == (row.code.value[0], "what happened")
    reason = ErrorReason.Name(row.reason).removeprefix("ERROR_REASON_")
    info = error_details_pb2.ErrorInfo(
        reason=reason, domain=DOMAIN, metadata={"bytes_max": "7", "field": "x"}
    )
    assert details[0] == info
    delays = [d.retry_delay.seconds for d in details if isinstance(d, error_details_pb2.RetryInfo)]
    retried = row.code in RETRIED or issubclass(kind, server_errors.Overloaded)
    assert delays == ([1] if retried else [])


def test_an_overload_says_for_how_long() -> None:
    """RetryInfo carries the seconds that the refusal was made with."""
    _, (_, retry) = details_of(status_of(server_errors.Overloaded("full", retry_after_s=0.25)))
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 250


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (index_errors.UndecodableImage, "INVALID_ARGUMENT"),
        (index_errors.InvalidBatch, "INVALID_ARGUMENT"),
        (server_errors.InvalidPageToken, "INVALID_ARGUMENT"),
        (index_errors.BankNotFound, "NOT_FOUND"),
        (server_errors.EntryNotFound, "NOT_FOUND"),
        (server_errors.BankExists, "ALREADY_EXISTS"),
        (server_errors.RequestIdReused, "ALREADY_EXISTS"),
        (server_errors.TooManyBanks, "RESOURCE_EXHAUSTED"),
        (server_errors.Loading, "UNAVAILABLE"),
        (server_errors.Draining, "UNAVAILABLE"),
        (server_errors.StoreUnavailable, "UNAVAILABLE"),
        (server_errors.RevisionNotReached, "OUT_OF_RANGE"),
        (server_errors.StoreIncompatible, "FAILED_PRECONDITION"),
        (server_errors.DataCorrupt, "DATA_LOSS"),
        (server_errors.UnknownMethod, "UNIMPLEMENTED"),
        (server_errors.DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (index_errors.DuplicateId, "INTERNAL"),
        (ImagewardError, "INTERNAL"),
    ],
)
def test_the_codes_are_those_of_the_contract(kind: type[ImagewardError], code: str) -> None:
    """The contract's comments promise these codes."""
    assert TABLE[kind].code.name == code


@pytest.mark.parametrize("row", list(dict.fromkeys(TABLE.values())))
def test_the_contract_names_the_code_of_each_reason(row: Row) -> None:
    """The comment of a reason in the .proto file says the status that goes with it."""
    contract = (Path(error_pb2.__file__).parent / "error.proto").read_text()
    comments = re.findall(r"((?: +//.*\n)+) +(ERROR_REASON_\w+) =", contract)
    (comment,) = (text for text, name in comments if name == ErrorReason.Name(row.reason))
    assert re.search(rf"\b{row.code.name}\b", comment)


def test_a_refusal_says_what_a_status_would() -> None:
    """One part of a call is refused with the reason, message and metadata of the whole's."""
    refusal = refusal_of(index_errors.InvalidHash("what happened", bytes=31))
    assert refusal.reason == ErrorReason.ERROR_REASON_INVALID_HASH
    assert (refusal.message, dict(refusal.metadata)) == ("what happened", {"bytes": "31"})


def test_a_mistake_of_ours_tells_nothing_but_where_to_look() -> None:
    """An internal error has a fixed text and the request id that the log repeats."""
    status = internal_status("cafe")
    _, (info,) = details_of(status)
    assert status.code is grpc.StatusCode.INTERNAL
    assert status.details == "internal error; the server's log tells more under request id cafe"
    assert info == error_details_pb2.ErrorInfo(
        reason="INTERNAL", domain=DOMAIN, metadata={"request_id": "cafe"}
    )


def test_a_foreign_refusal_keeps_its_code() -> None:
    """The health service's NOT_FOUND is told with imageward's details."""
    status = foreign_status(grpc.StatusCode.NOT_FOUND, "refused: not found")
    _, (info,) = details_of(status)
    assert status.code is grpc.StatusCode.NOT_FOUND
    assert info == error_details_pb2.ErrorInfo(reason="REFUSED", domain=DOMAIN)


def add_twice(store: Store) -> None:
    """Use a request id for two contents."""
    for quality in (60, 61):
        new = [NewEntry(Fingerprint(PdqHash(bytes.fromhex(HEX_HASH), quality)), EntrySource.HASH)]
        store.add_entries("known", "request 1", new)


def index_twice(_: Store) -> None:
    """Add an id twice."""
    index = Index()
    for _time in range(2):
        index.add([1], np.full((1, 32), 0xF0, np.uint8))


# Each is made to fail by values that must not come back in the message.
def await_in_vain(store: Store) -> None:
    """Wait for a revision that does not come."""
    with tempfile.TemporaryDirectory() as folder:
        replica = Replica(store, Path(folder), 1.0)
        try:
            replica.wait_for(9, 0.0)
        finally:
            replica.stop()


RAISERS: list[tuple[str, Callable[[Store], object]]] = [
    ("UnsupportedFormat", lambda _: decode_grey(HEX_HASH.encode())),
    ("UndecodableImage", lambda _: decode_grey(b"\x89PNG\r\n\x1a\n" + HEX_HASH.encode())),
    ("ImageTooLarge", lambda _: decode_grey(b"\xff\xd8" + bytes(20_000_001))),
    ("InvalidHash", lambda _: PdqHash(HEX_HASH.encode(), 50)),
    ("InvalidHash", lambda _: PdqHash.from_hex(HEX_HASH.upper())),
    ("InvalidHash", lambda _: validate.codes([PdqHashMessage(pdq=HEX_HASH.encode())])),
    ("InvalidHash", lambda _: validate.quality(PdqHashMessage(quality=101))),
    ("InvalidHash", lambda _: Index().search(np.zeros((1, 64), np.uint8), 31)),
    ("InvalidRadius", lambda _: Policy(radius_bits=64)),
    ("InvalidRadius", lambda _: Index().search(np.zeros((1, 32), np.uint8), 64)),
    ("InvalidBatch", lambda _: validate.batch("hashes", 1025)),
    ("InvalidBatch", lambda _: Index().add([1, 2], np.zeros((1, 32), np.uint8))),
    ("DuplicateId", index_twice),
    ("BankNotFound", lambda _: BankSet().named("unknown")),
    ("BankNotFound", lambda store: store.get_bank("unknown")),
    ("InvalidRequest", lambda _: validate.bank_name(HEX_HASH + "!")),
    ("InvalidRequest", lambda _: validate.text("reference", HEX_HASH * 3, chars_max=128)),
    ("InvalidRequest", lambda _: validate.text("reference", HEX_HASH + "\n", chars_max=128)),
    ("InvalidRequest", lambda _: validate.bank_names([HEX_HASH] * 65)),
    ("InvalidRequest", lambda _: validate.page_size(1001)),
    ("UnknownSurface", lambda _: validate.surfaces(["UNHEARD"], ["FACEBOOK"])),
    ("InvalidPageToken", lambda _: paging.read_token(("ListBanks",), HEX_HASH)),
    ("EntryNotFound", lambda _: validate.entry_id(HEX_HASH)),
    ("EntryNotFound", lambda store: store.get_entry(1)),
    ("BankExists", lambda store: store.create_bank("known", Policy())),
    ("RequestIdReused", add_twice),
    ("RevisionNotReached", await_in_vain),
    ("Loading", lambda _: Lifecycle().admit()),
]


@pytest.mark.parametrize(("name", "raiser"), RAISERS)
def test_a_message_gives_nothing_away(
    store: Store, name: str, raiser: Callable[[Store], object]
) -> None:
    """A message says what happened and what to do, without a hash, a path, or endless text."""
    store.create_bank("known", Policy())
    with pytest.raises(ImagewardError) as raised:
        raiser(store)
    assert type(raised.value).__name__ == name
    told = f"{raised.value} {raised.value.metadata}"
    assert not re.search(r"[0-9a-fA-F]{64}", told)
    assert not re.search(r"/\w+/|\.sqlite|\.py", told)
    assert len(told) < 500
