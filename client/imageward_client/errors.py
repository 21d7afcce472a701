"""What a call can end with, other than its answer.

    ImagewardClientError
    ├── InvalidRequest            INVALID_ARGUMENT: the same call would fail again
    │   ├── InvalidImage
    │   │   ├── UnsupportedFormat   no bytes, or not one of the formats that are read
    │   │   ├── ImageTooLarge       over a bound of bytes, pixels or pixels a side
    │   │   ├── UndecodableImage    torn, forged or otherwise not decodable
    │   │   └── ImageTooCostly      takes longer to decode than an image may
    │   ├── LowQuality              too little detail to be banked
    │   ├── InvalidHash             not 32 bytes, or a quality that is not 0..100
    │   ├── InvalidRadius           not 0..63 bits
    │   ├── InvalidBatch            empty, or over its bound
    │   ├── RequestTooLarge         over gRPC's own bound of a message or its metadata
    │   ├── UnacceptablePicture     cannot be taken for review
    │   ├── UnknownSurface          not one that the server was configured with
    │   └── InvalidPageToken        not one of this listing
    ├── NotFound                  NOT_FOUND
    │   ├── BankNotFound
    │   ├── CaseNotFound
    │   └── EntryNotFound
    ├── AlreadyExists             ALREADY_EXISTS
    │   ├── BankExists
    │   └── RequestIdReused         used before with other contents
    ├── TooManyBanks              RESOURCE_EXHAUSTED, and waiting does not help
    ├── Overloaded                RESOURCE_EXHAUSTED: call again after `retry_after_s`
    │   ├── RateLimited             the caller makes too many calls a second
    │   ├── TooManyStreams
    │   └── TooManyCostlyImages     this image takes long to decode, and so do others
    ├── Unavailable               UNAVAILABLE: call again soon, or on another server
    │   ├── Loading                 the server is reading its store
    │   ├── Draining                the server is stopping
    │   └── StoreUnavailable        the server's store does not answer
    ├── RevisionNotReached        OUT_OF_RANGE: not there within the timeout
    ├── DeadlineExceeded          DEADLINE_EXCEEDED: no answer within the timeout
    ├── FailedPrecondition        FAILED_PRECONDITION
    │   ├── IntakeNotConfigured     the server has no intake
    │   └── StoreIncompatible       written by another version of the format
    ├── DataLoss                  DATA_LOSS: an operator must look
    │   └── DataCorrupt
    ├── Unauthenticated           UNAUTHENTICATED: no credential, or a bad one
    ├── PermissionDenied          PERMISSION_DENIED: the caller's role may not
    ├── Unimplemented             UNIMPLEMENTED
    │   └── UnknownMethod           another version of the server, or another service
    ├── Cancelled                 CANCELLED: somebody gave the call up
    ├── InternalError             INTERNAL, UNKNOWN or a status outside the contract
    └── UnreadableAnswer          the answer is OK but not one that this client knows

Nothing here knows gRPC. How a status becomes one of these is in `_rebuild`. A
message holds no image and no hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ImagewardClientError(Exception):
    """Every error of this library.

    Attributes:
        message: what happened, the bound, and what to do.
        code: name of the gRPC status, such as `NOT_FOUND`; empty for an
            `UnreadableAnswer`.
        reason: name of the contract's ErrorReason without its prefix, such as
            `BANK_NOT_FOUND`; empty when the server, or something before it,
            gave none.
        metadata: bounds and offending sizes by name.
        retry_after_s: seconds after which the server wants to be called again;
            None where it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s


class InvalidRequest(ImagewardClientError):
    """What was sent cannot be used; the same call would fail again."""


class InvalidImage(InvalidRequest):
    """The bytes of an image cannot be used."""


class UnsupportedFormat(InvalidImage):
    """The image has no bytes, or its format is not one that is read."""


class ImageTooLarge(InvalidImage):
    """The image is over a bound of bytes, pixels or pixels a side."""


class UndecodableImage(InvalidImage):
    """The image is torn, forged or otherwise not decodable."""


class ImageTooCostly(InvalidImage):
    """The image takes longer to decode than an image may."""


class LowQuality(InvalidRequest):
    """The image or hash has a quality under 50 and cannot be banked."""


class InvalidHash(InvalidRequest):
    """A hash is not 32 bytes or 64 digits, or a quality is not 0..100."""


class InvalidRadius(InvalidRequest):
    """A radius is not 0..63 bits."""


class InvalidBatch(InvalidRequest):
    """A batch is empty or over its bound."""


class RequestTooLarge(InvalidRequest):
    """A message or its metadata is over the bound of gRPC itself; its message names both."""


class UnacceptablePicture(InvalidRequest):
    """A picture cannot be taken for review: repeated, of two kinds, or over the case's bound."""


class UnknownSurface(InvalidRequest):
    """The surface is not one that the server was configured with."""


class InvalidPageToken(InvalidRequest):
    """A page token is not one of the listing it was used for."""


class NotFound(ImagewardClientError):
    """What was named does not exist."""


class BankNotFound(NotFound):
    """No bank has the name."""


class CaseNotFound(NotFound):
    """No case has the number."""


class EntryNotFound(NotFound):
    """No entry has the id."""


class AlreadyExists(ImagewardClientError):
    """What was to be made is there already."""


class BankExists(AlreadyExists):
    """A bank of the name exists."""


class RequestIdReused(AlreadyExists):
    """The request id was used before with other contents."""


class TooManyBanks(ImagewardClientError):
    """The server holds as many banks as it can; waiting does not help."""


class Overloaded(ImagewardClientError):
    """The server is full; call again after `retry_after_s`."""


class RateLimited(Overloaded):
    """The caller makes more calls a second than it may; send fewer, or larger batches."""


class TooManyStreams(Overloaded):
    """As many streams are open as the server allows."""


class TooManyCostlyImages(Overloaded):
    """The image takes long to decode, and so do as many others as may at once."""


class Unavailable(ImagewardClientError):
    """The server cannot be reached or does not answer now."""


class Loading(Unavailable):
    """The server is reading its store and answers soon."""


class Draining(Unavailable):
    """The server is finishing what runs and takes nothing new."""


class StoreUnavailable(Unavailable):
    """The server's store does not answer."""


class RevisionNotReached(ImagewardClientError):
    """The minimum revision was not reached within the deadline."""


class DeadlineExceeded(ImagewardClientError):
    """The answer was not there within the timeout; the call may still have run."""


class FailedPrecondition(ImagewardClientError):
    """The server is not in a state in which the call can work."""


class IntakeNotConfigured(FailedPrecondition):
    """The server runs without an intake."""


class StoreIncompatible(FailedPrecondition):
    """The server's store was written by another version of the format."""


class DataLoss(ImagewardClientError):
    """Data of the server is lost; an operator must look."""


class DataCorrupt(DataLoss):
    """Data at rest is damaged; an operator must look."""


class Unauthenticated(ImagewardClientError):
    """The call carried no credential, or a bad one."""


class PermissionDenied(ImagewardClientError):
    """The caller's role may not make this call."""


class Unimplemented(ImagewardClientError):
    """The server does not offer this."""


class UnknownMethod(Unimplemented):
    """The service or method does not exist on this server."""


class Cancelled(ImagewardClientError):
    """The call was given up before it was answered."""


class InternalError(ImagewardClientError):
    """A mistake in the server; its message names the request id in its log."""


class UnreadableAnswer(ImagewardClientError):
    """The answer holds what this client does not know: upgrade the older end."""
