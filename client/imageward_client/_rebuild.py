"""From a gRPC status, or a Refusal inside an answer, to an exception.

One table: the reason decides, and the status code where there is no reason that
this client knows. Nothing here knows a particular call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from imageward.v1 import error_pb2
from imageward_client import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import grpc

DOMAIN = "imageward"
DETAILS_KEY = "grpc-status-details-bin"
REASON_PREFIX = "ERROR_REASON_"
SIZE_WORDS = re.compile("message larger than max|metadata size exceeds")

# UNSPECIFIED is never sent and REFUSED comes with any status: for both, the
# status code decides.
BY_REASON: dict[str, tuple[StatusCode, type[errors.ImagewardClientError]]] = {
    "INVALID_REQUEST": (StatusCode.INVALID_ARGUMENT, errors.InvalidRequest),
    "UNSUPPORTED_FORMAT": (StatusCode.INVALID_ARGUMENT, errors.UnsupportedFormat),
    "IMAGE_TOO_LARGE": (StatusCode.INVALID_ARGUMENT, errors.ImageTooLarge),
    "UNDECODABLE_IMAGE": (StatusCode.INVALID_ARGUMENT, errors.UndecodableImage),
    "LOW_QUALITY": (StatusCode.INVALID_ARGUMENT, errors.LowQuality),
    "INVALID_HASH": (StatusCode.INVALID_ARGUMENT, errors.InvalidHash),
    "INVALID_RADIUS": (StatusCode.INVALID_ARGUMENT, errors.InvalidRadius),
    "INVALID_BATCH": (StatusCode.INVALID_ARGUMENT, errors.InvalidBatch),
    "UNKNOWN_SURFACE": (StatusCode.INVALID_ARGUMENT, errors.UnknownSurface),
    "INVALID_PAGE_TOKEN": (StatusCode.INVALID_ARGUMENT, errors.InvalidPageToken),
    "BANK_NOT_FOUND": (StatusCode.NOT_FOUND, errors.BankNotFound),
    "ENTRY_NOT_FOUND": (StatusCode.NOT_FOUND, errors.EntryNotFound),
    "BANK_EXISTS": (StatusCode.ALREADY_EXISTS, errors.BankExists),
    "REQUEST_ID_REUSED": (StatusCode.ALREADY_EXISTS, errors.RequestIdReused),
    "TOO_MANY_BANKS": (StatusCode.RESOURCE_EXHAUSTED, errors.TooManyBanks),
    "OVERLOADED": (StatusCode.RESOURCE_EXHAUSTED, errors.Overloaded),
    "RATE_LIMITED": (StatusCode.RESOURCE_EXHAUSTED, errors.RateLimited),
    "TOO_MANY_STREAMS": (StatusCode.RESOURCE_EXHAUSTED, errors.TooManyStreams),
    "LOADING": (StatusCode.UNAVAILABLE, errors.Loading),
    "DRAINING": (StatusCode.UNAVAILABLE, errors.Draining),
    "STORE_UNAVAILABLE": (StatusCode.UNAVAILABLE, errors.StoreUnavailable),
    "REVISION_NOT_REACHED": (StatusCode.OUT_OF_RANGE, errors.RevisionNotReached),
    "STORE_INCOMPATIBLE": (StatusCode.FAILED_PRECONDITION, errors.StoreIncompatible),
    "DATA_CORRUPT": (StatusCode.DATA_LOSS, errors.DataCorrupt),
    "UNKNOWN_METHOD": (StatusCode.UNIMPLEMENTED, errors.UnknownMethod),
    "DEADLINE_EXCEEDED": (StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
    "IMAGE_TOO_COSTLY": (StatusCode.INVALID_ARGUMENT, errors.ImageTooCostly),
    "TOO_MANY_COSTLY_IMAGES": (StatusCode.RESOURCE_EXHAUSTED, errors.TooManyCostlyImages),
    "UNACCEPTABLE_PICTURE": (StatusCode.INVALID_ARGUMENT, errors.UnacceptablePicture),
    "CASE_NOT_FOUND": (StatusCode.NOT_FOUND, errors.CaseNotFound),
    "UNAUTHENTICATED": (StatusCode.UNAUTHENTICATED, errors.Unauthenticated),
    "PERMISSION_DENIED": (StatusCode.PERMISSION_DENIED, errors.PermissionDenied),
    "INTAKE_NOT_CONFIGURED": (StatusCode.FAILED_PRECONDITION, errors.IntakeNotConfigured),
    "INTERNAL": (StatusCode.INTERNAL, errors.InternalError),
}

BY_CODE: dict[StatusCode, type[errors.ImagewardClientError]] = {
    StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    StatusCode.OUT_OF_RANGE: errors.InvalidRequest,
    StatusCode.NOT_FOUND: errors.NotFound,
    StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    StatusCode.RESOURCE_EXHAUSTED: errors.Overloaded,
    StatusCode.UNAVAILABLE: errors.Unavailable,
    StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    StatusCode.DATA_LOSS: errors.DataLoss,
    StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    StatusCode.UNIMPLEMENTED: errors.Unimplemented,
    StatusCode.CANCELLED: errors.Cancelled,
    StatusCode.INTERNAL: errors.InternalError,
    StatusCode.UNKNOWN: errors.InternalError,
    StatusCode.ABORTED: errors.InternalError,
}


def refused(
    reason: str, message: str, metadata: Mapping[str, str] | None = None
) -> errors.ImagewardClientError:
    """Returns the exception of a reason, with the status that the contract gives it.

    A reason that this client does not know becomes the root class.
    """
    if reason not in BY_REASON:
        return errors.ImagewardClientError(message, reason=reason, metadata=metadata)
    code, kind = BY_REASON[reason]
    return kind(message, code=code.name, reason=reason, metadata=metadata)


def from_refusal(refusal: error_pb2.Refusal) -> errors.ImagewardClientError:
    """Returns the exception of a Refusal inside an answer."""
    return refused(reason_name(refusal.reason), refusal.message, refusal.metadata)


def from_rpc_error(error: grpc.RpcError) -> errors.ImagewardClientError:
    """Returns the exception of a call that ended with a status other than OK."""
    info, retry_after_s = _details(error)
    code = error.code()
    _, kind = BY_REASON.get(info.reason, (code, BY_CODE[code]))
    if not info.reason and code is StatusCode.RESOURCE_EXHAUSTED and _is_size(error):
        kind = errors.RequestTooLarge
    return kind(
        error.details() or f"The server answered {code.name} without a message.",
        code=code.name,
        reason=info.reason,
        metadata=info.metadata,
        retry_after_s=retry_after_s,
    )


def _is_size(error: grpc.RpcError) -> bool:
    """Says whether gRPC itself, here or at the server, refused a size: it gives no reason.

    Only its words tell. Should they change, the error is `Overloaded` without a time to
    come back, and the call is still not sent again.
    """
    return bool(SIZE_WORDS.search(error.details() or ""))


def reason_name(number: int) -> str:
    """Returns the name of an ErrorReason, or its number when it is a newer one."""
    known = error_pb2.ErrorReason.DESCRIPTOR.values_by_number.get(number)
    return known.name.removeprefix(REASON_PREFIX) if known else str(number)


def _details(error: grpc.RpcError) -> tuple[error_details_pb2.ErrorInfo, float | None]:
    """Returns our ErrorInfo, empty when there is none, and RetryInfo's seconds."""
    info, retry_after_s = error_details_pb2.ErrorInfo(), None
    retry = error_details_pb2.RetryInfo()
    for packed in _status(error).details:
        found = error_details_pb2.ErrorInfo()
        # A proxy's reasons are not ours, even where they are spelled alike.
        if packed.Unpack(found) and found.domain == DOMAIN:
            info = found
        elif packed.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    return info, retry_after_s


def _status(error: grpc.RpcError) -> status_pb2.Status:
    # Pairs in both kinds of client; the stubs know neither as such.
    pairs = cast("Iterable[tuple[str, bytes]]", error.trailing_metadata() or ())
    for key, value in pairs:
        if key == DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                # The details only refine a status that is reported anyway.
                break
    return status_pb2.Status()
