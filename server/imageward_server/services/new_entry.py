"""What of an AddEntries request is accepted: each picture hashed, each hash checked."""

from __future__ import annotations

from collections.abc import Iterator

from imageward.v1 import bank_pb2
from imageward_index.errors import InvalidBatch, InvalidInput, LowQuality
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import QUALITY_MIN, PdqHash
from imageward_server.errors import InvalidRequest
from imageward_server.hasher import Hasher
from imageward_server.services import deadline, validate
from imageward_server.status import refusal_of
from imageward_server.store import EntrySource, NewEntry

# What one request may hold in all. The transport allows a little more, so that a
# request over this bound is refused with a reason.
REQUEST_BYTES_MAX = 32_000_000


def check_request(request: bank_pb2.AddEntriesRequest) -> None:
    """Accept the request as a whole.

    Raises:
        InvalidRequest: its id is missing or too long.
        InvalidBatch: it has no entries, or too many, or too many bytes.
    """
    validate.text(
        "request_id", request.request_id, chars_min=1, chars_max=validate.REQUEST_ID_CHARS_MAX
    )
    validate.batch("entries", len(request.entries))
    if (size := request.ByteSize()) > REQUEST_BYTES_MAX:
        raise InvalidBatch(
            f"a request of {size} bytes was sent; send at most {REQUEST_BYTES_MAX} at a time",
            bytes=size,
            bytes_max=REQUEST_BYTES_MAX,
        )


def attempt(new: bank_pb2.NewEntry, hasher: Hasher) -> NewEntry | InvalidInput:
    """Make an entry to bank, or the reason why not: one bad picture spoils no batch."""
    try:
        return _read(new, hasher)
    except InvalidInput as error:
        return error


def result_message(
    outcome: NewEntry | InvalidInput, entry_ids: Iterator[int]
) -> bank_pb2.AddEntryResult:
    """Write what became of one entry; an accepted one takes the next id."""
    if isinstance(outcome, NewEntry):
        return bank_pb2.AddEntryResult(
            entry_id=validate.format_entry_id(next(entry_ids)),
            quality=outcome.fingerprint.whole.quality,
        )
    quality = outcome.metadata.get("quality") if isinstance(outcome, LowQuality) else None
    return bank_pb2.AddEntryResult(
        refusal=refusal_of(outcome), quality=None if quality is None else int(quality)
    )


def _read(new: bank_pb2.NewEntry, hasher: Hasher) -> NewEntry:
    reference = validate.text("reference", new.reference, chars_max=validate.REFERENCE_CHARS_MAX)
    match new.WhichOneof("content"):
        case "image":
            fingerprint = hasher.fingerprint(new.image, deadline.end())
            source = EntrySource.IMAGE
        case "hash":
            fingerprint, source = Fingerprint(validate.pdq_hash(new.hash)), EntrySource.HASH
        case "fingerprint":
            fingerprint, source = Fingerprint.from_bytes(new.fingerprint), EntrySource.HASH
        case _:
            raise InvalidRequest("no image, hash or fingerprint was sent; send one of them")
    _refuse_low_quality(fingerprint.whole)
    return NewEntry(fingerprint, source, reference)


def _refuse_low_quality(pdq: PdqHash) -> None:
    if pdq.quality is not None and pdq.quality < QUALITY_MIN:
        raise LowQuality(
            f"the picture has a quality of {pdq.quality} of 100, too little detail to be told "
            f"apart from others; bank pictures of {QUALITY_MIN} or more",
            quality=pdq.quality,
            quality_min=QUALITY_MIN,
        )
