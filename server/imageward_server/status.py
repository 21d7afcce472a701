"""How an exception becomes a gRPC status with google.rpc.ErrorInfo: one table.

A class without a row of its own takes the row of its nearest base.
"""

from __future__ import annotations

from typing import NamedTuple

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from imageward.v1.error_pb2 import ErrorReason, Refusal
from imageward_index import errors as index_errors
from imageward_index.errors import ImagewardError
from imageward_server import errors

DOMAIN = "imageward"
DETAILS_KEY = "grpc-status-details-bin"
RETRY_DELAY_S = 1.0
_PREFIX = "ERROR_REASON_"


class Row(NamedTuple):
    """What a class of exceptions turns into."""

    code: grpc.StatusCode
    reason: ErrorReason.ValueType
    retry_delay_s: float = 0.0


_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED

TABLE: dict[type[Exception], Row] = {
    ImagewardError: Row(grpc.StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL),
    index_errors.InvalidInput: Row(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    index_errors.InvalidImage: Row(_INVALID, ErrorReason.ERROR_REASON_UNDECODABLE_IMAGE),
    index_errors.UnsupportedFormat: Row(_INVALID, ErrorReason.ERROR_REASON_UNSUPPORTED_FORMAT),
    index_errors.ImageTooLarge: Row(_INVALID, ErrorReason.ERROR_REASON_IMAGE_TOO_LARGE),
    index_errors.UndecodableImage: Row(_INVALID, ErrorReason.ERROR_REASON_UNDECODABLE_IMAGE),
    index_errors.LowQuality: Row(_INVALID, ErrorReason.ERROR_REASON_LOW_QUALITY),
    index_errors.InvalidHash: Row(_INVALID, ErrorReason.ERROR_REASON_INVALID_HASH),
    index_errors.InvalidFingerprint: Row(_INVALID, ErrorReason.ERROR_REASON_INVALID_HASH),
    index_errors.InvalidRadius: Row(_INVALID, ErrorReason.ERROR_REASON_INVALID_RADIUS),
    index_errors.InvalidBatch: Row(_INVALID, ErrorReason.ERROR_REASON_INVALID_BATCH),
    index_errors.BankNotFound: Row(
        grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_BANK_NOT_FOUND
    ),
    # The replica adds only what the index lacks: an id twice is our mistake.
    index_errors.DuplicateId: Row(grpc.StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL),
    # Segments are copies and no call is answered with these: they are met at a start,
    # or by a thread, and the store is read instead.
    index_errors.SegmentUnusable: Row(
        grpc.StatusCode.DATA_LOSS, ErrorReason.ERROR_REASON_DATA_CORRUPT
    ),
    index_errors.SegmentCorrupt: Row(
        grpc.StatusCode.DATA_LOSS, ErrorReason.ERROR_REASON_DATA_CORRUPT
    ),
    index_errors.SegmentIncompatible: Row(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STORE_INCOMPATIBLE
    ),
    errors.InvalidRequest: Row(_INVALID, ErrorReason.ERROR_REASON_INVALID_REQUEST),
    errors.UnknownSurface: Row(_INVALID, ErrorReason.ERROR_REASON_UNKNOWN_SURFACE),
    errors.InvalidPageToken: Row(_INVALID, ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN),
    errors.ImageTooCostly: Row(_INVALID, ErrorReason.ERROR_REASON_IMAGE_TOO_COSTLY),
    errors.UnacceptablePicture: Row(_INVALID, ErrorReason.ERROR_REASON_UNACCEPTABLE_PICTURE),
    errors.DuplicatePicture: Row(_INVALID, ErrorReason.ERROR_REASON_UNACCEPTABLE_PICTURE),
    errors.PolyglotPicture: Row(_INVALID, ErrorReason.ERROR_REASON_UNACCEPTABLE_PICTURE),
    errors.TooManyPictures: Row(_INVALID, ErrorReason.ERROR_REASON_UNACCEPTABLE_PICTURE),
    errors.CaseWithdrawn: Row(_INVALID, ErrorReason.ERROR_REASON_UNACCEPTABLE_PICTURE),
    errors.CaseNotFound: Row(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_CASE_NOT_FOUND),
    errors.Unauthenticated: Row(
        grpc.StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_UNAUTHENTICATED
    ),
    errors.PermissionDenied: Row(
        grpc.StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_PERMISSION_DENIED
    ),
    errors.IntakeNotConfigured: Row(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_INTAKE_NOT_CONFIGURED
    ),
    errors.EntryNotFound: Row(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_ENTRY_NOT_FOUND),
    errors.EntryErased: Row(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_ENTRY_NOT_FOUND),
    errors.BankExists: Row(grpc.StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_BANK_EXISTS),
    errors.RequestIdReused: Row(
        grpc.StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_REQUEST_ID_REUSED
    ),
    errors.TooManyBanks: Row(_EXHAUSTED, ErrorReason.ERROR_REASON_TOO_MANY_BANKS),
    errors.Overloaded: Row(_EXHAUSTED, ErrorReason.ERROR_REASON_OVERLOADED, RETRY_DELAY_S),
    errors.RateLimited: Row(_EXHAUSTED, ErrorReason.ERROR_REASON_RATE_LIMITED, RETRY_DELAY_S),
    errors.TooManyStreams: Row(
        _EXHAUSTED, ErrorReason.ERROR_REASON_TOO_MANY_STREAMS, RETRY_DELAY_S
    ),
    errors.TooManyCostlyImages: Row(
        _EXHAUSTED, ErrorReason.ERROR_REASON_TOO_MANY_COSTLY_IMAGES, RETRY_DELAY_S
    ),
    errors.UnknownMethod: Row(
        grpc.StatusCode.UNIMPLEMENTED, ErrorReason.ERROR_REASON_UNKNOWN_METHOD
    ),
    errors.DeadlineExceeded: Row(
        grpc.StatusCode.DEADLINE_EXCEEDED, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
    ),
    errors.Unavailable: Row(
        _UNAVAILABLE, ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, RETRY_DELAY_S
    ),
    errors.Loading: Row(_UNAVAILABLE, ErrorReason.ERROR_REASON_LOADING, RETRY_DELAY_S),
    errors.Draining: Row(_UNAVAILABLE, ErrorReason.ERROR_REASON_DRAINING, RETRY_DELAY_S),
    errors.StoreUnavailable: Row(
        _UNAVAILABLE, ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, RETRY_DELAY_S
    ),
    # Not UNAVAILABLE, which clients send again: the call has waited all it could.
    errors.RevisionNotReached: Row(
        grpc.StatusCode.OUT_OF_RANGE, ErrorReason.ERROR_REASON_REVISION_NOT_REACHED
    ),
    errors.StoreIncompatible: Row(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STORE_INCOMPATIBLE
    ),
    # Met at a start, where no call waits for an answer.
    errors.KeysUnusable: Row(
        grpc.StatusCode.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STORE_INCOMPATIBLE
    ),
    errors.DataCorrupt: Row(grpc.StatusCode.DATA_LOSS, ErrorReason.ERROR_REASON_DATA_CORRUPT),
}


class Status(grpc.Status):
    """A status with its details, as `ServicerContext.abort_with_status` takes it."""

    def __init__(self, row: Row, message: str, metadata: dict[str, str]) -> None:
        self.code = row.code
        self.details = message
        self.trailing_metadata = ((DETAILS_KEY, _details(row, message, metadata)),)


def row_of(error: Exception) -> Row:
    """Find the row of an exception's class, or of its nearest base."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def status_of(error: ImagewardError) -> Status:
    """Turn an exception into the status that a caller gets."""
    row = row_of(error)
    if isinstance(error, errors.Overloaded):
        row = row._replace(retry_delay_s=error.retry_after_s)
    return Status(row, str(error), error.metadata)


def internal_status(request_id: str) -> Status:
    """Make the status of a mistake of ours: nothing about it but where to look."""
    return Status(
        TABLE[ImagewardError],
        f"internal error; the server's log tells more under request id {request_id}",
        {"request_id": request_id},
    )


def foreign_status(code: grpc.StatusCode, message: str) -> Status:
    """Make the status of a refusal by a service that is not imageward's own."""
    return Status(Row(code, ErrorReason.ERROR_REASON_REFUSED), message, {})


def refusal_of(error: ImagewardError) -> Refusal:
    """Turn an exception into the refusal of one part of a call."""
    return Refusal(reason=row_of(error).reason, message=str(error), metadata=error.metadata)


def _details(row: Row, message: str, metadata: dict[str, str]) -> bytes:
    details = [
        error_details_pb2.ErrorInfo(
            reason=ErrorReason.Name(row.reason).removeprefix(_PREFIX),
            domain=DOMAIN,
            metadata=metadata,
        )
    ]
    if row.retry_delay_s:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(row.retry_delay_s * 1_000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=row.code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    packed_status: bytes = status.SerializeToString()
    return packed_status
